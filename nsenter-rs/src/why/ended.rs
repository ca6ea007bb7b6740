//! Whether it runs, and how it ended: by the kernel while it remembers that, else by the runtime's files. `wait(2)`.

use plumbing::process::target::{stat_field, status_field};
use plumbing::text::Text;
use serde_json::{Value, json};

use super::fact::Page;
use super::seen::Seen;
use crate::find::Stopped;

/// A bit of a wait status: a core was dumped.
const CORE_DUMPED: u64 = 0x80;

/// Adds the state of a process that runs.
pub(super) fn of_running(seen: &Seen<'_>, page: &mut Page) {
    let source = seen.path("status");
    match seen.read("status") {
        Ok(status) => {
            let state = status_field(&status, "State").unwrap_or("unknown").to_owned();
            let name = status_field(&status, "Name").map(|name| Text::from(name).shown()).unwrap_or_default();
            page.say("state", source, format!("{name} runs: {state}"), json!(state));
        }
        Err(fault) => page.failed("state", source, &fault),
    }
}

/// Adds how a process ended whose parent has not collected its status.
pub(super) fn of_zombie(seen: &Seen<'_>, page: &mut Page) {
    let source = seen.path("stat");
    match seen.read("stat").map(|stat| (stat_field(&stat, 4), stat_field(&stat, 52))) {
        Ok((Some(parent), Some(status))) => {
            let text = format!("has ended; its parent, process {parent}, has not collected its status (zombie)");
            page.say("state", source.clone(), text, json!("Z"));
            // To a process that may not trace it the kernel shows 0.
            if status != 0 || seen.is_traceable() {
                page.say("end", source, wait_status(status), end_value(status));
            } else {
                page.cannot("end", source, "the kernel shows it only to a process that may trace this one");
            }
        }
        Ok(_) => page.cannot("state", source, "it has an unknown form"),
        Err(fault) => page.failed("state", source, &fault),
    }
}

fn wait_status(status: u64) -> String {
    match status & 0x7f {
        0 => format!("exit status {}", status >> 8 & 0xff),
        signal => {
            let name = nix::sys::signal::Signal::try_from(signal as i32).map_or("", |signal| signal.as_str());
            let core = if status & CORE_DUMPED == 0 { "no core dumped" } else { "core dumped" };
            format!("signal {signal} {name}, {core}")
        }
    }
}

fn end_value(status: u64) -> Value {
    match status & 0x7f {
        0 => json!({"status": status >> 8 & 0xff}),
        signal => json!({"signal": signal, "core_dumped": status & CORE_DUMPED != 0}),
    }
}

/// Adds what the runtime has written down about the container: about its last end, if it runs again.
pub(super) fn of_store(stored: Option<&Stopped>, runs: bool, page: &mut Page) {
    const NONE: &str = "the runtime's files";
    let Some(Stopped { end, .. }) = stored else {
        page.cannot("restarts", NONE, "none of the files that are read has this container");
        return;
    };
    let source = end.source.as_ref().map_or_else(|| NONE.to_owned(), Text::shown);
    let finished = end.finished.as_ref().map(|time| format!(" at {}", time.shown())).unwrap_or_default();
    if !runs {
        let status = end.status.as_ref().map_or_else(|| "does not run".to_owned(), Text::shown);
        page.say("state", source.clone(), format!("{status}{finished}"), json!(end.status));
    }
    match end.exit_code {
        Some(code) if !runs || end.finished.is_some() => {
            let text = if (129..=192).contains(&code) {
                format!("exit status {code}, that is, signal {}", code - 128)
            } else {
                format!("exit status {code}")
            };
            let (label, text) = if runs { ("last end", format!("{text}{finished}")) } else { ("end", text) };
            page.say(label, source.clone(), text, json!({"status": code}));
        }
        None if !runs => page.cannot("end", source.clone(), "this runtime keeps it elsewhere"),
        _ => {}
    }
    match end.oom_killed {
        Some(killed) if !runs => {
            let text = if killed { "killed because memory ran out" } else { "the runtime saw no OOM kill" };
            page.say("OOM kills", source.clone(), text, json!(killed));
        }
        None if !runs => page.cannot("OOM kills", source.clone(), "this runtime keeps it elsewhere"),
        _ => {}
    }
    if let Some(error) = &end.error {
        page.say("error", source.clone(), error.shown(), json!(error));
    }
    match end.restarts {
        Some(count) => page.say("restarts", source, count.to_string(), json!(count)),
        None => page.cannot("restarts", source, "this runtime does not count them there"),
    }
    if let (false, Some(stored)) = (runs, stored) {
        match stored.command() {
            Ok(command) => {
                let text = format!("opened by the command that --find {} --stopped prints", stored.shown());
                page.say("files", "the layers of its store", text, json!(command));
            }
            Err(why) => page.cannot("files", "its store", why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_is_a_status_or_a_signal() {
        assert_eq!(wait_status(7 << 8), "exit status 7");
        assert_eq!(wait_status(9), "signal 9 SIGKILL, no core dumped");
        assert_eq!(wait_status(11 | CORE_DUMPED), "signal 11 SIGSEGV, core dumped");
        assert_eq!(end_value(9), json!({"signal": 9, "core_dumped": false}));
    }
}
