//! `--wait-until`: pressure, the share of time in which tasks wait for a resource, and the kernel's triggers for it. The
//! kernel's `Documentation/accounting/psi.rst`.
//!
//! A trigger is a write to a pressure file; poll(2) then reports when tasks have waited that much within the window. The
//! surprise: the root of cgroup v2 has no pressure files, since those of the machine are in /proc/pressure; and without
//! CAP_SYS_RESOURCE the kernel only accepts windows of whole multiples of two seconds.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::command_line::units;
use plumbing::kernel::{call, look};
use plumbing::process::kernel_text;
use plumbing::process::target::status_field;
use plumbing::{Fault, Status, narrate};
use rustix::fs::{CWD, Mode, OFlags, openat};

/// How long tasks must wait within which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condition {
    /// `cpu`, `memory`, `io` or `irq`.
    resource: &'static str,
    /// `some`: at least one task waits; `full`: all of them do.
    kind: &'static str,
    stall_usec: u64,
    window_usec: u64,
}

const RESOURCES: [&str; 4] = ["cpu", "memory", "io", "irq"];

/// What CAP_SYS_RESOURCE is in /proc/PID/status; `capabilities(7)`.
const SYS_RESOURCE: u64 = 1 << 24;

impl Condition {
    /// Returns a condition in shares of a window of two seconds, which the kernel accepts from everyone.
    pub(crate) const fn of_two_seconds(resource: &'static str, percent: u64) -> Condition {
        Condition { resource, kind: "some", stall_usec: percent * 20_000, window_usec: 2_000_000 }
    }

    /// Parses `memory.some>10%/2s`.
    pub(crate) fn parse(text: &str) -> Result<Condition, String> {
        let wrong = "expected RESOURCE.some or RESOURCE.full, then >SHARE/WINDOW, such as memory.some>10%/2s or \
                     io.full>150ms/1s; RESOURCE is cpu, memory, io or irq";
        let parts = || {
            let (what, when) = text.split_once('>')?;
            let (resource, kind) = what.trim().split_once('.')?;
            let (share, window) = when.split_once('/')?;
            let resource = RESOURCES.into_iter().find(|known| *known == resource)?;
            let kind = ["some", "full"].into_iter().find(|known| *known == kind)?;
            Some((resource, kind, share.trim(), window.trim()))
        };
        let (resource, kind, share, window) = parts().ok_or_else(|| wrong.to_owned())?;
        let window_usec = units::milliseconds(window)? * 1000;
        let stall_usec = match share.strip_suffix('%') {
            Some(_) => units::cpus(share).map_err(|_| wrong.to_owned())?.saturating_mul(window_usec) / 1000,
            None => units::milliseconds(share)? * 1000,
        };
        if !(500_000..=10_000_000).contains(&window_usec) {
            return Err("the kernel accepts windows from 500ms to 10s".to_owned());
        }
        if stall_usec == 0 || stall_usec > window_usec {
            return Err("the share must be more than nothing, and no more than the window".to_owned());
        }
        Ok(Condition { resource, kind, stall_usec, window_usec })
    }

    /// Returns the resource.
    pub(crate) fn resource(self) -> &'static str {
        self.resource
    }

    fn words(self) -> String {
        format!("{} {} {}", self.kind, self.stall_usec, self.window_usec)
    }
}

/// Asks the kernel to report this pressure of a group; the descriptor is then ready for `POLLPRI`. `None` in a dry run.
pub(crate) fn trigger(group: Option<&Group>, condition: Condition) -> Result<Option<OwnedFd>, Fault> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let name = format!("{}.pressure", condition.resource);
    let of_machine = format!("/proc/pressure/{}", condition.resource);
    let of_group = group.and_then(|group| Some((group.shown().join(&name), group.dir()?)));
    let opened = of_group.map(|(path, dir)| (path, openat(dir, &name, flags, Mode::empty())));
    let (path, opened) = match opened {
        Some((path, opened)) if opened.as_ref().err() != Some(&rustix::io::Errno::NOENT) => (path, opened),
        // Of the root, and of a kernel that does not know the resource.
        Some((path, opened)) if group.is_some_and(|group| group.path().parent().is_some()) => (path, opened),
        _ => (of_machine.clone().into(), openat(CWD, &of_machine, flags, Mode::empty())),
    };
    let goal = format!("watch {}", path.display());
    let file = look(&goal, format!("openat({path:?}, O_RDWR)"), || opened)?;
    let words = condition.words();
    let why = "the kernel reports when tasks have waited so long, in microseconds; Documentation/accounting/psi.rst";
    let written = call(&goal, format!("write({path:?}, {words:?})"), why, || {
        rustix::io::write(&file, format!("{words}\0").as_bytes()).map(drop)
    });
    if written.as_ref().err().and_then(Fault::errno) == Some(Errno::EINVAL) && !may_choose_windows() {
        let remedy = "without CAP_SYS_RESOURCE, the window must be a multiple of 2s";
        return written.map_err(|fault| fault.with_remedy(remedy)).map(|()| None);
    }
    written?;
    Ok(if narrate::is_dry_run() { None } else { Some(file) })
}

fn may_choose_windows() -> bool {
    let status = kernel_text::read("/proc/self/status").unwrap_or_default();
    let effective = status_field(&status, "CapEff").and_then(|set| u64::from_str_radix(set, 16).ok());
    effective.is_some_and(|set| set & SYS_RESOURCE != 0)
}

/// Waits until the condition holds for the own group of `hierarchies`.
pub(crate) fn wait_until(
    condition: Condition,
    hierarchies: &Hierarchies,
    patience: Option<Duration>,
) -> Result<Status, Fault> {
    let group = match hierarchies.v2() {
        Some(v2) => Some(v2.open(v2.own_path())?),
        None => {
            return Err(Fault::new(
                "cannot watch pressure: the group is not in a cgroup v2 hierarchy, and cgroup v1 does not count pressure",
            ));
        }
    };
    let Some(trigger) = trigger(group.as_ref(), condition)? else { return Ok(Status::SUCCESS) };
    let deadline = patience.map(|patience| Instant::now() + patience);
    loop {
        let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let limit = rest.map_or(PollTimeout::NONE, |rest| PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX));
        let mut watched = [PollFd::new(trigger.as_fd(), PollFlags::POLLPRI)];
        match poll(&mut watched, limit) {
            Ok(0) if rest.is_some_and(|rest| rest < Duration::from_millis(2)) => {
                return Err(Fault::new("cannot wait until the condition holds: it has not come in time (--timeout)"));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Fault::kernel("wait for pressure", "poll(trigger, POLLPRI)", errno)),
        }
        let events = watched[0].revents().unwrap_or(PollFlags::empty());
        if events.contains(PollFlags::POLLERR) {
            return Err(Fault::new("cannot wait until the condition holds: the group was removed"));
        }
        if events.contains(PollFlags::POLLPRI) {
            return Ok(Status::SUCCESS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_a_share_or_a_time_of_a_window() {
        let words = |text: &str| Condition::parse(text).map(|condition| (condition.resource, condition.words()));
        assert_eq!(words("memory.some>10%/2s").unwrap(), ("memory", "some 200000 2000000".to_owned()));
        assert_eq!(words("io.full > 150ms / 1s").unwrap(), ("io", "full 150000 1000000".to_owned()));
        for wrong in
            ["memory>10%/2s", "disk.some>1%/2s", "memory.some>10%", "cpu.some>0%/2s", "cpu.some>3s/2s", "io.some>1%/1m"]
        {
            assert!(Condition::parse(wrong).is_err(), "{wrong}");
        }
    }
}
