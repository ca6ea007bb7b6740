//! Waiting for a child, and forwarding signals to it in the meantime. `signalfd(2)`, `wait(2)`.
//!
//! The signals are blocked before the fork and then read from a descriptor, so none is lost in between. A signal that
//! the kernel itself sends (a terminal's ^C) goes to the whole foreground process group, so a child in our own group
//! already has it. A child that has left our group, as behind chroot-rs without a terminal, gets it from us, with its
//! own group; `setsid(2)`.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc::SI_KERNEL;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid, getpgrp};

use crate::kernel::{call, kill_by_number, own};
use crate::process::target::{wait_for_either, wait_readable};
use crate::{Fault, Status, narrate};

/// The kernel's first real-time signal, from which strace counts; the C library reserves the first two.
const FIRST_REAL_TIME: i32 = 32;

/// The signals that are blocked so that a child which has left our group gets them. Then they take their effect on us.
const KEYS: &[Signal] = &[Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP];

/// Waits for the end of a child, and returns its status.
pub fn wait_for(pid: i32) -> Result<Status, Fault> {
    loop {
        match waitpid(Pid::from_raw(pid), None) {
            Err(Errno::EINTR) => {}
            Err(errno) => {
                return Err(Fault::kernel(format!("wait for process {pid}"), format!("waitpid({pid})"), errno));
            }
            Ok(ended) => {
                if let Some(status) = Status::of_command(ended) {
                    return Ok(status);
                }
            }
        }
    }
}

/// The signals that are forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// Only what is typed on our terminal, for a child that has left our group. TERM and INT do not end us: the command
    /// decides what a terminal's ^C does.
    Nothing,
    /// TERM and INT, and what is typed.
    Termination,
    /// All that can be forwarded, except those with which a shell stops us together with the child.
    AllButStops,
    /// All that can be forwarded.
    Everything,
}

/// The blocked signals, and the mask from before.
pub struct Signals {
    forward: Forward,
    blocked: SigSet,
    inherited: SigSet,
}

impl Signals {
    /// Blocks the signals, before the fork.
    pub fn block(forward: Forward) -> Result<Signals, Fault> {
        let blocked = forward.signals();
        let inherited =
            own("block signals", "sigprocmask(SIG_BLOCK)", || blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK))?;
        Ok(Signals { forward, blocked, inherited })
    }

    /// Restores the inherited mask, in the child.
    pub fn restore(&self) -> Result<(), Fault> {
        own("restore the signal mask", "sigprocmask(SIG_SETMASK)", || self.inherited.thread_set_mask())
    }

    /// Opens a descriptor that is readable when one of the signals has arrived, for a caller that waits for more than
    /// these; `signalfd(2)`.
    pub fn reader(&self) -> Result<SignalFd, Fault> {
        own("receive signals", "signalfd(-1, SFD_CLOEXEC|SFD_NONBLOCK)", || {
            SignalFd::with_flags(&self.blocked, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        })
    }

    /// Waits for the end of the child. With `reap`, also collects every other process that becomes our child.
    pub fn wait(self, child: Pid, reap: bool) -> Result<Status, Fault> {
        self.wait_with_caller(child, reap, None)
    }

    /// Waits like [`Signals::wait`], and kills the child when the process of the pidfd `caller` has ended.
    pub fn wait_with_caller(self, child: Pid, reap: bool, mut caller: Option<OwnedFd>) -> Result<Status, Fault> {
        let reader = own("receive signals", "signalfd(-1, SFD_CLOEXEC)", || {
            SignalFd::with_flags(&self.blocked, SfdFlags::SFD_CLOEXEC)
        })?;
        loop {
            if let Some(status) = collect(child, reap)? {
                return Ok(status);
            }
            if let Some(watched) = &caller {
                wait_for_either(reader.as_fd(), watched.as_fd())?;
                if wait_readable(watched.as_fd(), Some(Duration::ZERO))? {
                    caller = None;
                    let why = "the caller has ended, and the command must not outlive it; kill(2)";
                    let number = Signal::SIGKILL as i32;
                    report(call("end the command", format!("kill({child}, SIGKILL)"), why, || {
                        kill_by_number(child.as_raw(), number)
                    }));
                    continue;
                }
            }
            match reader.read_signal() {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Fault::kernel("receive signals", "read(signalfd)", errno)),
                Ok(None) => {}
                Ok(Some(received)) => self.pass_on(&received, child),
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
            Forward::Nothing | Forward::Termination => KEYS.iter().copied().chain([SIGTERM, SIGINT, SIGCHLD]).collect(),
            Forward::AllButStops => without(&[&faults[..], &[SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT]].concat()),
            Forward::Everything => without(&faults),
        }
    }
}

impl Signals {
    /// Forwards a signal, and lets one that only woke us take its effect on us.
    pub fn pass_on(&self, received: &siginfo, child: Pid) {
        let number = received.ssi_signo.cast_signed();
        if number == Signal::SIGCHLD as i32 {
            return;
        }
        let signal = Signal::try_from(number).ok();
        let is_typed = received.ssi_code == SI_KERNEL;
        // The terminal's keys and its end are meant for a whole job, and so is a shell that continues it.
        let is_for_all = is_typed || matches!(signal, Some(Signal::SIGHUP | Signal::SIGCONT));
        let group = getpgid(Some(child)).ok().filter(|group| *group != getpgrp());
        let sent = match (self.forwards(signal), group) {
            // The leader of a session does not stop by SIGTSTP.
            (_, Some(group)) if is_for_all && group == child && signal == Some(Signal::SIGTSTP) => {
                self.stop_with(child);
                return;
            }
            (_, Some(group)) if is_for_all && group == child => send(-child.as_raw(), number),
            // The child has it already.
            (true, None) if is_typed => Ok(()),
            (true, _) => send(child.as_raw(), number),
            (false, _) => Ok(()),
        };
        report(sent);
        let is_key = signal.is_some_and(|signal| KEYS.contains(&signal));
        // SIGINT and SIGQUIT that went to the group end the command, and we end with it.
        let goes_on = group == Some(child) && is_typed && signal == Some(Signal::SIGQUIT);
        if is_key && !goes_on && matches!(self.forward, Forward::Nothing | Forward::Termination) {
            report(self.take(signal.unwrap_or(Signal::SIGHUP)));
        }
    }

    /// Returns whether this signal is forwarded to a child wherever it is.
    fn forwards(&self, signal: Option<Signal>) -> bool {
        match self.forward {
            Forward::Nothing => false,
            Forward::Termination => matches!(signal, Some(Signal::SIGTERM | Signal::SIGINT)),
            Forward::AllButStops | Forward::Everything => true,
        }
    }

    /// Stops the command with all processes of its group, and ourselves if nobody else waits: an init never stops.
    fn stop_with(&self, child: Pid) {
        report(send(-child.as_raw(), Signal::SIGSTOP as i32));
        if self.forward != Forward::Everything {
            report(self.take(Signal::SIGTSTP).and_then(|()| send(-child.as_raw(), Signal::SIGCONT as i32)));
        }
    }

    /// Lets a blocked signal take its effect on us: the caller's disposition decides.
    fn take(&self, signal: Signal) -> Result<(), Fault> {
        let goal = format!("take {signal}");
        let only: SigSet = [signal].into_iter().collect();
        own(&goal, format!("raise({signal})"), || raise(signal))?;
        own(&goal, format!("rt_sigprocmask(SIG_UNBLOCK, [{signal}])"), || only.thread_unblock())?;
        own(&goal, format!("rt_sigprocmask(SIG_BLOCK, [{signal}])"), || only.thread_block())
    }
}

/// Takes a signal that has arrived at [`Signals::reader`].
pub fn receive(reader: &SignalFd) -> Result<Option<siginfo>, Fault> {
    match reader.read_signal() {
        Err(Errno::EINTR | Errno::EAGAIN) => Ok(None),
        read => own("receive signals", "read(signalfd)", || read),
    }
}

/// Signals a process, or a process group if `to` is negative.
fn send(to: i32, number: i32) -> Result<(), Fault> {
    let name =
        Signal::try_from(number).map_or_else(|_| format!("SIGRT_{}", number - FIRST_REAL_TIME), |it| it.to_string());
    let why = "the signal is meant for the command";
    call(format!("forward {name}"), format!("kill({to}, {name})"), why, || kill_by_number(to, number))
}

/// Prints a failure, because the child must still be waited for.
fn report(done: Result<(), Fault>) {
    match done {
        // The child has ended meanwhile.
        Err(fault) if fault.errno() == Some(Errno::ESRCH) => {}
        Err(fault) => narrate::remark(fault),
        Ok(()) => {}
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
