//! Forking the first process of the new pid namespace. `pid_namespaces(7)`.
//!
//! The process that unshares a pid namespace never enters it; its next child is pid 1 there. When pid 1 ends, the
//! kernel kills all other processes of the namespace.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use plumbing::kernel::{self, Cloned, call, look};
use plumbing::process::target::wait_readable;
use plumbing::{Fault, Status};
use rustix::process::PidfdFlags;

use plumbing::process::forward::{Forward, Signals};

use crate::caller::Caller;

/// The process in which [`fork`] returns.
pub(crate) enum Role {
    /// The new process, which continues the work.
    First(Tether),
    /// The old process, which waits.
    Waiting(Box<Child>),
}

/// The signal that ends a process with its parent (`--kill-child`), and a pidfd of the parent.
#[derive(Default)]
pub(crate) struct Tether(Option<(Signal, OwnedFd)>);

/// A child to wait for.
pub(crate) struct Child {
    pid: Pid,
    signals: Signals,
    caller: Option<Caller>,
}

/// Forks. With `kill_child`, the child gets this signal when this process dies.
pub(crate) fn fork(kill_child: Option<Signal>, forward: Forward, why: &str) -> Result<Role, Fault> {
    let tether = Tether::to_this_process(kill_child)?;
    let signals = Signals::block(forward)?;
    match kernel::fork("fork", why)? {
        Cloned::Child => {
            signals.restore()?;
            tether.tie()?;
            Ok(Role::First(tether))
        }
        Cloned::Parent { pid, .. } => {
            Ok(Role::Waiting(Box::new(Child { pid: Pid::from_raw(pid), signals, caller: None })))
        }
    }
}

impl Child {
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Returns the child, to be killed when `caller` ends.
    pub(crate) fn tied_to(self, caller: Option<Caller>) -> Child {
        Child { caller, ..self }
    }

    /// Waits for the end of the child; with `reap`, also collects every orphan that becomes our child.
    pub(crate) fn wait(self, reap: bool) -> Result<Status, Fault> {
        self.signals.wait_with_caller(self.pid, reap, self.caller.map(Caller::into_pidfd))
    }
}

impl Tether {
    pub(crate) fn to_this_process(signal: Option<Signal>) -> Result<Tether, Fault> {
        let Some(signal) = signal else { return Ok(Tether(None)) };
        let parent = look("watch the parent", "pidfd_open(self)", || {
            rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        })?;
        Ok(Tether(Some((signal, parent))))
    }

    /// Requests the signal. This is repeated after each change of credentials, which clears the request.
    pub(crate) fn tie(&self) -> Result<(), Fault> {
        let Some((signal, parent)) = &self.0 else { return Ok(()) };
        let text = format!("prctl(PR_SET_PDEATHSIG, {signal})");
        call(
            "set the parent death signal",
            text,
            "the command must not outlive unshare-rs; PR_SET_PDEATHSIG(2const)",
            || nix::sys::prctl::set_pdeathsig(*signal),
        )?;
        // A parent that died before the prctl sends nothing, and getppid(2) proves nothing across pid namespaces.
        if !plumbing::narrate::is_dry_run() && wait_readable(parent.as_fd(), Some(Duration::ZERO))? {
            return Err(Fault::new("cannot continue: unshare-rs was killed in the meantime"));
        }
        Ok(())
    }
}
