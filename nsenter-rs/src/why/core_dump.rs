//! Where a core of the process would go, and whether its limit allows one. `core(5)`.
//!
//! The surprise: a program in core_pattern gets the core whatever RLIMIT_CORE is, except for a limit of 1 byte; and the
//! pattern is the host's, but a path in it is looked up in the root of the process.

use plumbing::pipeline::record::ResourceLimit;
use plumbing::process::procfs;
use plumbing::text::Text;
use serde_json::json;

use super::fact::Page;
use super::seen::Seen;

const PATTERN: &str = "/proc/sys/kernel/core_pattern";
const USES_PID: &str = "/proc/sys/kernel/core_uses_pid";

/// Adds both.
pub(super) fn add(seen: &Seen<'_>, page: &mut Page) {
    let pattern = match procfs::read_short("sys/kernel/core_pattern") {
        Ok(pattern) => pattern.trim_end().to_owned(),
        Err(error) => return page.cannot("core", PATTERN, error.to_string()),
    };
    let uses_pid = match procfs::read_short("sys/kernel/core_uses_pid") {
        Ok(text) => text.trim_end() != "0",
        Err(error) => return page.cannot("core", USES_PID, error.to_string()),
    };
    let source = format!("{PATTERN}, {}", seen.path("limits"));
    let limit = match seen.read("limits") {
        Ok(text) => text.lines().filter_map(ResourceLimit::of_proc).find(|limit| limit.resource == "RLIMIT_CORE"),
        Err(fault) => return page.failed("core", source, &fault),
    };
    let Some(limit) = limit else { return page.cannot("core", source, "the file has no limit of cores") };
    let text = destination(&file_pattern(&pattern, uses_pid), limit.soft);
    page.say("core", source, text, json!({"core_pattern": pattern, "limit": limit.soft}));
}

/// Adds the pid to the name of a file, as core_uses_pid demands where the pattern itself does not name it.
fn file_pattern(pattern: &str, uses_pid: bool) -> String {
    let is_file = !pattern.starts_with(['|', '@']);
    // `%%` is a percent sign.
    let names_pid = pattern.replace("%%", "").contains("%p");
    if is_file && uses_pid && !names_pid { format!("{pattern}.%p") } else { pattern.to_owned() }
}

fn destination(pattern: &str, soft: Option<u64>) -> String {
    let shown = Text::from(pattern).shown();
    let amount = soft.map_or_else(|| "no limit".to_owned(), |soft| format!("at most {soft} bytes"));
    match (pattern.as_bytes().first(), soft) {
        (None, _) => "none: the pattern is empty".to_owned(),
        (Some(b'|'), Some(1)) => format!("none: RLIMIT_CORE is 1; else to the host's program {}", &shown[1..]),
        (Some(b'|'), _) => format!("to the host's program {}, whatever the limit", &shown[1..]),
        (Some(b'@'), _) => format!("to the host's socket {}, whatever the limit", &shown[1..]),
        (_, Some(soft)) if soft < rustix::param::page_size() as u64 => {
            format!("none: RLIMIT_CORE is {soft}, less than a page; else the file {shown}")
        }
        (Some(b'/'), _) => format!("the file {shown} in the root of the process, {amount}"),
        _ => format!("the file {shown} in the working directory of the process, {amount}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_goes_to_a_program_or_a_file_if_the_limit_lets_it() {
        for (pattern, soft, expected) in [
            ("core", Some(0), "none: RLIMIT_CORE is 0, less than a page; else the file core"),
            ("core", Some(4095), "none: RLIMIT_CORE is 4095, less than a page; else the file core"),
            ("core.%p", None, "the file core.%p in the working directory of the process, no limit"),
            ("/tmp/core", Some(1 << 20), "the file /tmp/core in the root of the process, at most 1048576 bytes"),
            ("|/lib/x %P", Some(0), "to the host's program /lib/x %P, whatever the limit"),
            ("|/lib/x", Some(1), "none: RLIMIT_CORE is 1; else to the host's program /lib/x"),
            ("", None, "none: the pattern is empty"),
        ] {
            assert_eq!(destination(pattern, soft), expected);
        }
    }

    #[test]
    fn the_pid_is_added_to_the_name_of_a_file_that_does_not_have_it() {
        for (pattern, expected) in [
            ("", ".%p"),
            ("core", "core.%p"),
            ("core.%P", "core.%P.%p"),
            ("%%p", "%%p.%p"),
            ("core.%p", "core.%p"),
            ("|/lib/x", "|/lib/x"),
            ("@/run/x", "@/run/x"),
        ] {
            assert_eq!(file_pattern(pattern, true), expected);
            assert_eq!(file_pattern(pattern, false), pattern);
        }
    }
}
