//! Subordinate ids: the ranges that /etc/subuid and /etc/subgid assign to a user. `subuid(5)`, `subgid(5)`.
//!
//! A user can have several lines, by name and by number, and all are used. The surprise: `newuidmap(1)` passes over a line
//! with a trailing blank or carriage return without a word, and then refuses the range; so such a line is not used here
//! either, and a warning names it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use plumbing::command_line::regular;
use plumbing::process::accounts;
use plumbing::{Fault, narrate};

use crate::accounts::user_name;
use crate::id_map::Span;

/// The maximum number of bytes of such a file.
const LONGEST: u64 = 16 << 20;

/// A line of the user: its range, or what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    number: usize,
    text: String,
    range: Result<Span, &'static str>,
}

/// Returns the ranges of user `uid` in `file`.
pub(crate) fn ranges(file: &str, uid: u32) -> Result<Vec<Span>, Fault> {
    let name = user_name(uid)?;
    let who = name.as_ref().map_or_else(|| uid.to_string(), |name| name.to_string_lossy().into_owned());
    let goal = format!("find subordinate ids of {who}");
    let table = regular::read(Path::new(file), LONGEST)?
        .ok_or_else(|| Fault::kernel(&goal, format!("open({file:?})"), Errno::ENOENT))?;
    let lines = parse(&table, name.as_deref(), uid);
    let (good, bad): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.range.is_ok());
    let wrong = |line: &Line| {
        let why = line.range.as_ref().err().copied().unwrap_or_default();
        format!("{file}, line {}: {:?}: {why}", line.number, line.text)
    };
    let found: Vec<Span> = good.into_iter().filter_map(|line| line.range.ok()).collect();
    if let (true, Some(line)) = (found.is_empty(), bad.first()) {
        return Err(Fault::new(format!("cannot {goal}: {}", wrong(line)))
            .with_remedy(format!("write the line as NAME:FIRST:COUNT, as newuidmap(1) demands: {who}:100000:65536")));
    }
    bad.iter().for_each(|line| narrate::warn(format!("{}; correct the line, which is not used", wrong(line))));
    if found.is_empty() {
        return Err(Fault::new(format!("cannot {goal}: {file} has no line for this user"))
            .with_remedy(format!("run as root: usermod {} 100000-165535 {who}", add_option(file))));
    }
    Ok(found)
}

/// Returns what makes the helpers stop before a line that we understand: they read lines as strings of C, so a NUL joins
/// its line with the next one.
pub(crate) fn unreadable_for_helpers() -> Option<String> {
    ["/etc/subuid", "/etc/subgid"].into_iter().find_map(|file| {
        let table = regular::read(Path::new(file), LONGEST).ok()??;
        let place = table.iter().position(|byte| *byte == 0)?;
        let number = table[..place].iter().filter(|byte| **byte == b'\n').count() + 1;
        Some(format!(
            "remove the NUL byte in line {number} of {file}: newuidmap(1) and newgidmap(1) miss the lines there"
        ))
    })
}

/// Returns the option of `usermod(8)` that adds a range to `file`.
fn add_option(file: &str) -> &'static str {
    if file.ends_with("subgid") { "--add-subgids" } else { "--add-subuids" }
}

/// Parses the user's lines of `who:first:count`. Lines of others, whatever they contain, are passed over.
fn parse(table: &[u8], name: Option<&OsStr>, uid: u32) -> Vec<Line> {
    let is_ours = |who: &[u8]| name.is_some_and(|name| name.as_bytes() == who) || accounts::id(who) == Some(uid);
    let lines = table.split(|byte| *byte == b'\n').enumerate();
    lines
        .filter_map(|(index, line)| {
            let (who, rest) = line.split_at(line.iter().position(|byte| *byte == b':')?);
            let text = || String::from_utf8_lossy(line).into_owned();
            is_ours(who).then(|| Line { number: index + 1, text: text(), range: range(&rest[1..]) })
        })
        .collect()
}

fn range(fields: &[u8]) -> Result<Span, &'static str> {
    let fields: Vec<_> = fields.split(|byte| *byte == b':').collect();
    let [first, count, ..] = fields[..] else { return Err("it does not have three fields") };
    let is_padded = |field: &[u8]| field.trim_ascii_end() != field;
    if is_padded(first) || is_padded(count) {
        return Err("a number has a blank, a tab or a carriage return after it");
    }
    // To newuidmap(1), a number with a leading 0 is octal.
    let number = |field: &[u8]| {
        let digits = field.trim_ascii_start();
        accounts::id(digits).filter(|_| digits == b"0" || !digits.starts_with(b"0")).map(u64::from)
    };
    let (Some(first), Some(count)) = (number(first), number(count)) else {
        return Err("the first id and the count are not both decimal numbers below 4294967296");
    };
    let span = Span { first, end: first + count };
    match count {
        0 => Err("the count is 0"),
        _ if span.end > u64::from(u32::MAX) => Err("the range ends above the highest id"),
        _ => Ok(span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(table: &[u8], name: Option<&str>, uid: u32) -> Vec<Span> {
        parse(table, name.map(OsStr::new), uid).into_iter().filter_map(|line| line.range.ok()).collect()
    }

    #[test]
    fn every_line_of_the_user_is_used() {
        let text = b"root:1:2\nweb:100000:65536\n900:300000:10\nweb:x:1\nweb:5\nwebber:7:7\nweb:400000:0\n";
        assert_eq!(good(text, Some("web"), 900), [Span::of(100_000, 65536), Span::of(300_000, 10)]);
        assert_eq!(good(text, None, 900), [Span::of(300_000, 10)]);
        assert!(good(text, Some("nobody"), 1).is_empty());
        // As newuidmap(1) reads them.
        assert_eq!(good(b"web: 100000:65536:x", Some("web"), 900), [Span::of(100_000, 65536)]);
    }

    #[test]
    fn a_line_of_somebody_else_may_contain_anything() {
        for other in [&b"bj\xf6rn:1:2"[..], b"\xff\xfe", b"a\0b:1:2", b"web\r", b":::::", b"x:1:2\r", b""] {
            for table in [[other, b"\nweb:100000:65536"].concat(), [b"web:100000:65536\n", other].concat()] {
                assert_eq!(good(&table, Some("web"), 900), [Span::of(100_000, 65536)], "{table:?}");
            }
        }
    }

    #[test]
    fn a_wrong_line_of_the_user_says_why() {
        for (line, why) in [
            ("web:100000:65536 ", "after it"),
            ("web:100000:65536\t", "after it"),
            ("web:100000:65536\r", "after it"),
            ("web:100000 :65536", "after it"),
            ("web:100000", "three fields"),
            ("web:0100000:65536", "decimal"),
            ("web:1e5:65536", "decimal"),
            ("web:100000:0", "is 0"),
            ("web:4294967290:65536", "above"),
        ] {
            let lines = parse(line.as_bytes(), Some(OsStr::new("web")), 900);
            let wrong = lines[0].range.unwrap_err();
            assert!(wrong.contains(why), "{line:?}: {wrong}");
        }
    }
}
