//! Waiting for a child, and forwarding signals to it in the meantime. `signalfd(2)`, `wait(2)`.
//!
//! The signals are blocked before the fork and then read from a descriptor, so none is lost in between. A signal that
//! the kernel itself sends (a terminal's ^C) goes to the whole foreground process group, so a child in our own group
//! already has it.

use nix::errno::Errno;
use nix::libc::SI_KERNEL;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid, getpgrp};
use plumbing::kernel::{call, kill_by_number, own};
use plumbing::process::status::wait_for;
use plumbing::{Fault, Status, narrate};

/// The kernel's first real-time signal, from which strace counts; the C library reserves the first two.
const FIRST_REAL_TIME: i32 = 32;

/// The signals that are forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forward {
    /// None. TERM and INT stay pending until the child has ended: the command decides what a terminal's ^C does.
    Nothing,
    /// TERM and INT.
    Termination,
    /// All that can be forwarded, except those with which a shell stops us together with the child.
    AllButStops,
    /// All that can be forwarded.
    Everything,
}

/// The blocked signals, and the mask from before.
pub(crate) struct Signals {
    forward: Forward,
    blocked: SigSet,
    inherited: SigSet,
}

impl Signals {
    /// Blocks the signals, before the fork.
    pub(crate) fn block(forward: Forward) -> Result<Signals, Fault> {
        let blocked = forward.signals();
        let inherited =
            own("block signals", "sigprocmask(SIG_BLOCK)", || blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK))?;
        Ok(Signals { forward, blocked, inherited })
    }

    /// Restores the inherited mask, in the child.
    pub(crate) fn restore(&self) -> Result<(), Fault> {
        own("restore the signal mask", "sigprocmask(SIG_SETMASK)", || self.inherited.thread_set_mask())
    }

    /// Waits for the end of the child. With `reap`, also collects every other process that becomes our child.
    pub(crate) fn wait(self, child: Pid, reap: bool) -> Result<Status, Fault> {
        if self.forward == Forward::Nothing {
            return wait_for(child.as_raw());
        }
        let reader = own("receive signals", "signalfd(-1, SFD_CLOEXEC)", || {
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
    /// Returns the signals to block, including SIGCHLD if it must wake us.
    fn signals(self) -> SigSet {
        use Signal::*;
        let without = |left_out: &[Signal]| {
            let mut signals = SigSet::all();
            left_out.iter().for_each(|signal| signals.remove(*signal));
            signals
        };
        // The signals of our own faults are delivered even if blocked, and are not meant for the child.
        let faults = [SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS];
        match self {
            Forward::Nothing => SigSet::from_iter([SIGTERM, SIGINT]),
            Forward::Termination => SigSet::from_iter([SIGTERM, SIGINT, SIGCHLD]),
            Forward::AllButStops => without(&[&faults[..], &[SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT]].concat()),
            Forward::Everything => without(&faults),
        }
    }
}

/// Forwards a signal. A failure is only reported, because the child must still be waited for.
fn pass_on(received: &siginfo, child: Pid) {
    let number = received.ssi_signo.cast_signed();
    let is_in_our_group = || getpgid(Some(child)) == Ok(getpgrp());
    if number == Signal::SIGCHLD as i32 || (received.ssi_code == SI_KERNEL && is_in_our_group()) {
        return;
    }
    let name =
        Signal::try_from(number).map_or_else(|_| format!("SIGRT_{}", number - FIRST_REAL_TIME), |it| it.to_string());
    let text = format!("kill({child}, {name})");
    let why = "the signal is meant for the command";
    if let Err(fault) = call(format!("forward {name}"), text, why, || kill_by_number(child.as_raw(), number)) {
        narrate::remark(fault);
    }
}

/// Collects ended children; returns the status of `child` if it has ended.
fn collect(child: Pid, reap: bool) -> Result<Option<Status>, Fault> {
    let awaited = if reap { None } else { Some(child) };
    let mut status = None;
    loop {
        match waitpid(awaited, Some(WaitPidFlag::WNOHANG)) {
            // No more children to collect: all are alive, or `child` was the last one.
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) if status.is_some() || awaited.is_none() => {
                return Ok(status);
            }
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Fault::kernel("wait for the command", format!("waitpid({child})"), errno)),
            Ok(ended) if ended.pid() == Some(child) => status = Status::of_command(ended).or(status),
            Ok(_) => {}
        }
    }
}
