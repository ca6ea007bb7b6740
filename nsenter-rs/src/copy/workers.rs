//! The processes of a copy: one reads, one writes, and the one that started them removes an incomplete copy. `fork(2)`,
//! `signalfd(2)`.
//!
//! A container may serve a file system that never answers. Only SIGKILL ends a process that waits for it, so signals are
//! left to the process that waits for nothing else.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use plumbing::kernel::{Cloned, call, exit_now, fork, own};
use plumbing::pipeline::name::random;
use plumbing::process::forward::{receive, wait_for};
use plumbing::process::target::{status_field, wait_readable};
use plumbing::process::{procfs, socket_message};
use plumbing::{Fault, Status, narrate};
use rustix::net::SendFlags;
use rustix::process::pidfd_send_signal;

use super::destination::Destination;
use super::entry::{self, Entry};
use super::place::Place;
use super::removal::Remains;
use super::source;

/// Returns the name of a copy until it is complete.
pub(super) fn temporary_name() -> Result<String, Fault> {
    Ok(format!(".nsenter-rs-copy-{:016x}", random()?))
}

/// Copies, and waits for the end.
pub(super) fn copy(from: &Place, to: &Place, archive: bool) -> Result<Status, Fault> {
    let temporary = temporary_name()?;
    let signals = block_signals()?;
    let parent = rustix::process::getpid();
    let (sender, receiver) = socket_message::pair("copy")?;
    let (made, to_remove) = socket_message::pair("copy")?;
    let reader = match fork("copy", "a process that reads; clone(2)")? {
        Cloned::Child => {
            drop((receiver, made, to_remove));
            work(from, parent, || read(from, &sender))
        }
        Cloned::Parent { pid, pidfd } => Worker { pid, pidfd },
    };
    let writer = match fork("copy", "a process that writes; clone(2)")? {
        Cloned::Child => {
            drop((sender, to_remove));
            work(to, parent, || write(to, archive, &temporary, &receiver, made))
        }
        Cloned::Parent { pid, pidfd } => Worker { pid, pidfd },
    };
    drop((sender, receiver, made));
    let status = supervise(&signals, &reader, &writer)?;
    if !matches!(status, Ok(Status::SUCCESS)) && !matches!(to, Place::Stream) {
        remove(to, &signals, &to_remove, temporary, parent)?;
    }
    status
}

/// Blocks the signals that end us, except those that the caller ignores, and returns a descriptor to read them from.
fn block_signals() -> Result<SignalFd, Fault> {
    let status = own("block signals", "read(\"/proc/self/status\")", || procfs::read_text("self/status"))?;
    let ignored = status_field(&status, "SigIgn").and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
    let ends = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
    let signals: SigSet = ends.into_iter().filter(|signal| ignored >> (*signal as i32 - 1) & 1 == 0).collect();
    own("block signals", "rt_sigprocmask(SIG_BLOCK)", || signals.thread_block())?;
    own("receive signals", "signalfd4()", || {
        SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
    })
}

/// A child of ours.
struct Worker {
    pid: i32,
    pidfd: OwnedFd,
}

impl Worker {
    /// Kills it and waits for its end.
    fn kill(&self) -> Result<Status, Fault> {
        if !self.has_ended()? {
            let text = format!("pidfd_send_signal(pidfd of {}, SIGKILL)", self.pid);
            let why = "only SIGKILL ends a process that waits for a file system; pidfd_send_signal(2)";
            call("end a process of ours", text, why, || pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL))?;
        }
        wait_for(self.pid)
    }

    fn has_ended(&self) -> Result<bool, Fault> {
        wait_readable(self.pidfd.as_fd(), Some(std::time::Duration::ZERO))
    }
}

/// Does the work of a child, and ends it.
fn work(place: &Place, parent: rustix::process::Pid, act: impl FnOnce() -> Result<(), Fault>) -> ! {
    let done = place.enter().and_then(|()| die_with(parent)).and_then(|()| act());
    exit_now(match done {
        Ok(()) => Status::SUCCESS,
        Err(fault) => fault.report(narrate::tool()),
    })
}

/// Makes the kernel kill this process when its parent dies. Last, because a change of credentials clears it.
fn die_with(parent: rustix::process::Pid) -> Result<(), Fault> {
    let why = "nobody else would end it; PR_SET_PDEATHSIG(2const)";
    call("copy", "prctl(PR_SET_PDEATHSIG, SIGKILL)", why, || nix::sys::prctl::set_pdeathsig(Signal::SIGKILL))?;
    match rustix::process::getppid() {
        Some(now) if now == parent => Ok(()),
        _ => Err(Fault::new("cannot copy: nsenter-rs was killed")),
    }
}

fn read(from: &Place, sender: &OwnedFd) -> Result<(), Fault> {
    source::send(from, &mut |entry, fd| {
        let bytes = entry.to_bytes();
        match socket_message::send(sender.as_fd(), &[IoSlice::new(&bytes)], fd, SendFlags::empty()) {
            // The process that writes has ended, and has reported why.
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(Fault::already_told(Status::OURS)),
            sent => own("copy", "sendmsg(socket)", || sent),
        }
    })
}

fn write(to: &Place, archive: bool, temporary: &str, receiver: &OwnedFd, made: OwnedFd) -> Result<(), Fault> {
    let mut destination = Destination::new(to, archive, temporary.to_owned(), Some(made))?;
    let mut bytes = vec![0; entry::LONGEST];
    loop {
        let (length, fd) = own("copy", "recvmsg(socket)", || socket_message::receive(receiver.as_fd(), &mut bytes))?;
        if length == 0 {
            // The process that reads has ended, and has reported why.
            return Err(Fault::already_told(Status::OURS));
        }
        if destination.take(&Entry::from_bytes(&bytes[..length])?, fd)? {
            return Ok(());
        }
    }
}

/// Waits until the writer has ended, or a signal arrives; then ends both. The inner result is that of the copy.
fn supervise(signals: &SignalFd, reader: &Worker, writer: &Worker) -> Result<Result<Status, Fault>, Fault> {
    let end = |status| {
        reader.kill()?;
        writer.kill()?;
        Ok(Ok(status))
    };
    while !writer.has_ended()? {
        if let Some(signal) = wait(signals, writer)? {
            return end(signal);
        }
    }
    let written = wait_for(writer.pid)?;
    if written == Status::SUCCESS {
        return wait_for(reader.pid).map(Ok);
    }
    // The writer ends when the reader has ended, which may have been by a signal of someone else.
    let (is_by_itself, read) = (reader.has_ended()?, reader.kill()?);
    let killed = [(is_by_itself && read.0 > 128, read, "reads"), (written.0 > 128, written, "writes")];
    Ok(Err(match killed.into_iter().find(|(is_killed, ..)| *is_killed) {
        Some((_, status, what)) => {
            Fault::new(format!("cannot copy: the process that {what} ended with status {}", status.0))
        }
        None => Fault::already_told(written),
    }))
}

/// Waits for the end of a worker or for a signal; returns the status with which we end by the signal.
fn wait(signals: &SignalFd, worker: &Worker) -> Result<Option<Status>, Fault> {
    let mut watched = [signals.as_fd(), worker.pidfd.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    match poll(&mut watched, PollTimeout::NONE) {
        Err(Errno::EINTR) => return Ok(None),
        done => own("wait for the copy", "poll(signalfd, pidfd)", || done)?,
    };
    Ok(receive(signals)?.map(|signal| Status(128 + signal.ssi_signo as u8)))
}

/// Removes what the writer made, with its rights. A second signal ends the removal.
fn remove(
    to: &Place,
    signals: &SignalFd,
    made: &OwnedFd,
    temporary: String,
    parent: rustix::process::Pid,
) -> Result<(), Fault> {
    let next = || own("copy", "recvmsg(socket)", || socket_message::receive(made.as_fd(), &mut [0])).map(|it| it.1);
    let Some(directory) = next()? else { return Ok(()) };
    let remains = Remains { parent: directory, top: next()?, temporary: temporary.into() };
    let remover = match fork("remove an incomplete copy", "with the rights that it was made with; clone(2)")? {
        Cloned::Child => work(to, parent, || remains.remove()),
        Cloned::Parent { pid, pidfd } => Worker { pid, pidfd },
    };
    while !remover.has_ended()? {
        if wait(signals, &remover)?.is_some() {
            remover.kill()?;
            return Ok(());
        }
    }
    wait_for(remover.pid).map(drop)
}
