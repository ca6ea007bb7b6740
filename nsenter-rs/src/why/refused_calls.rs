//! Which system calls a filter refused, by the kernel's log or the audit daemon's. `seccomp(2)`, `auditd(8)`.
//!
//! The kernel logs what a filter kills for, and refusals only if the filter asks for it. A process that was killed is gone
//! when somebody asks, so records of ended processes with the same name are shown, too, and marked.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use nix::errno::Errno;
use plumbing::confinement::seccomp::call_name;
use plumbing::fault::errno_text;
use plumbing::process::target::status_field;
use plumbing::text::Text;
use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::Serialize;
use serde_json::json;

use super::fact::Page;
use super::seen::Seen;

const AUDIT_LOG: &str = "/var/log/audit/audit.log";
const KERNEL_LOG: &str = "/dev/kmsg";

/// How much of the audit log is read, from its end.
const MOST: u64 = 4 << 20;
/// How many refusals are shown, the last ones.
const MOST_SHOWN: usize = 8;

/// A record of the log.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Refusal {
    pid: i32,
    name: String,
    /// The name of the call, or its number.
    call: String,
    /// What the filter did.
    action: &'static str,
}

/// Adds how the process is filtered, and what was refused.
pub(super) fn add(seen: &Seen<'_>, page: &mut Page) {
    let (source, status) = (seen.path("status"), seen.read("status"));
    let name = match &status {
        Ok(status) => {
            let text = match status_field(status, "Seccomp") {
                Some("0") => "no filter".to_owned(),
                Some("1") => "strict mode".to_owned(),
                Some(_) => match status_field(status, "Seccomp_filters") {
                    Some("1") => "1 filter".to_owned(),
                    count => format!("{} filters", count.unwrap_or("some")),
                },
                None => "not in this kernel".to_owned(),
            };
            page.say("seccomp", source, text.clone(), json!(text));
            status_field(status, "Name").unwrap_or_default().to_owned()
        }
        Err(fault) => {
            page.failed("seccomp", source, fault);
            String::new()
        }
    };
    let (source, log) = match audit_log() {
        Ok(Some(log)) => (AUDIT_LOG, Ok(log)),
        Ok(None) => (KERNEL_LOG, kernel_log()),
        Err(errno) => (AUDIT_LOG, Err(errno)),
    };
    match log {
        Ok(log) => refusals(&log, seen.pid, &name, source, page),
        Err(errno) => page.cannot("refused calls", source, errno_text(errno)),
    }
}

fn refusals(log: &str, pid: i32, name: &str, source: &str, page: &mut Page) {
    let has_ended = |pid: i32| !Path::new(&format!("/proc/{pid}")).exists();
    let is_meant = |it: &Refusal| it.pid == pid || it.name == name && has_ended(it.pid);
    let mut found: Vec<_> = log.lines().filter_map(refusal).filter(is_meant).collect();
    let total = found.len();
    found.drain(..total.saturating_sub(MOST_SHOWN));
    if found.is_empty() {
        return page.say("refused calls", source, "none in the log", json!([]));
    }
    let shown = |it: &Refusal| {
        let name = Text::from(it.name.as_str()).shown();
        let ended =
            if it.pid == pid { String::new() } else { format!(" of {name}, process {}, which has ended", it.pid) };
        format!("{} ({}{ended})", it.call, it.action)
    };
    let listed: Vec<_> = found.iter().map(shown).collect();
    let more = if total > found.len() { format!("; {} earlier ones", total - found.len()) } else { String::new() };
    page.say("refused calls", source, format!("{}{more}", listed.join("; ")), json!(found));
}

/// Reads a line of either log: `type=1326` or `type=SECCOMP`, with `pid=`, `comm=`, `arch=`, `syscall=` and `code=`.
fn refusal(line: &str) -> Option<Refusal> {
    if !line.contains("type=1326 ") && !line.contains("type=SECCOMP ") {
        return None;
    }
    // With `log_format = ENRICHED`, auditd adds its own words after this character, which no word of the kernel has.
    let line = line.split('\x1d').next()?;
    // The name and the path of the program are chosen by others; a name with odd letters is in hexadecimal digits.
    let after = |key: &str| line.split_once(key).map(|(_, rest)| rest.split(' ').next().unwrap_or_default());
    let pid = after(" pid=")?.parse().ok()?;
    let (_, rest) = line.split_once(" comm=")?;
    let name = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?.to_owned(),
        None => unhex(rest.split(' ').next()?)?,
    };
    let numbers = line.rsplit_once(" sig=")?.1;
    let of = |key: &str| numbers.split(' ').find_map(|word| word.strip_prefix(key));
    let architecture = u32::from_str_radix(of("arch=")?, 16).ok()?;
    let number: u32 = of("syscall=")?.parse().ok()?;
    let code = of("code=").and_then(|code| u32::from_str_radix(code.strip_prefix("0x")?, 16).ok());
    let call = call_name(architecture, number).map_or_else(|| format!("call {number}"), str::to_owned);
    Some(Refusal { pid, name, call, action: action(code) })
}

/// Returns what a filter's return value means; `SECCOMP_RET_*` of <linux/seccomp.h>.
fn action(code: Option<u32>) -> &'static str {
    match code.map(|code| code & 0xffff_0000) {
        Some(0x8000_0000) => "killed the process",
        Some(0) => "killed the thread",
        Some(0x0003_0000) => "SIGSYS",
        Some(0x0005_0000) => "failed",
        Some(0x7ffc_0000) => "logged and allowed",
        Some(0x7ff0_0000) => "left to a tracer",
        Some(0x7fc0_0000) => "left to a supervisor",
        _ => "unknown action",
    }
}

fn unhex(digits: &str) -> Option<String> {
    let bytes = digits.as_bytes().chunks(2).map(|pair| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    });
    Some(String::from_utf8_lossy(&bytes.collect::<Option<Vec<_>>>()?).into_owned())
}

/// Returns the end of the audit daemon's log, if there is one. While it runs, the kernel's log has no such records.
fn audit_log() -> Result<Option<String>, Errno> {
    let from = |error: std::io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    let mut file = match File::open(AUDIT_LOG) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(from)?,
    };
    let length = file.metadata().map_err(from)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST))).map_err(from)?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).map_err(from)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Returns the records of the kernel's log that are about filters.
fn kernel_log() -> Result<String, Errno> {
    let from = |error: rustix::io::Errno| Errno::from_raw(error.raw_os_error());
    let log = openat(CWD, KERNEL_LOG, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    let log = log.map_err(from)?;
    let (mut text, mut record) = (String::new(), [0; 8192]);
    loop {
        match rustix::io::read(&log, &mut record[..]) {
            Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(text),
            Ok(length) => {
                let line = String::from_utf8_lossy(&record[..length]);
                let message =
                    line.split_once(';').map_or("", |(_, message)| message.lines().next().unwrap_or_default());
                if message.contains("type=1326 ") {
                    text.push_str(message);
                    text.push('\n');
                }
            }
            // Records were overwritten before they were read.
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(from(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_decoded_and_a_name_cannot_forge_one() {
        let line = "audit: type=1326 audit(1.1:2): auid=1 uid=0 gid=0 ses=1 pid=77 comm=\"a sig=9 arch=1\" exe=\"/x syscall=1\" sig=31 \
                    arch=c000003e syscall=170 compat=0 ip=0x7f code=0x80000000";
        let expected = Refusal {
            pid: 77,
            name: "a sig=9 arch=1".to_owned(),
            call: "sethostname".to_owned(),
            action: "killed the process",
        };
        assert_eq!(refusal(line).as_ref(), Some(&expected));
        let enriched = format!("{line}\x1dARCH=x86_64 SYSCALL=sethostname AUID=\"root\" UID=\"root\"");
        assert_eq!(refusal(&enriched), Some(expected));
        let hex = line.replace("comm=\"a sig=9 arch=1\"", "comm=610A62").replace("0x80000000", "0x50001");
        let found = refusal(&hex).unwrap();
        assert_eq!((found.name.as_str(), found.action), ("a\nb", "failed"));
        assert_eq!(refusal("type=1400 pid=1 comm=\"x\""), None);
        assert_eq!(refusal("type=1326 pid=x"), None);
    }
}
