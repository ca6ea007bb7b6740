//! Waiting outside while the command runs inside: forwarding signals, stopping and continuing with the command, and
//! relaying the data of a terminal. `signalfd(2)`, `waitpid(2)`.
//!
//! A terminal signals both nsenter-rs and the command, kill(1) only the process that it names; the sender of a signal
//! shows whether the command has already received it.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use plumbing::kernel::{call, look, own};
use plumbing::process::kernel_text;
use plumbing::process::target::{status_field, wait_readable};
use plumbing::{Fault, Status};
use rustix::process::{PidfdFlags, pidfd_open};

use super::pty::Terminal;

/// The signals that are forwarded to the command. SIGTTIN and SIGTTOU are only blocked, so that they do not stop us
/// while we set the terminal.
const FORWARDED: &[Signal] = &[
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGTERM,
    Signal::SIGCONT,
    Signal::SIGTSTP,
    Signal::SIGWINCH,
];

/// Blocked signals, waiting to be read.
pub(crate) struct Signals {
    before: SigSet,
    queue: SignalFd,
}

impl Signals {
    /// Blocks the signals from now on.
    pub(crate) fn block() -> Result<Signals, Fault> {
        let goal = "block signals for the command";
        let mut blocked: SigSet = FORWARDED.iter().copied().collect();
        blocked.add(Signal::SIGCHLD);
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let queue = own(goal, "signalfd4()", || SignalFd::with_flags(&blocked, flags))?;
        blocked.add(Signal::SIGTTIN);
        blocked.add(Signal::SIGTTOU);
        let how = nix::sys::signal::SigmaskHow::SIG_BLOCK;
        let before = own(goal, "rt_sigprocmask(SIG_BLOCK)", || blocked.thread_swap_mask(how))?;
        Ok(Signals { before, queue })
    }

    /// Restores the signal mask, in the process that becomes the command.
    pub(crate) fn release(&self) -> Result<(), Fault> {
        own("unblock signals for the command", "rt_sigprocmask(SIG_SETMASK)", || self.before.thread_set_mask())
    }

    /// Stops our job as the key on the caller's terminal does. The kernel does not stop a group that nobody could
    /// continue.
    fn stop_job(&self) -> Result<(), Fault> {
        let goal = "stop with the command";
        let stop: SigSet = [Signal::SIGTSTP].into_iter().collect();
        own(goal, "rt_sigprocmask(SIG_UNBLOCK, [TSTP])", || stop.thread_unblock())?;
        call(goal, "kill(0, SIGTSTP)", "stops the whole job, as the terminal would; setpgid(2)", || {
            nix::sys::signal::kill(Pid::from_raw(0), Signal::SIGTSTP)
        })?;
        own(goal, "rt_sigprocmask(SIG_BLOCK, [TSTP])", || stop.thread_block())
    }
}

/// Stops this process, as a shell expects of a job whose command has stopped.
fn stop_ourselves() -> Result<(), Fault> {
    let own = nix::unistd::getpid();
    call("stop with the command", format!("kill({own}, SIGSTOP)"), "the command has stopped; waitpid(2)", || {
        nix::sys::signal::kill(own, Signal::SIGSTOP)
    })
}

/// Waits until the command, our child, has ended.
pub(crate) fn attend(
    pid: i32,
    leads_session: bool,
    signals: &Signals,
    mut terminal: Option<&mut Terminal>,
) -> Result<Status, Fault> {
    let command = Child::open(pid, leads_session)?;
    if let Some(terminal) = &mut terminal {
        terminal.take()?;
    }
    let mut is_typed = false;
    loop {
        match command.state()? {
            State::Runs => {}
            State::Stopped => command.stop_with_it(signals, &mut terminal, std::mem::take(&mut is_typed))?,
            State::Ended(status) => {
                if let Some(terminal) = &mut terminal {
                    terminal.drain();
                    terminal.give_back()?;
                }
                return Ok(status);
            }
        }
        let is_signaled = match &mut terminal {
            Some(terminal) => terminal.relay(signals.queue.as_fd())?,
            None => wait_readable(signals.queue.as_fd(), None)?,
        };
        if is_signaled {
            command.forward(signals, &mut terminal)?;
        }
        if let Some(group) = terminal.as_mut().and_then(|terminal| terminal.stop_typed()) {
            is_typed = command.stop_where_the_kernel_does_not(group)?;
        }
    }
}

/// The state of the command.
enum State {
    Runs,
    Stopped,
    Ended(Status),
}

/// The command, which is our child.
struct Child {
    pid: i32,
    pidfd: OwnedFd,
    /// Whether it leads a session of its own, without a terminal.
    leads_session: bool,
}

impl Child {
    fn open(pid: i32, leads_session: bool) -> Result<Child, Fault> {
        // Only we reap our child; until then the pid cannot be reused.
        let pidfd = look("watch the command", format!("pidfd_open({pid})"), || {
            pidfd_open(rustix::process::Pid::from_raw(pid).ok_or(rustix::io::Errno::SRCH)?, PidfdFlags::empty())
        })?;
        Ok(Child { pid, pidfd, leads_session })
    }

    fn state(&self) -> Result<State, Fault> {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED;
        let change = look("wait for the command", format!("waitpid({})", self.pid), || {
            waitpid(Pid::from_raw(self.pid), Some(flags))
        })?;
        Ok(match (change, Status::of_command(change)) {
            (_, Some(status)) => State::Ended(status),
            (WaitStatus::Stopped(..), _) => State::Stopped,
            _ => State::Runs,
        })
    }

    /// Forwards the signals that have arrived, as far as the command has not received them already.
    fn forward(&self, signals: &Signals, terminal: &mut Option<&mut Terminal>) -> Result<(), Fault> {
        while let Some(info) = own("read a signal", "read(signalfd)", || signals.queue.read_signal())? {
            let Ok(signal) = Signal::try_from(info.ssi_signo.cast_signed()) else { continue };
            // A code above 0 comes from the kernel: the terminal sent the signal, and the command has received it, too,
            // unless it is in a session of its own.
            let is_typed = info.ssi_code > 0;
            match (signal, terminal.as_mut()) {
                (Signal::SIGCHLD, _) => {}
                (Signal::SIGWINCH, Some(terminal)) => terminal.resize()?,
                (Signal::SIGCONT, Some(terminal)) => terminal.take()?,
                (Signal::SIGINT | Signal::SIGQUIT, Some(terminal)) if is_typed => {
                    // A sandbox may not implement TIOCSIG; then at least the command itself gets the signal.
                    let why = "it was typed for the command";
                    terminal.signal(signal).or_else(|_| self.send(signal, why))?;
                }
                // The leader of a session is not stopped by SIGTSTP.
                (Signal::SIGTSTP, terminal) if terminal.is_some() || self.leads_session => {
                    self.send_to_session(Signal::SIGSTOP, "stop with nsenter-rs")?;
                }
                // A shell that ends sends SIGHUP to the whole job.
                (signal, None) if self.leads_session && (is_typed || signal == Signal::SIGHUP) => {
                    self.send_to_session(signal, "it is meant for the whole job")?;
                }
                (_, None) if is_typed => {}
                (signal, _) => self.send(signal, "signals to nsenter-rs are meant for its command")?,
            }
        }
        Ok(())
    }

    /// Stops with the command as one job: the process that waits for us sees the stop, and continues both.
    fn stop_with_it(
        &self,
        signals: &Signals,
        terminal: &mut Option<&mut Terminal>,
        is_typed: bool,
    ) -> Result<(), Fault> {
        if let Some(terminal) = terminal {
            terminal.drain();
            terminal.give_back()?;
        }
        if is_typed {
            signals.stop_job()?
        } else {
            stop_ourselves()?
        }
        let why = "nsenter-rs was continued, so the command is continued, too";
        match terminal {
            Some(terminal) => {
                terminal.take()?;
                self.send_to_session(Signal::SIGCONT, why)
            }
            None if self.leads_session => self.send_to_session(Signal::SIGCONT, why),
            None => self.send(Signal::SIGCONT, why),
        }
    }

    /// Handles a stop that was typed for `group`. The kernel never lets a terminal stop the group of a session's
    /// leader, because nobody in the session could continue it; we can. A shell does not want to be stopped, and
    /// ignores or handles SIGTSTP.
    fn stop_where_the_kernel_does_not(&self, group: i32) -> Result<bool, Fault> {
        if group != self.pid || !self.stops_by_default() {
            return Ok(false);
        }
        let why = "the kernel does not stop the leader of a session for a typed key; setpgid(2)";
        self.send_to_session(Signal::SIGSTOP, why).map(|()| true)
    }

    /// Reports whether the command neither ignores, blocks nor handles SIGTSTP.
    fn stops_by_default(&self) -> bool {
        let Ok(status) = kernel_text::read(format!("/proc/{}/status", self.pid)) else { return false };
        let stop = 1_u64 << (Signal::SIGTSTP as i32 - 1);
        let signals = |set| u64::from_str_radix(status_field(&status, set)?, 16).ok();
        ["SigBlk", "SigIgn", "SigCgt"].into_iter().all(|set| signals(set).is_some_and(|signals| signals & stop == 0))
    }

    /// Signals all processes in the process group of the command, which leads a session of its own.
    fn send_to_session(&self, signal: Signal, why: &str) -> Result<(), Fault> {
        // Our child is not reaped yet, so the id of its group cannot be reused.
        let text = format!("kill(-{}, {signal})", self.pid);
        let sent = call(format!("forward {signal} to the command"), text, why, || {
            nix::sys::signal::killpg(Pid::from_raw(self.pid), signal)
        });
        unless_out_of_reach(sent)
    }

    /// Signals the command alone.
    fn send(&self, signal: Signal, why: &str) -> Result<(), Fault> {
        let text = format!("pidfd_send_signal(pidfd of {}, {signal})", self.pid);
        let number = rustix::process::Signal::from_named_raw(signal as i32).ok_or(nix::errno::Errno::EINVAL);
        let sent = call(format!("forward {signal} to the command"), text, why, || {
            rustix::process::pidfd_send_signal(&self.pidfd, number.map_err(|_| rustix::io::Errno::INVAL)?)
        });
        unless_out_of_reach(sent)
    }
}

/// Ignores the errors that mean that the command has ended, or has changed to a user that we may not signal.
fn unless_out_of_reach(sent: Result<(), Fault>) -> Result<(), Fault> {
    match sent {
        Err(fault) if matches!(fault.errno(), Some(nix::errno::Errno::ESRCH | nix::errno::Errno::EPERM)) => Ok(()),
        sent => sent,
    }
}
