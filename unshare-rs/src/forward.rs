//! Waiting for a child, and passing signals on to it meanwhile. `signalfd(2)`, `wait(2)`.
//!
//! The signals are blocked before the fork and read from a descriptor, so none is lost between the two. What the kernel
//! itself sends, a terminal's ^C, went to the whole foreground process group: a child in our own group has it already.

use nix::errno::Errno;
use nix::libc::SI_KERNEL;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid, getpgrp};
use plumbing::kernel::{call, kill_by_number, look};
use plumbing::status::wait_for;
use plumbing::{Fault, Status, narrate};

/// The kernel's first real-time signal, from which strace counts; the C library keeps the first two to itself.
const FIRST_REAL_TIME: i32 = 32;

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
        let blocked = forward.signals();
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
    /// What is blocked, and SIGCHLD where it shall wake us.
    fn signals(self) -> SigSet {
        use Signal::*;
        let without = |left_out: &[Signal]| {
            let mut signals = SigSet::all();
            left_out.iter().for_each(|signal| signals.remove(*signal));
            signals
        };
        // Those of a fault of our own come at once whether blocked or not, and mean nobody else.
        let faults = [SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS];
        match self {
            Forward::Nothing => SigSet::from_iter([SIGTERM, SIGINT]),
            Forward::Termination => SigSet::from_iter([SIGTERM, SIGINT, SIGCHLD]),
            Forward::AllButStops => without(&[&faults[..], &[SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT]].concat()),
            Forward::Everything => without(&faults),
        }
    }
}

/// A failure is told, and no reason to abandon the child.
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
