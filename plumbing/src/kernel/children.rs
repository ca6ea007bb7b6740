//! New processes in the manner of `fork(2)`: no shared memory, and the child continues where it was made. `clone(2)`.
//!
//! clone3(2) makes them, or clone(2) where a filter hides clone3(2): a filter cannot examine clone3's arguments, so
//! engines return ENOSYS for it. The narration and the errors name the call that was made.

use std::fmt::Display;
use std::os::fd::{OwnedFd, RawFd};

use nix::errno::Errno;

use super::{Pretend, adopt, call, own};
use crate::Fault;
use crate::process::namespace::{Kind, KindSet};

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

/// A dry run continues as the child: that is the process whose further steps it has to narrate.
impl Pretend for Cloned {
    fn pretend() -> Result<Self, Fault> {
        Ok(Cloned::Child)
    }
}

/// Makes a child of ours. `goal` completes "cannot …" in the error; `why` gives the reason and the manual page.
pub fn fork(goal: impl Display, why: &str) -> Result<Cloned, Fault> {
    clone(goal, KindSet::EMPTY, Parent::Caller, why)
}

/// Makes a child that is in new namespaces of these kinds from its first moment.
pub fn fork_into(kinds: KindSet, goal: impl Display, why: &str) -> Result<Cloned, Fault> {
    clone(goal, kinds, Parent::Caller, why)
}

/// Makes a child of our parent's, which waits for it; in the pid namespace that we joined for our children.
pub fn fork_sibling(goal: impl Display, why: &str) -> Result<Cloned, Fault> {
    clone(goal, KindSet::EMPTY, Parent::Grand, why)
}

/// Makes a child as [`fork`] does, but directly by clone(2): for use where a filter may kill for clone3(2).
pub fn fork_plainly(goal: impl Display, why: &str) -> Result<Cloned, Fault> {
    clone2(goal, KindSet::EMPTY, Parent::Caller, why)
}

/// Makes a child that examines something for us and changes nothing, so its making is not narrated. It has no exit
/// signal: if it never ends, a command that we execute does not wait for it by mistake.
pub(crate) fn fork_to_look(goal: impl Display) -> Result<Cloned, Fault> {
    let parent = Parent::Unnotified;
    let text = |call| format!("{call}({{flags={}}})", flag_names(KindSet::EMPTY, parent));
    match own(&goal, text("clone3"), || clone3(KindSet::EMPTY, parent)) {
        Err(fault) if fault.errno() == Some(Errno::ENOSYS) => {
            own(&goal, text("clone"), || plain_clone(KindSet::EMPTY, parent))
        }
        answer => answer,
    }
}

/// The parent of the new process.
#[derive(Clone, Copy)]
enum Parent {
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

/// Returns only CLONE_PIDFD, CLONE_PARENT and the CLONE_NEW* of a [`KindSet`]: no flag that shares memory or a stack.
fn flags(kinds: KindSet, parent: Parent) -> u64 {
    let whose = match parent {
        Parent::Caller | Parent::Unnotified => 0,
        Parent::Grand => libc::CLONE_PARENT,
    };
    (libc::CLONE_PIDFD | whose | kinds.clone_flags()) as u64
}

/// Returns the names of these flags.
fn flag_names(kinds: KindSet, parent: Parent) -> String {
    let whose = match parent {
        Parent::Caller | Parent::Unnotified => "",
        Parent::Grand => "|CLONE_PARENT",
    };
    let separator = if kinds.is_empty() { "" } else { "|" };
    format!("CLONE_PIDFD{whose}{separator}{}", kinds.flag_names())
}

fn clone(goal: impl Display, kinds: KindSet, parent: Parent, why: &str) -> Result<Cloned, Fault> {
    let signal = match parent {
        Parent::Caller => ", exit_signal=SIGCHLD",
        Parent::Grand | Parent::Unnotified => "",
    };
    let text = format!("clone3({{flags={}{signal}}})", flag_names(kinds, parent));
    match call(&goal, text, why, || clone3(kinds, parent)) {
        // clone(2) has the exit signal in the bits that are CLONE_NEWTIME in clone3(2).
        Err(fault) if fault.errno() == Some(Errno::ENOSYS) && !kinds.contains(Kind::Time) => {
            let why = "clone3(2) is not available, as under the seccomp filters of older container engines; clone(2)";
            clone2(goal, kinds, parent, why)
        }
        answer => answer,
    }
}

fn clone3(kinds: KindSet, parent: Parent) -> Result<Cloned, Errno> {
    let mut pidfd: RawFd = -1;
    let args = libc::clone_args {
        flags: flags(kinds, parent),
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

fn clone2(goal: impl Display, kinds: KindSet, parent: Parent, why: &str) -> Result<Cloned, Fault> {
    let signal = match parent {
        Parent::Caller => "|SIGCHLD",
        Parent::Grand | Parent::Unnotified => "",
    };
    let text = format!("clone(child_stack=NULL, flags={}{signal})", flag_names(kinds, parent));
    call(goal, text, why, || plain_clone(kinds, parent))
}

fn plain_clone(kinds: KindSet, parent: Parent) -> Result<Cloned, Errno> {
    let mut pidfd: RawFd = -1;
    let flags = flags(kinds, parent) | parent.exit_signal();
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
