//! `--detach`: unshare-rs ends when the command runs, and no process of ours stays between the command and the caller's
//! subreaper, which collects it: the shim of an engine, for example. `PR_SET_CHILD_SUBREAPER(2const)`.
//!
//! The end of a pipe shows when that is: its writing end is closed by `execve(2)`. A process that fails before that writes
//! a byte first. It also writes one just before `execve(2)`, because the kernel closes the pipe of a killed process too.
//!
//! The surprise: with `--block-fd`, the command runs only when somebody opens the gate, so unshare-rs ends before that.

use std::os::fd::OwnedFd;

use plumbing::kernel::{look, own};
use plumbing::{Fault, Status};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::first_process::Child;

/// The pipe, before the fork.
pub(crate) struct Handover {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// The writing end, in the processes that become the command and its init; `None` without `--detach`.
pub(crate) struct Setup(Option<OwnedFd>);

const GOAL: &str = "wait until the command runs";

/// What the pipe carries: `execve(2)` is next.
const READY: u8 = b'.';

/// The set-up or `execve(2)` has failed, and the process has printed why.
const FAILED: u8 = b'!';

impl Handover {
    pub(crate) fn open() -> Result<Handover, Fault> {
        let (reader, writer) = own(GOAL, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
        Ok(Handover { reader, writer })
    }

    /// Ends the waiting process when the command runs. If it could not be started, returns the status of the process that
    /// printed why, or a fault if that process was killed.
    pub(crate) fn leave(self, child: Child) -> Result<Status, Fault> {
        drop(self.writer);
        let said = look(GOAL, "read(pipe)", || read_all(&self.reader))?;
        if said.contains(&FAILED) {
            return child.wait(false);
        }
        if said.contains(&READY) {
            return Ok(Status::SUCCESS);
        }
        let Status(status) = child.wait(false)?;
        Err(Fault::new(format!("cannot run the command: the process that prepared it was killed (status {status})")))
    }
}

impl Setup {
    pub(crate) fn of(handover: Option<Handover>) -> Setup {
        Setup(handover.map(|handover| handover.writer))
    }

    /// Closes the pipe in the init, which does not become the command.
    pub(crate) fn close(&mut self) {
        self.0 = None;
    }

    /// Reports that `execve(2)` is next.
    pub(crate) fn ready(&self) {
        self.say(READY);
    }

    /// Lets the waiting process end now.
    pub(crate) fn end(&mut self) {
        self.ready();
        self.close();
    }

    /// Reports a failure, for which the waiting process then returns our status.
    pub(crate) fn fail(&mut self) {
        self.say(FAILED);
        self.close();
    }

    fn say(&self, byte: u8) {
        // Without a reader, nobody waits for it.
        self.0.as_ref().map(|writer| rustix::io::write(writer, &[byte]).ok());
    }
}

/// Reads until all writing ends are closed.
fn read_all(reader: &OwnedFd) -> rustix::io::Result<Vec<u8>> {
    let (mut all, mut part) = (Vec::new(), [0; 8]);
    loop {
        match rustix::io::retry_on_intr(|| rustix::io::read(reader, &mut part))? {
            0 => return Ok(all),
            length => all.extend_from_slice(&part[..length]),
        }
    }
}
