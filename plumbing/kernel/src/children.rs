//! New processes in the manner of `fork(2)`: no shared memory, and the child continues where it was made. `clone(2)`.
//!
//! The surprise: the exit signal of `clone(2)` has the bits that are `CLONE_NEWTIME` in `clone3(2)`.

use std::os::fd::{OwnedFd, RawFd};

use nix::errno::Errno;

use crate::adopt;

/// The process in which the code continues.
#[derive(Debug)]
pub enum Cloned {
    /// The new process.
    Child,
    /// The old process, with the child's pid and a pidfd of it.
    Parent {
        /// The child's pid, as seen by the parent.
        pid: i32,
        /// A descriptor of the child, which stays correct if the pid is reused; `pidfd_open(2)`.
        pidfd: OwnedFd,
    },
}

/// The parent of the new process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// The caller.
    Caller,
    /// The caller, which gets no signal at the end of the child.
    Unnotified,
    /// The parent of the caller.
    Grand,
}

impl Parent {
    /// Returns the exit signal to pass. A sibling gets ours; the kernel refuses one that is passed.
    fn exit_signal(self) -> u64 {
        match self {
            Parent::Caller => libc::SIGCHLD as u64,
            Parent::Grand | Parent::Unnotified => 0,
        }
    }
}

/// The flags that make namespaces. No other flag may come from outside: some share memory or a stack.
const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWTIME;

/// Returns only CLONE_PIDFD, CLONE_PARENT and flags of [`NAMESPACES`].
fn flags(namespaces: i32, parent: Parent) -> Result<u64, Errno> {
    let whose = match parent {
        Parent::Caller | Parent::Unnotified => 0,
        Parent::Grand => libc::CLONE_PARENT,
    };
    if namespaces & !NAMESPACES == 0 { Ok((libc::CLONE_PIDFD | whose | namespaces) as u64) } else { Err(Errno::EINVAL) }
}

/// Makes a child in new namespaces of the kinds in `namespaces` (`CLONE_NEW*`); `clone3(2)`.
pub fn clone3(namespaces: i32, parent: Parent) -> Result<Cloned, Errno> {
    let mut pidfd: RawFd = -1;
    let args = libc::clone_args {
        flags: flags(namespaces, parent)?,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: parent.exit_signal(),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: `args` is a whole clone_args of the size given; with its flags, which share neither memory nor stack, the
    // child runs on its own copy of this memory, and the process is single-threaded by invariant.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    Errno::result(pid).map(|pid| cloned(pid, pidfd))
}

/// Makes the same child by `clone(2)`, which cannot make time namespaces: the call fails with EINVAL for them.
pub fn clone(namespaces: i32, parent: Parent) -> Result<Cloned, Errno> {
    if namespaces & libc::CLONE_NEWTIME != 0 {
        return Err(Errno::EINVAL);
    }
    let mut pidfd: RawFd = -1;
    let flags = flags(namespaces, parent)? | parent.exit_signal();
    let nothing: *const libc::c_void = std::ptr::null();
    // SAFETY: as for clone3(2). `pidfd` is a live integer, which CLONE_PIDFD fills; the last two arguments belong
    // to flags that are not set.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, nothing, &raw mut pidfd, nothing, nothing) };
    Errno::result(pid).map(|pid| cloned(pid, pidfd))
}

fn cloned(pid: libc::c_long, pidfd: RawFd) -> Cloned {
    match pid {
        0 => Cloned::Child,
        pid => Cloned::Parent { pid: pid as i32, pidfd: adopt(pidfd) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_would_share_memory_is_refused() {
        for flag in [libc::CLONE_VM, libc::CLONE_FILES, libc::CLONE_THREAD, libc::CLONE_SETTLS, libc::SIGCHLD] {
            assert_eq!(clone3(flag, Parent::Caller).unwrap_err(), Errno::EINVAL);
            assert_eq!(clone(libc::CLONE_NEWNS | flag, Parent::Caller).unwrap_err(), Errno::EINVAL);
        }
        assert_eq!(clone(libc::CLONE_NEWTIME, Parent::Caller).unwrap_err(), Errno::EINVAL);
    }
}
