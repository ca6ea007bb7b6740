//! The mark on a cgroup that was made for one command or container: the process whose end is the group's end, and the
//! group in which its maker was. An extended attribute of the group's directory; `xattr(7)`, Linux 5.7.
//!
//! It outlives a guardian that was killed, so that a later run finds the group and removes it. Only a user who may
//! change the group can set it. The surprise: pid and start time depend on the reader's pid and time namespaces, so the
//! mark contains both, and a reader in another one knows only that the process is gone if its pid namespace is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::Fault;
use crate::kernel::look;
use crate::process::namespace::Kind;
use crate::process::pid_namespaces::{PidNamespaces, is_proc_ours};
use crate::process::target::{own_namespace_inode, read_at, stat_field};

/// The name of the attribute.
pub const NAME: &str = "user.cgexec-rs";

/// The prefix of the names of groups with a mark.
pub const PREFIX: &str = "cgexec-rs-";

/// The largest value that is read: a path of the kernel's and five numbers.
pub(crate) const SIZE: usize = 4096 + 128;

/// The contents of the attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The process whose end is the group's end.
    pub owner: Owner,
    /// The group in which its maker was, as the maker's cgroup namespace sees it.
    pub from: PathBuf,
}

/// A process, as processes in the same namespaces see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pid: i32,
    start_time: u64,
    pid_namespace: u64,
    time_namespace: u64,
}

/// The state of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The process is running.
    Alive,
    /// The process has ended.
    Gone,
    /// The process belongs to other namespaces, or /proc is not ours.
    Unknown,
}

impl Owner {
    /// Describes the process that we see as `pid`.
    pub fn of(pid: i32) -> Result<Owner, Fault> {
        let start_time = start_time(pid)?;
        let missing = || Fault::new(format!("cannot describe process {pid}: /proc/{pid}/stat has no start time"));
        let (pid_namespace, time_namespace) = own_namespaces();
        Ok(Owner { pid, start_time: start_time.ok_or_else(missing)?, pid_namespace, time_namespace })
    }

    /// Returns its pid.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Returns whether the process is still running. A process that has ended but was not waited for counts as alive.
    pub fn fate(&self) -> Fate {
        let (pid_namespace, time_namespace) = own_namespaces();
        if self.pid_namespace != pid_namespace || !is_proc_ours() {
            return Fate::Unknown;
        }
        let Some(pid) = Pid::from_raw(self.pid) else { return Fate::Unknown };
        match (pidfd_open(pid, PidfdFlags::empty()), start_time(self.pid)) {
            (Err(rustix::io::Errno::SRCH), _) => Fate::Gone,
            _ if self.time_namespace != time_namespace => Fate::Unknown,
            (Ok(_), Ok(Some(started))) if started == self.start_time => Fate::Alive,
            // The pid belongs to another process by now.
            (Ok(_), Ok(Some(_))) => Fate::Gone,
            // Not readable, or the process ended in between: the next run looks again.
            _ => Fate::Unknown,
        }
    }
}

impl Owner {
    /// Returns the same, but also knows a process as gone whose pid namespace has ended.
    pub fn fate_among(&self, known: &mut PidNamespaces) -> Fate {
        match self.fate() {
            Fate::Unknown if known.is_over(self.pid_namespace) => Fate::Gone,
            fate => fate,
        }
    }
}

impl Mark {
    /// Returns the value of the attribute.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Owner { pid, start_time, pid_namespace, time_namespace } = self.owner;
        let mut bytes = format!("1 {pid} {start_time} {pid_namespace} {time_namespace} ").into_bytes();
        bytes.extend_from_slice(self.from.as_os_str().as_bytes());
        bytes
    }

    /// Parses such a value; `None` for any other.
    pub fn parse(bytes: &[u8]) -> Option<Mark> {
        let mut fields = bytes.splitn(6, |byte| *byte == b' ');
        let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse::<u64>().ok();
        let version = number()?;
        let owner = Owner {
            pid: number()?.try_into().ok().filter(|pid| *pid > 0)?,
            start_time: number()?,
            pid_namespace: number()?,
            time_namespace: number()?,
        };
        let from = Path::new(OsStr::from_bytes(fields.next()?));
        (version == 1 && from.is_absolute()).then(|| Mark { owner, from: from.to_owned() })
    }
}

/// Returns whether a group of this name may have a mark: checked first, since it costs nothing.
pub fn is_name(name: &OsStr) -> bool {
    name.as_bytes().starts_with(PREFIX.as_bytes())
}

/// Returns when the process started, in clock ticks since boot.
fn start_time(pid: i32) -> Result<Option<u64>, Fault> {
    let path = format!("/proc/{pid}/stat");
    let stat = look(format!("describe process {pid}"), format!("read({path:?})"), || read_at(CWD, &path))?;
    Ok(stat_field(&String::from_utf8_lossy(&stat), 22))
}

/// Returns the inodes of our pid and time namespaces; 0 if the kernel has no such namespaces.
fn own_namespaces() -> (u64, u64) {
    let inode = |kind| own_namespace_inode(kind).unwrap_or_default();
    (inode(Kind::Pid), inode(Kind::Time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        let owner = Owner { pid: 42, start_time: 7, pid_namespace: 4026531836, time_namespace: 0 };
        Mark { owner, from: "/user.slice/a b".into() }
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        assert_eq!(Mark::parse(&mark().to_bytes()), Some(mark()));
    }

    #[test]
    fn a_value_that_is_not_a_mark_is_ignored() {
        for text in [
            "",
            "1",
            "1 42 7 8 9",
            "1 42 7 8 9 relative",
            "2 42 7 8 9 /",
            "1 0 7 8 9 /",
            "1 -4 7 8 9 /",
            "x 42 7 8 9 /",
        ] {
            assert_eq!(Mark::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn only_a_process_of_our_namespaces_can_be_gone() {
        let own = Owner::of(std::process::id() as i32).unwrap();
        assert_eq!(own.fate(), Fate::Alive);
        assert_eq!(Owner { start_time: own.start_time + 1, ..own }.fate(), Fate::Gone);
        assert_eq!(Owner { pid: i32::MAX, ..own }.fate(), Fate::Gone);
        assert_eq!(Owner { pid: i32::MAX, pid_namespace: 1, ..own }.fate(), Fate::Unknown);
        assert_eq!(Owner { time_namespace: 1, ..own }.fate(), Fate::Unknown);
        assert_eq!(Owner { pid: i32::MAX, time_namespace: 1, ..own }.fate(), Fate::Gone);
    }
}
