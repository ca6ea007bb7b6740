//! Waiting for a child, and passing signals on to it meanwhile. `signalfd(2)`, `wait(2)`.
//!
//! The signals are blocked before the fork and read from a descriptor, so none is lost between the two. What the kernel
//! itself sends, a terminal's ^C, went to the whole foreground process group: a child in our own group has it already.

use nix::errno::Errno;
use nix::libc::SI_KERNEL;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid, getpgrp};
use plumbing::kernel::{call, look};
use plumbing::status::wait_for;
use plumbing::{Fault, Status, narrate};

/// What is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forward {
    /// Nothing. TERM and INT wait until the child has ended: what to do with a terminal's ^C is the command's decision.
    Nothing,
    /// TERM and INT.
    Termination,
    /// Whatever can be, but for those by which a terminal's shell stops us together with the child.
    AllButStops,
    /// Whatever can be.
    Everything,
}

/// Blocked signals.
pub(crate) struct Signals {
    forward: Forward,
    blocked: SigSet,
    inherited: SigSet,
}

impl Signals {
    /// Blocks them, before the fork.
    pub(crate) fn block(forward: Forward) -> Result<Signals, Fault> {
        let mut blocked: SigSet = Signal::iterator().filter(|signal| forward.takes(*signal)).collect();
        if forward != Forward::Nothing {
            blocked.add(Signal::SIGCHLD);
        }
        let inherited =
            look("block signals", "sigprocmask(SIG_BLOCK)", || blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK))?;
        Ok(Signals { forward, blocked, inherited })
    }

    /// Gives the child the mask that we were started with.
    pub(crate) fn restore(&self) -> Result<(), Fault> {
        look("restore the signal mask", "sigprocmask(SIG_SETMASK)", || self.inherited.thread_set_mask())
    }

    /// Waits for the child's end. With `reap`, every other child that comes to us is collected too.
    pub(crate) fn wait(self, child: Pid, reap: bool) -> Result<Status, Fault> {
        if self.forward == Forward::Nothing {
            return wait_for(child.as_raw());
        }
        let reader = look("receive signals", "signalfd(-1, SFD_CLOEXEC)", || {
            SignalFd::with_flags(&self.blocked, SfdFlags::SFD_CLOEXEC)
        })?;
        loop {
            if let Some(status) = collect(child, reap)? {
                return Ok(status);
            }
            match reader.read_signal() {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Fault::kernel("receive signals", "read(signalfd)", errno)),
                Ok(None) => {}
                Ok(Some(received)) => pass_on(&received, child),
            }
        }
    }
}

impl Forward {
    fn takes(self, signal: Signal) -> bool {
        use Signal::*;
        match self {
            Forward::Nothing | Forward::Termination => matches!(signal, SIGTERM | SIGINT),
            Forward::AllButStops => {
                Forward::Everything.takes(signal) && !matches!(signal, SIGTSTP | SIGTTIN | SIGTTOU | SIGCONT)
            }
            // Those of a fault of our own come at once whether blocked or not, and mean nobody else.
            Forward::Everything => !matches!(
                signal,
                SIGKILL | SIGSTOP | SIGCHLD | SIGFPE | SIGILL | SIGSEGV | SIGBUS | SIGABRT | SIGTRAP | SIGSYS
            ),
        }
    }
}

/// A failure is told, and no reason to abandon the child.
fn pass_on(received: &siginfo, child: Pid) {
    let Ok(signal) = Signal::try_from(received.ssi_signo.cast_signed()) else { return };
    let is_in_our_group = || getpgid(Some(child)) == Ok(getpgrp());
    if signal == Signal::SIGCHLD || (received.ssi_code == SI_KERNEL && is_in_our_group()) {
        return;
    }
    let text = format!("kill({child}, {signal})");
    if let Err(fault) =
        call(format!("forward {signal}"), text, "the signal is meant for the command", || kill(child, signal))
    {
        narrate::remark(fault);
    }
}

/// Collects whoever has ended; answers how the child did, once it has.
fn collect(child: Pid, reap: bool) -> Result<Option<Status>, Fault> {
    let whom = if reap { None } else { Some(child) };
    let mut status = None;
    loop {
        match waitpid(whom, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) if status.is_some() || whom.is_none() => return Ok(status),
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Fault::kernel("wait for the command", format!("waitpid({child})"), errno)),
            Ok(ended) if ended.pid() == Some(child) => status = Status::of_command(ended).or(status),
            Ok(_) => {}
        }
    }
}
