//! A process and the namespaces that it is in, from its directory in /proc. `proc(5)`, `namespaces(7)`.
//!
//! Everything is read relative to a descriptor of that directory, which always refers to the same process: once the
//! process is gone, reads fail. Links are read, not followed: following one makes the kernel create an inode for it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use plumbing::process::namespace::{Kind, KindSet};
use plumbing::process::target::linked_namespace;
use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};

/// A process that existed a moment ago.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// The inode numbers by kind; 0 if we may not read one.
    namespaces: [u64; 8],
}

impl Process {
    /// Reads the namespaces of these kinds.
    pub(crate) fn read(pid: i32, dir: BorrowedFd<'_>, kinds: KindSet) -> Process {
        let mut namespaces = [0; 8];
        for kind in kinds.iter() {
            namespaces[kind as usize] = linked_namespace(dir, path_of(kind)).unwrap_or_default();
        }
        Process { pid, namespaces }
    }

    /// Returns the process's namespace of this kind, if it is known.
    pub(crate) fn namespace(&self, kind: Kind) -> Option<u64> {
        Some(self.namespaces[kind as usize]).filter(|inode| *inode != 0)
    }
}

/// Opens `/proc/PID` below `/proc`.
pub(crate) fn open(proc: BorrowedFd<'_>, pid: i32) -> Option<OwnedFd> {
    openat(proc, pid.to_string(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Returns the threads other than the first, with those of their namespaces in which the process is not.
pub(crate) fn threads_apart(process: &Process, dir: BorrowedFd<'_>, kinds: KindSet) -> Vec<(i32, Kind, u64)> {
    // A directory has two links more than it has subdirectories; nearly every process has one thread.
    if statat(dir, "task", AtFlags::empty()).map_or(true, |stat| stat.st_nlink <= 3) {
        return Vec::new();
    }
    let mut apart = Vec::new();
    for tid in numbers_in(dir, "task").into_iter().filter(|tid| *tid != process.pid) {
        for kind in kinds.iter() {
            let path = format!("task/{tid}/{}", path_of(kind));
            if let Some(inode) =
                linked_namespace(dir, &path).ok().filter(|inode| Some(*inode) != process.namespace(kind))
            {
                apart.push((tid, kind, inode));
            }
        }
    }
    apart
}

/// Returns the entries of a directory that are numbers.
pub(crate) fn numbers_in(dir: BorrowedFd<'_>, path: &str) -> Vec<i32> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(dir, path, flags, Mode::empty()).map(|opened| numbers(opened.as_fd())).unwrap_or_default()
}

/// Returns the entries of an open directory that are numbers, in the order of the directory. If the directory vanishes
/// meanwhile, the list ends there.
pub(crate) fn numbers(opened: BorrowedFd<'_>) -> Vec<i32> {
    let mut buffer = Vec::with_capacity(16 << 10);
    let mut entries = rustix::fs::RawDir::new(opened, buffer.spare_capacity_mut());
    let mut numbers = Vec::new();
    while let Some(Ok(entry)) = entries.next() {
        numbers.extend(entry.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()));
    }
    numbers
}

/// Returns the path of a namespace below /proc/PID, such as `ns/net`.
fn path_of(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "ns/user",
        Kind::Mnt => "ns/mnt",
        Kind::Uts => "ns/uts",
        Kind::Ipc => "ns/ipc",
        Kind::Net => "ns/net",
        Kind::Pid => "ns/pid",
        Kind::Cgroup => "ns/cgroup",
        Kind::Time => "ns/time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_in_our_own_namespaces() {
        let proc = openat(rustix::fs::CWD, "/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let pid = std::process::id() as i32;
        let dir = open(proc.as_fd(), pid).unwrap();
        let process = Process::read(pid, dir.as_fd(), Kind::ALL.into_iter().collect());
        for kind in Kind::ALL {
            assert_eq!(process.namespace(kind), plumbing::process::target::own_namespace_inode(kind), "{kind:?}");
        }
    }
}
