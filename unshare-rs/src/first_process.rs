//! Forking the first process of the new pid namespace, and waiting for it. `pid_namespaces(7)`.
//!
//! The process that unshares a pid namespace never enters it, its next child is pid 1 there; and when that one ends,
//! the kernel kills everything else in the namespace.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use plumbing::kernel::{Cloned, call, clone3, look};
use plumbing::namespace::KindSet;
use plumbing::status::wait_for;
use plumbing::target::wait_readable;
use plumbing::{Fault, Status};
use rustix::process::PidfdFlags;

/// Who comes back from [`fork`].
pub(crate) enum Role {
    /// The new process, which goes on.
    First,
    /// The old one: the first process has ended so.
    Waited(Status),
}

/// Forks. With `kill_child`, the death of this process ends the child by that signal.
pub(crate) fn fork(kill_child: Option<Signal>) -> Result<Role, Fault> {
    let parent = look("watch the parent", "pidfd_open(self)", || {
        rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
    })?;
    // Blocked, not ignored, as unshare(1) does: a terminal's ^C is for the command, and what it does with it decides.
    let terminal_signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    let inherited_mask = look("block signals", "sigprocmask(SIG_BLOCK, [INT TERM])", || {
        terminal_signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)
    })?;
    let why = "the child is the first process of the new pid namespace, where there is one; pid_namespaces(7)";
    let text = "clone3({flags=CLONE_PIDFD, exit_signal=SIGCHLD})";
    match call("fork", text, why, || clone3(KindSet::EMPTY))? {
        Cloned::Child => {
            look("restore the signal mask", "sigprocmask(SIG_SETMASK)", || inherited_mask.thread_set_mask())?;
            if let Some(signal) = kill_child {
                die_with_parent(signal, &parent)?;
            }
            Ok(Role::First)
        }
        Cloned::Parent { pid, .. } => wait_for(pid).map(Role::Waited),
    }
}

fn die_with_parent(signal: Signal, parent: &OwnedFd) -> Result<(), Fault> {
    let text = format!("prctl(PR_SET_PDEATHSIG, {signal})");
    call("end with the parent", text, "the command shall not outlive unshare-rs; PR_SET_PDEATHSIG(2const)", || {
        nix::sys::prctl::set_pdeathsig(signal)
    })?;
    // A parent that died before the prctl sends nothing, and getppid(2) proves nothing across pid namespaces.
    if wait_readable(parent.as_fd(), Some(Duration::ZERO))? {
        return Err(Fault::new("cannot go on: unshare-rs was killed while it forked"));
    }
    Ok(())
}
