//! Whether a pid namespace has ended, for what a process in it has left outside. `pid_namespaces(7)`.
//!
//! A pid that was noted in another pid namespace shows nothing in ours. But a namespace ends with its first process, and the
//! kernel then kills all others in it and below it. So if no process is in the namespace, the noted one is gone. Only the
//! machine's first pid namespace shows all processes. The surprise: an inode number is used again, so a namespace that seems to
//! exist may be another one; a namespace that does not exist is certainly over.

use std::collections::BTreeSet;
use std::fs::read_dir;

use rustix::fs::CWD;
use rustix::thread::CapabilitySet;

use crate::confinement::privilege::capabilities::holds;
use crate::process::namespace::Kind;
use crate::process::target::{is_in_first_namespace, linked_namespace, own_namespace_inode, read_at};

/// The pid namespaces that were seen.
#[derive(Debug, Default)]
pub struct PidNamespaces {
    living: BTreeSet<u64>,
}

impl PidNamespaces {
    /// Returns whether the pid namespace with this inode has certainly ended. Where that is so, it looks at each process, since
    /// what it has seen before may have ended, but what it has not seen may have begun.
    pub fn is_over(&mut self, inode: u64) -> bool {
        if inode == 0 || self.living.contains(&inode) || !sees_all() {
            return false;
        }
        let Some(living) = look() else { return false };
        self.living = living;
        !self.living.contains(&inode)
    }
}

/// Returns whether /proc shows us every process of the machine, with its namespaces.
fn sees_all() -> bool {
    let is_first = |kind| is_in_first_namespace(kind) == Some(true);
    is_first(Kind::Pid) && is_first(Kind::User) && holds(CapabilitySet::SYS_PTRACE) == Some(true) && is_proc_ours()
}

/// Returns whether /proc shows our pid namespace and not one above it.
pub(crate) fn is_proc_ours() -> bool {
    let mut buffer = [0; 16];
    let own = std::process::id().to_string();
    rustix::fs::readlinkat_raw(CWD, "/proc/self", &mut buffer[..])
        .is_ok_and(|length| buffer[..length] == *own.as_bytes())
}

/// Returns the pid namespaces in which processes are; `None` if one of them cannot be determined.
fn look() -> Option<BTreeSet<u64>> {
    let own = own_namespace_inode(Kind::Pid)?;
    let mut living = BTreeSet::from([own]);
    // A process that exists during the whole pass is among the entries, and the first one of a namespace does.
    for entry in read_dir("/proc").ok()? {
        let Some(pid) = entry.ok()?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        living.extend(namespace_of(pid, own)?);
    }
    Some(living)
}

/// Returns the pid namespace of a process; nothing if it has ended, `None` if it cannot be determined.
fn namespace_of(pid: i32, own: u64) -> Option<Option<u64>> {
    use rustix::io::Errno;
    match linked_namespace(CWD, &format!("/proc/{pid}/ns/pid")) {
        Ok(inode) => Some(Some(inode)),
        Err(Errno::NOENT | Errno::SRCH) => Some(None),
        // A security module denies it even to root. But all may read in how many nested namespaces it has a pid.
        Err(_) => match read_at(CWD, &format!("/proc/{pid}/status")) {
            Ok(status) => is_in_one(&status)?.then_some(Some(own)),
            Err(error) => matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::SRCH)).then_some(None),
        },
    }
}

/// Returns whether a process has one pid only, so that it is in the first pid namespace.
fn is_in_one(status: &[u8]) -> Option<bool> {
    let pids = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"NSpid:"))?;
    Some(pids.split(u8::is_ascii_whitespace).filter(|pid| !pid.is_empty()).count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_two_pids_is_in_a_nested_namespace() {
        assert_eq!(is_in_one(b"Name:\tx\nNSpid:\t42\nNSpgid:\t42\t1\n"), Some(true));
        assert_eq!(is_in_one(b"NSpid:\t42\t1\n"), Some(false));
        assert_eq!(is_in_one(b"Name:\tx\n"), None);
    }

    #[test]
    fn our_own_namespace_is_not_over() {
        let own = own_namespace_inode(Kind::Pid).unwrap();
        assert!(!PidNamespaces::default().is_over(own));
        assert!(!PidNamespaces::default().is_over(0));
    }
}
