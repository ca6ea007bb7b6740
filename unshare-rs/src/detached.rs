//! `--detach`: unshare-rs ends when the command runs, and no process of ours stays between the command and the caller's
//! subreaper, which collects it: the shim of an engine, for example. `PR_SET_CHILD_SUBREAPER(2const)`.
//!
//! The end of a pipe shows when that is: its writing end is closed by `execve(2)`. A process that fails before that writes
//! a byte first.
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

impl Handover {
    pub(crate) fn open() -> Result<Handover, Fault> {
        let (reader, writer) = own(GOAL, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
        Ok(Handover { reader, writer })
    }

    /// Ends the waiting process when the command runs. If it could not be started, returns the status of the process that
    /// printed why.
    pub(crate) fn leave(self, child: Child) -> Result<Status, Fault> {
        drop(self.writer);
        let failed =
            look(GOAL, "read(pipe)", || rustix::io::retry_on_intr(|| rustix::io::read(&self.reader, &mut [0; 1])))?;
        if failed == 0 { Ok(Status::SUCCESS) } else { child.wait(false) }
    }
}

impl Setup {
    pub(crate) fn of(handover: Option<Handover>) -> Setup {
        Setup(handover.map(|handover| handover.writer))
    }

    /// Lets the waiting process end now.
    pub(crate) fn end(&mut self) {
        self.0 = None;
    }

    /// Reports a failure, for which the waiting process then returns our status.
    pub(crate) fn fail(&mut self) {
        // Without a reader, nobody waits for it.
        self.0.take().map(|writer| rustix::io::write(&writer, b"!").ok());
    }
}
