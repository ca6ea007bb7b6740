//! Entering: join the cgroup, join the namespaces, fork into the pid namespace, confine, execute. `setns(2)`.
//!
//! If no process has to stay outside, this process becomes the command. Otherwise another process crosses the border
//! and this one waits outside. A joined pid namespace applies only to children. If our rights suffice, the crossing
//! process is forked into it. If not, it forks once more, and the command becomes *our* child (CLONE_PARENT). When this
//! process dies, for whatever reason, the kernel kills the command.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::Signal;
use plumbing::kernel::{Cloned, call, exit_now, fork, fork_sibling, look, own};
use plumbing::process::closing::end;
use plumbing::process::console::Receiver;
use plumbing::process::foreign_user::hide;
use plumbing::process::forward::wait_for;
use plumbing::process::namespace::Kind;
use plumbing::process::session;
use plumbing::process::target::wait_readable;
use plumbing::{Fault, Status, narrate};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::PidfdFlags;
use rustix::termios::isatty;

use super::Entry;
use super::credentials::Entered;
use super::plan::{End, cross, run};
use super::wait::{Signals, attend};

/// Becomes the command. Returns only on failure, or in a dry run.
pub(crate) fn become_command(entry: &Entry<'_>) -> Result<Status, Fault> {
    if entry.namespaces.expose() {
        // A process of the container could signal the process group of one that keeps ours.
        session::leave(entry.namespaces.kinds().contains(Kind::Pid))?;
    }
    let entered = cross(entry, false)?;
    end(run(entry, entered, &End::default(), None, || Ok(())))
}

/// Runs the command inside and waits for it; calls `entered` once the command runs.
pub(crate) fn enter(entry: &mut Entry<'_>, entered: impl FnOnce() -> Result<(), Fault>) -> Result<Status, Fault> {
    let watch = look("open a pidfd of this process", "pidfd_open(self)", || {
        rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
    })?;
    let (started, starting) = own("wait for the exec", "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    let mut terminal = entry.terminal()?;
    let receiver = entry.command.handover.console_socket.as_deref().map(Receiver::connect).transpose()?;
    // A command with a terminal of its own gets a session of its own, too.
    entry.process.new_session &= terminal.is_none() && receiver.is_none();
    let signals = Signals::block()?;
    let is_hidden = join_pid_namespace_early(entry)?;
    let entry: &Entry<'_> = entry;
    match fork("fork", "this process crosses the border; the one outside waits")? {
        Cloned::Child => {
            let end = End { terminal: terminal.as_ref(), receiver: receiver.as_ref() };
            let crossing = Crossing { entry, end, signals: &signals, watch: &watch, is_hidden };
            let crossed = crossing.cross(starting.as_fd());
            in_child(crossed, starting.as_fd())
        }
        Cloned::Parent { pid, .. } => {
            drop(starting);
            let start = Start::read(started)?;
            if start.runs {
                entered()?;
            }
            if start.sibling.is_some() {
                wait_for(pid)?;
            }
            let command = start.sibling.unwrap_or(pid);
            if start.runs {
                entry.command.handover.publish(command)?;
                if entry.command.handover.detach {
                    return Ok(Status::SUCCESS);
                }
            }
            let leads_session = entry.namespaces.expose() && !entry.streams().into_iter().any(isatty);
            let status = attend(command, leads_session, &signals, terminal.as_mut())?;
            if start.runs { Ok(status) } else { Err(Fault::already_told(status)) }
        }
    }
}

/// The outcome of starting the command, read from a pipe whose last writing end is closed by the exec.
struct Start {
    /// Whether no process failed before the exec.
    runs: bool,
    /// The pid of the process that was forked into the pid namespace as our child.
    sibling: Option<i32>,
}

/// The message that a process writes to the pipe before it exits after a failure.
const FAILED: &str = "!";

impl Start {
    fn read(started: OwnedFd) -> Result<Start, Fault> {
        let mut text = Vec::new();
        look("wait for the exec", "read(pipe)", || std::fs::File::from(started).read_to_end(&mut text))?;
        let text = String::from_utf8_lossy(&text);
        Ok(Start { runs: !text.contains(FAILED), sibling: text.replace(FAILED, "").parse().ok() })
    }
}

/// Ends the child: except in a dry run, it never returns into the parent's code.
fn in_child(outcome: Result<Status, Fault>, starting: BorrowedFd<'_>) -> Result<Status, Fault> {
    match outcome {
        Ok(status) if narrate::is_dry_run() => Ok(status),
        Ok(status) => exit_now(status),
        Err(fault) => {
            let status = fault.report(narrate::tool());
            // If the parent is gone, nobody needs the message.
            rustix::io::write(starting, FAILED.as_bytes()).ok();
            exit_now(status)
        }
    }
}

/// The process that crosses the border while another stays outside.
struct Crossing<'a> {
    entry: &'a Entry<'a>,
    end: End<'a>,
    signals: &'a Signals,
    watch: &'a OwnedFd,
    /// Whether it was forked after this process had hidden itself.
    is_hidden: bool,
}

impl Crossing<'_> {
    /// Ties this process to the one outside, unless that one ends when the command runs.
    fn die_with_us(&self) -> Result<(), Fault> {
        if self.entry.command.handover.detach { Ok(()) } else { die_with(self.watch) }
    }

    fn cross(&self, starting: BorrowedFd<'_>) -> Result<Status, Fault> {
        self.die_with_us()?;
        let entered = cross(self.entry, self.is_hidden)?;
        if !self.entry.namespaces.kinds().contains(Kind::Pid) || self.entry.command.no_fork {
            return self.run(entered, starting);
        }
        let why = "a joined pid namespace applies only to children; this one is a child of nsenter-rs; \
                   pid_namespaces(7)";
        match fork_sibling("fork", why)? {
            Cloned::Child => in_child(self.run(entered, starting), starting),
            Cloned::Parent { pid, .. } => {
                own("report the pid of the command", "write(pipe)", || {
                    rustix::io::write(starting, pid.to_string().as_bytes())
                })?;
                exit_now(Status::SUCCESS)
            }
        }
    }

    fn run(&self, entered: Option<Entered>, starting: BorrowedFd<'_>) -> Result<Status, Fault> {
        self.signals.release()?;
        // Again, because a fork and a change of credentials each clear the death signal.
        run(self.entry, entered, &self.end, Some(starting), || {
            self.die_with_us()?;
            // With a terminal of its own, the command begins its session when it takes it.
            if self.end.terminal.is_none() && self.entry.namespaces.expose() {
                session::leave(true)?;
            }
            Ok(())
        })
    }
}

/// Makes the kernel kill this process when its parent, to which `watch` refers, dies.
fn die_with(watch: &OwnedFd) -> Result<(), Fault> {
    let why = "the command must not outlive nsenter-rs; PR_SET_PDEATHSIG(2const)";
    call("be killed when nsenter-rs dies", "prctl(PR_SET_PDEATHSIG, SIGKILL)", why, || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
    })?;
    // A parent that died before the prctl sends no signal.
    if narrate::is_dry_run() || !wait_readable(watch.as_fd(), Some(Duration::ZERO))? {
        Ok(())
    } else {
        Err(Fault::new("cannot continue: nsenter-rs was killed while it was entering"))
    }
}

/// Joins the pid namespace before the fork if our own rights suffice, so that the child is in it and need not fork
/// again. Returns whether this process is now hidden, and so the child, too.
fn join_pid_namespace_early(entry: &mut Entry<'_>) -> Result<bool, Fault> {
    let kinds = entry.namespaces.kinds();
    let is_root = rustix::process::geteuid().is_root();
    if !kinds.contains(Kind::Pid) || entry.command.no_fork || (kinds.contains(Kind::User) && !is_root) {
        return Ok(false);
    }
    // Before joining, because processes inside see the child as soon as it exists.
    hide()?;
    entry.namespaces.join_pid_for_children()?;
    Ok(true)
}
