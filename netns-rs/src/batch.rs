//! `-batch FILE`: a command line on each line of a file. `ip(8)`.
//!
//! Each line is run by a process of its own, so a line that enters another namespace does not change where the next one
//! works. The surprise: in this grammar a `#` begins a comment wherever it is, also inside quotes, and a backslash only
//! joins lines.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use plumbing::command_line::named_file;
use plumbing::kernel::{self, Cloned};
use plumbing::process::forward::wait_for;
use plumbing::process::startup::{self, Parsed};
use plumbing::{Fault, Status, narrate};

use crate::plan::Plan;

/// A command line of a file.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    /// The number of its last line in the file.
    number: usize,
    words: Vec<OsString>,
}

/// Runs the lines of a file, or of stdin if it is called `-`. With `force`, the others are run although one has failed.
pub fn run(file: &Path, force: bool, json: bool) -> Result<Status, Fault> {
    let path = if file == Path::new("-") { Path::new("/dev/stdin") } else { file };
    let shown = file.to_string_lossy().escape_debug().to_string();
    let text = named_file::read("--batch", &format!("read {shown}"), path)?;
    let mut failed = 0;
    for line in lines(&text) {
        let status = run_line(&line, json)?;
        if status == Status::SUCCESS {
            continue;
        }
        let fault = format!("cannot run line {} of {shown}: it ended with status {}", line.number, status.0);
        if !force {
            return Err(Fault::new(fault));
        }
        narrate::warn(fault);
        failed += 1;
    }
    match failed {
        0 => Ok(Status::SUCCESS),
        _ => Err(Fault::new(format!("cannot run {failed} lines of {shown}"))),
    }
}

fn run_line(line: &Line, json: bool) -> Result<Status, Fault> {
    let mut words = vec![OsString::from(narrate::tool())];
    words.extend(json.then(|| "--json".into()));
    let own = line.words.iter().skip(usize::from(line.words.first().is_some_and(|word| word == "netns")));
    words.extend(own.cloned());
    let act = || match Plan::parse(words)? {
        Parsed::Plan(plan) => plan.apply(),
        Parsed::Text(text) => startup::print(&text),
    };
    match kernel::fork("run a line", "a process for each line: what it enters, the next one does not")? {
        Cloned::Child if narrate::is_dry_run() => act(),
        Cloned::Child => kernel::exit_now(act().unwrap_or_else(|fault| fault.report(narrate::tool()))),
        Cloned::Parent { pid, .. } => wait_for(pid),
    }
}

/// Splits a text into command lines. Pure.
fn lines(text: &[u8]) -> Vec<Line> {
    let mut found = Vec::new();
    let mut pending: Vec<u8> = Vec::new();
    for (number, raw) in text.split(|byte| *byte == b'\n').enumerate() {
        let bare = raw.split(|byte| *byte == b'#').next().unwrap_or_default();
        pending.extend_from_slice(bare);
        if bare.len() == raw.len() && pending.last() == Some(&b'\\') {
            pending.pop();
            continue;
        }
        let words = words(&std::mem::take(&mut pending));
        if !words.is_empty() {
            found.push(Line { number: number + 1, words });
        }
    }
    found
}

/// Splits a line at blanks. A word that begins with a quote ends at the next one of the same kind.
fn words(line: &[u8]) -> Vec<OsString> {
    const BLANKS: &[u8] = b" \t\r\n";
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.iter().position(|byte| !BLANKS.contains(byte)) {
        rest = &rest[start..];
        let quote = [b'"', b'\''].into_iter().find(|quote| rest[0] == *quote);
        let (word, after) = match quote {
            Some(quote) => split(&rest[1..], |byte| byte == quote),
            None => split(rest, |byte| BLANKS.contains(&byte)),
        };
        found.push(OsString::from_vec(word.to_vec()));
        rest = after;
    }
    found
}

/// Splits at the first byte that matches, and leaves that out.
fn split(bytes: &[u8], ends: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|byte| ends(*byte)).unwrap_or(bytes.len());
    (&bytes[..at], bytes.get(at + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_command_on_each_line() {
        let text =
            b"netns add a # first\n\n  # nothing\nnetns exec a sh -c 'echo \"x y\"'\nset \\\n a 5\nlist\t-x\r\nlast";
        let read: Vec<_> = lines(text).into_iter().map(|line| (line.number, line.words)).collect();
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(
            read,
            [
                (1, words(&["netns", "add", "a"])),
                (4, words(&["netns", "exec", "a", "sh", "-c", "echo \"x y\""])),
                (6, words(&["set", "a", "5"])),
                (7, words(&["list", "-x"])),
                (8, words(&["last"])),
            ]
        );
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"a ''").first().map(|line| line.words.len()), Some(2), "an empty word is one");
    }
}
