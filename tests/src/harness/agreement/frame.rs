//! The frame of reference of the findings: the suite itself, and the process that it started. A number (an inode, a
//! pid, a clock) cannot be compared between runs; whether it is ours, new, or that of the started process can.

use std::fs;

use nix::unistd::{Pid, getpid, getsid};
use rustix::time::{ClockId, clock_gettime};

/// The suite at the start of one run.
pub struct Frame {
    mounts: String,
}

impl Frame {
    /// Reads the current state.
    pub fn now() -> Self {
        Self { mounts: fs::read_to_string("/proc/self/mountinfo").expect("/proc/self/mountinfo") }
    }

    /// Reports whether our mounts are unchanged. A change comes from another process, then a repetition helps, or from
    /// the run itself, which then leaks a mount each time.
    pub fn still_holds(&self) -> bool {
        self.mounts == Self::now().mounts
    }

    /// Describes the value of a key in words that are the same in every run.
    pub fn in_words(&self, key: &str, value: &str, started: Pid) -> String {
        if let Some(kind) = key.strip_prefix("namespace ") {
            return namespace(kind, value);
        }
        if let Some(clock) = key.strip_prefix("clock ") {
            return clock_in_words(clock, value);
        }
        match (key, value.parse::<i32>()) {
            ("pid" | "parent" | "group" | "session", Ok(number)) => process(number, started),
            // Fewer mounts than ours are those below another root.
            ("mounts", Ok(number)) => match number.cast_unsigned() as usize {
                number if number >= self.mounts.lines().count() => {
                    format!("{} more than ours", number - self.mounts.lines().count())
                }
                number => number.to_string(),
            },
            _ => value.to_owned(),
        }
    }
}

fn namespace(kind: &str, link: &str) -> String {
    let ours = fs::read_link(format!("/proc/self/ns/{kind}"));
    match ours {
        _ if !link.contains(":[") => link.to_owned(),
        Ok(ours) if ours.as_os_str() == link => "ours".to_owned(),
        _ => "fresh".to_owned(),
    }
}

fn process(number: i32, started: Pid) -> String {
    let session = getsid(None).map_or(0, Pid::as_raw);
    match number {
        0 => "of another namespace".to_owned(),
        1 => "1".to_owned(),
        _ if number == started.as_raw() => "the one started".to_owned(),
        _ if number == getpid().as_raw() => "the suite".to_owned(),
        _ if number == session => "the suite's".to_owned(),
        _ => "another".to_owned(),
    }
}

/// Describes the distance from our clock, rounded to hundreds of seconds, so that the duration of a run does not count.
fn clock_in_words(clock: &str, value: &str) -> String {
    let id = match clock {
        "realtime" => ClockId::Realtime,
        "monotonic" => ClockId::Monotonic,
        _ => ClockId::Boottime,
    };
    let Ok(theirs) = value.parse::<i64>() else { return value.to_owned() };
    let distance = theirs - clock_gettime(id).tv_sec;
    format!("{:+} s", (distance + 50 * distance.signum()) / 100 * 100)
}
