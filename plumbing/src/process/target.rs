//! The process that a record names: opened as a pidfd first, verified next, then reached only through descriptors.
//!
//! `pidfd_open(2)`, `proc(5)`. A pid alone proves nothing, it may have been reused; a pidfd that is still not readable
//! after /proc/PID was opened proves that both mean the same process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{read, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::Fault;
use crate::kernel::{call, look};
use crate::pipeline::record::Init;
use crate::process::closing::leave;
use crate::process::kernel_text;
use crate::process::namespace::{Kind, KindSet};
use crate::process::thread;

/// `PID_FS_MAGIC` of <linux/magic.h>: since Linux 6.9 pidfds have a file system of their own, and so unique inodes.
const PID_FS_MAGIC: u64 = 0x5049_4446;

/// Why setns(2) refuses our own user namespace with EINVAL; `user_namespaces(7)`.
pub const OWN_USER: &str = "it is the user namespace that we are in, which the kernel does not let us enter again; leave \
 --user out";

/// A verified process.
#[derive(Debug)]
pub struct Target {
    pid: i32,
    pidfd: OwnedFd,
    /// /proc/PID
    pub(super) dir: OwnedFd,
    via: Via,
}

/// What a target is, and how its namespaces are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    Process,
    /// A thread, by a pidfd.
    Thread,
    /// A thread, by its files: the pidfd refers to its process.
    ThreadFiles,
}

impl Target {
    /// Opens the process that a record names; refuses one that is gone or is not the one meant.
    pub fn open(recorded: &Init) -> Result<Target, Fault> {
        let target = Target::of_pid(recorded.pid).map_err(|fault| match fault.errno() {
            Some(nix::errno::Errno::ESRCH | nix::errno::Errno::ENOENT) => stale(recorded, "that process is gone"),
            _ => fault,
        })?;
        let real = target.identity()?;
        if target.is_exiting()? {
            return Err(stale(recorded, "that process is gone"));
        }
        if real.boot_id != recorded.boot_id {
            return Err(stale(recorded, "it is of another boot"));
        }
        let other_inode =
            matches!((recorded.pidfd_inode, real.pidfd_inode), (Some(recorded), Some(real)) if recorded != real);
        if other_inode || real.start_time != recorded.start_time {
            return Err(stale(recorded, "the pid belongs to another process by now"));
        }
        Ok(target)
    }

    /// Opens a running process by its pid, or a thread by its id.
    pub fn of_pid(pid: i32) -> Result<Target, Fault> {
        let raw =
            Pid::from_raw(pid).ok_or_else(|| Fault::new(format!("cannot open process {pid}: a pid is above 0")))?;
        let goal = format_args!("open process {pid}");
        match look(goal, format_args!("pidfd_open({pid})"), || pidfd_open(raw, PidfdFlags::empty())) {
            Ok(pidfd) => Target::of_pidfd(pid, pidfd),
            Err(fault) => thread::open(raw, fault),
        }
    }

    /// Opens a process from a pidfd that we already have.
    pub fn of_pidfd(pid: i32, pidfd: OwnedFd) -> Result<Target, Fault> {
        let path = format!("/proc/{pid}");
        let dir = look(format_args!("open process {pid}"), format_args!("openat(\"{path}\", O_PATH)"), || {
            directory(rustix::fs::CWD, &path)
        })?;
        Target { pid, pidfd, dir, via: Via::Process }.running()
    }

    /// Makes a target of a thread.
    pub(super) fn of_thread(pid: i32, pidfd: OwnedFd, dir: OwnedFd, via: Via) -> Result<Target, Fault> {
        Target { pid, pidfd, dir, via }.running()
    }

    /// Refuses a process that has ended.
    pub(super) fn running(self) -> Result<Target, Fault> {
        if self.has_ended()? {
            return Err(Fault::kernel(format!("open process {}", self.pid), "poll(pidfd)", nix::errno::Errno::ESRCH));
        }
        Ok(self)
    }

    /// Returns the identity of the process, as records contain it.
    pub fn identity(&self) -> Result<Init, Fault> {
        Ok(Init {
            pid: self.pid,
            start_time: self.start_time()?,
            boot_id: boot_id()?,
            pidfd_inode: self.pidfd_inode()?,
        })
    }

    /// Returns the identity for a record that is never written, and so needs no boot, which a restricted /proc hides.
    pub fn identity_for_now(&self) -> Result<Init, Fault> {
        let (start_time, pidfd_inode) = (self.start_time()?, self.pidfd_inode()?);
        Ok(Init { pid: self.pid, start_time, boot_id: String::new(), pidfd_inode })
    }

    /// Returns when the process started, in clock ticks since boot.
    pub fn start_time(&self) -> Result<u64, Fault> {
        let stat = self.read("stat")?;
        stat_field(&stat, 22).ok_or_else(|| {
            Fault::new(format!("cannot read the start time of process {}: /proc/{0}/stat has no field 22", self.pid))
        })
    }

    /// Returns the inode of its pidfd, which no other process of this boot has; `None` before Linux 6.9.
    pub fn pidfd_inode(&self) -> Result<Option<u64>, Fault> {
        pidfd_inode(self.pidfd())
    }

    /// Returns its pid.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Returns whether it is a thread other than the first of its process.
    pub fn is_thread(&self) -> bool {
        self.via != Via::Process
    }

    /// Returns its pidfd.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Returns its directory in /proc, as a path descriptor. Reads through it fail with ESRCH once the process is gone.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Returns whether the process has ended: a zombie counts as ended.
    pub fn has_ended(&self) -> Result<bool, Fault> {
        self.wait(Duration::ZERO)
    }

    /// Returns whether the process has ended or is about to: killed, with its descriptors and namespaces already gone.
    pub fn is_exiting(&self) -> Result<bool, Fault> {
        /// A flag of <linux/sched.h>.
        const PF_EXITING: u64 = 4;
        match self.read("stat") {
            Ok(stat) => Ok(stat_field(&stat, 9).is_none_or(|flags| flags & PF_EXITING != 0)),
            Err(fault) if fault.errno() == Some(nix::errno::Errno::ESRCH) => Ok(true),
            Err(fault) => Err(fault),
        }
    }

    /// Waits for at most `patience` until the process has ended; returns whether it has.
    pub fn wait(&self, patience: Duration) -> Result<bool, Fault> {
        wait_readable(self.pidfd(), Some(patience))
    }

    /// Reads a file of /proc/PID, such as `cgroup` or `status`.
    pub fn read(&self, file: &str) -> Result<String, Fault> {
        let goal = format!("read /proc/{}/{file}", self.pid());
        let bytes = look(goal, format!("read(\"/proc/{}/{file}\")", self.pid()), || read_at(self.dir(), file))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the kinds in which its namespace is not ours.
    pub fn foreign_kinds(&self) -> Result<KindSet, Fault> {
        // Both directories are opened once: entries of /proc/self are made for each process, and looked up for each
        // path.
        let pid = self.pid();
        let goal = format_args!("read the namespaces of process {pid}");
        let theirs = look(goal, format_args!("openat(\"/proc/{pid}/ns\")"), || directory(self.dir(), "ns"))?;
        let own = directory(rustix::fs::CWD, "/proc/self/ns").ok();
        let own = |kind: Kind| linked_namespace(own.as_ref()?.as_fd(), kind.proc_name()).ok();
        let mut foreign = KindSet::EMPTY;
        for kind in Kind::ALL {
            if self.known(kind, linked_namespace(theirs.as_fd(), kind.proc_name()))? != own(kind) {
                foreign.insert(kind);
            }
        }
        Ok(foreign)
    }

    /// Joins its namespaces of these kinds, all in one call, so that the rights that the user namespace gives count for
    /// the others; `setns(2)`. A joined pid namespace is used only for children.
    pub fn join(&self, kinds: KindSet, why: &str) -> Result<(), Fault> {
        if kinds.is_empty() {
            return Ok(());
        }
        if self.via == Via::ThreadFiles {
            return self.join_by_files(kinds, why);
        }
        let (pid, flags, names) = (self.pid(), kinds.flag_names(), kinds.names());
        let goal = format_args!("enter the {names} namespaces of process {pid}");
        call(goal, format_args!("setns(pidfd of {pid}, {flags})"), why, || {
            nix::sched::setns(self.pidfd(), kinds.flags())
        })
        .map_err(|fault| {
            let is_user = fault.errno() == Some(nix::errno::Errno::EINVAL) && kinds.contains(Kind::User);
            let is_own =
                || self.namespace_inode(Kind::User).is_ok_and(|inode| inode == own_namespace_inode(Kind::User));
            if is_user && is_own() { fault.with_remedy(OWN_USER) } else { fault }
        })
    }

    /// Returns the inode of its namespace of this kind; `None` if the kernel does not know the kind.
    pub fn namespace_inode(&self, kind: Kind) -> Result<Option<u64>, Fault> {
        self.known(kind, linked_namespace(self.dir(), &format!("ns/{}", kind.proc_name())))
    }

    fn known(&self, kind: Kind, inode: Result<u64, rustix::io::Errno>) -> Result<Option<u64>, Fault> {
        match inode {
            Ok(inode) => Ok(Some(inode)),
            // The kernel has no such kind. Below /proc/PID the same errno also means that the first thread has ended, or
            // that the process is hidden from us.
            Err(rustix::io::Errno::NOENT) if own_namespace_inode(kind).is_none() && !self.has_ended()? => Ok(None),
            Err(rustix::io::Errno::NOENT) if !self.has_ended()? => match self.inode_of_a_thread(kind) {
                Some(inode) => Ok(Some(inode)),
                None => Err(self.hidden(kind)),
            },
            Err(error) => {
                let goal = format!("read the {} namespace of process {}", kind.option(), self.pid());
                look(goal, format!("readlink(\"/proc/{}/ns/{}\")", self.pid(), kind.proc_name()), || Err(error))
            }
        }
    }
}

impl Target {
    /// Explains why a namespace that the kernel has cannot be seen.
    fn hidden(&self, kind: Kind) -> Fault {
        let goal = format!("read the {} namespace of process {}", kind.option(), self.pid());
        match self.state() {
            None => Fault::new(format!("cannot {goal}: /proc hides this process (its mount option hidepid)")),
            Some(b'Z') => Fault::new(format!("cannot {goal}: its first thread has ended, and no other can be read")),
            Some(_) => Fault::kernel(
                goal,
                format!("readlink(\"/proc/{}/ns/{}\")", self.pid(), kind.proc_name()),
                nix::errno::Errno::ENOENT,
            ),
        }
    }
}

/// Returns the inode of our own namespace of this kind; `None` if the kernel does not know the kind.
pub fn own_namespace_inode(kind: Kind) -> Option<u64> {
    linked_namespace(rustix::fs::CWD, &format!("/proc/self/ns/{}", kind.proc_name())).ok()
}

/// Returns whether our namespace of this kind is the kernel's initial one; `None` if that cannot be determined.
pub fn is_in_first_namespace(kind: Kind) -> Option<bool> {
    Some(own_namespace_inode(kind)? == kind.first_inode()?)
}

/// Returns the inode of a namespace, from its link in /proc: `net:[4026531833]`. Not from stat(2) of the link's target:
/// the kernel would create the target's inode, and it is on no mounted file system, which AppArmor denies to every
/// process whose profile lacks attach_disconnected.
pub fn linked_namespace(dir: BorrowedFd<'_>, path: &str) -> Result<u64, rustix::io::Errno> {
    // The longest is `cgroup:[18446744073709551615]`.
    let mut buffer = [0; 48];
    let length = rustix::fs::readlinkat_raw(dir, path, &mut buffer[..])?;
    namespace_in_link(&buffer[..length]).ok_or(rustix::io::Errno::INVAL)
}

/// Returns the number in `net:[4026531833]`.
pub fn namespace_in_link(link: &[u8]) -> Option<u64> {
    let bracket = link.iter().position(|byte| *byte == b'[')?;
    std::str::from_utf8(link[bracket + 1..].strip_suffix(b"]")?).ok()?.parse().ok()
}

/// Opens a directory, for looking up names in it.
pub(super) fn directory(dir: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, rustix::io::Errno> {
    openat(dir, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Waits until `fd` is readable (for a pidfd: until the process has ended); without `patience`, without a deadline.
pub fn wait_readable(fd: BorrowedFd<'_>, patience: Option<Duration>) -> Result<bool, Fault> {
    let deadline = patience.filter(|patience| !patience.is_zero()).map(|patience| Instant::now() + patience);
    loop {
        let timeout = match (patience, deadline) {
            (None, _) => PollTimeout::NONE,
            (_, None) => PollTimeout::ZERO,
            (_, Some(deadline)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
            }
        };
        let mut watched = [PollFd::new(fd, PollFlags::POLLIN)];
        match poll(&mut watched, timeout) {
            Ok(0) if deadline.is_none_or(|deadline| Instant::now() >= deadline) => return Ok(false),
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(Fault::kernel("wait for a process", "poll(pidfd, POLLIN)", errno)),
        }
    }
}

/// Waits until one of the two is readable.
pub fn wait_for_either(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<(), Fault> {
    loop {
        let mut watched = [one, other].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(Fault::kernel("wait for a process", "poll(POLLIN)", errno)),
        }
    }
}

/// The most that is read of one file: a container determines how long its table of mounts is.
const LONGEST: usize = 64 << 20;

/// Reads a whole file below a directory descriptor; EFBIG if it is longer than 64 MiB.
pub fn read_at(dir: BorrowedFd<'_>, path: &str) -> Result<Vec<u8>, std::io::Error> {
    let file = openat(dir, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    // Files of /proc do not report their size.
    let mut bytes = Vec::with_capacity(4096);
    while retry_on_intr(|| read(&file, spare_capacity(&mut bytes)))? > 0 {
        if bytes.len() > LONGEST {
            return Err(nix::errno::Errno::EFBIG.into());
        }
        bytes.reserve(1024);
    }
    leave(file);
    Ok(bytes)
}

/// Returns the value of `NAME:` in a text of /proc/PID/status; `proc_pid_status(5)`.
pub fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Returns a field of a stat line, counted from 1 as in `proc(5)`. The second field, the name, may contain spaces and
/// parentheses: count from its end.
pub fn stat_field(stat: &str, number: usize) -> Option<u64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

fn boot_id() -> Result<String, Fault> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let id = look("identify this boot", format!("read(\"{PATH}\")"), || kernel_text::read(PATH))?;
    Ok(id.trim_end().to_owned())
}

/// Returns the inode of a pidfd, which no other process of this boot has; `None` before Linux 6.9.
pub fn pidfd_inode(pidfd: BorrowedFd<'_>) -> Result<Option<u64>, Fault> {
    let on = look("describe a pidfd", "fstatfs(pidfd)", || rustix::fs::fstatfs(pidfd))?;
    if u64::try_from(on.f_type) != Ok(PID_FS_MAGIC) {
        return Ok(None);
    }
    look("describe a pidfd", "fstat(pidfd)", || rustix::fs::fstat(pidfd)).map(|stat| Some(stat.st_ino))
}

fn stale(recorded: &Init, why: &str) -> Fault {
    Fault::new(format!("cannot use the container record: it names process {}, and {why}", recorded.pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_cannot_shift_the_fields() {
        let stat = "7 (a) b ) 1 2) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 8812345 1 1 18446744073709551615";
        assert_eq!(stat_field(stat, 22), Some(8812345));
        assert_eq!(stat_field(stat, 9), Some(4194560));
    }

    #[test]
    fn a_field_of_the_status_has_its_whole_name() {
        let status = "Uid:\t1\t2\nSeccomp:\t2\nSeccomp_filters:\t3\n";
        assert_eq!(status_field(status, "Uid"), Some("1\t2"));
        assert_eq!(status_field(status, "Seccomp"), Some("2"));
        assert_eq!(status_field(status, "Sec"), None);
    }

    #[test]
    fn a_link_of_proc_identifies_a_namespace() {
        assert_eq!(namespace_in_link(b"net:[4026531833]"), Some(4026531833));
        for other in [&b"/run/netns/blue"[..], b"socket:[", b"net:[x]", b"net:[]", b"1]", b""] {
            assert_eq!(namespace_in_link(other), None);
        }
    }

    #[test]
    fn our_own_process_is_accepted_and_a_false_identity_is_not() {
        let own = Target::of_pid(std::process::id() as i32).unwrap().identity().unwrap();
        assert!(Target::open(&own).is_ok());
        let false_identities = [
            Init { start_time: own.start_time + 1, ..own.clone() },
            Init { boot_id: "another".into(), ..own.clone() },
            Init { pidfd_inode: own.pidfd_inode.map(|inode| inode + 1), start_time: own.start_time - 1, ..own.clone() },
        ];
        for identity in false_identities {
            assert!(Target::open(&identity).is_err(), "{identity:?}");
        }
    }
}
