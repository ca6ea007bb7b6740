//! The process of a probe: its result comes through a pipe, or its exit status shows why there is none.
//! `fork(2)`, `wait(2)`.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use plumbing::kernel::{Cloned, call, exit_now, fork_plainly, look, own};
use plumbing::{Fault, Status, narrate};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The time limit in milliseconds: reading some kernel files may block.
const PATIENCE: u16 = 10_000;

/// The finding if a filter killed the process.
pub(crate) const FILTERED: &str = "killed by SIGSYS";

/// How a probe's process ended.
pub(crate) enum Ended<T> {
    /// It returned a result.
    Answered(T),
    /// It failed with this error.
    Failed(String),
    /// A system call filter killed it: SIGSYS.
    Filtered,
    /// It had to be killed after the time limit.
    Silent,
}

/// Runs `work` in a child. Under `--dry-run` it runs here, where its calls are only printed.
pub(crate) fn in_child<T: Serialize + DeserializeOwned>(
    goal: &str,
    work: impl FnOnce() -> Result<T, Fault>,
) -> Result<Ended<T>, Fault> {
    if narrate::is_dry_run() {
        return Ok(work().map_or_else(|fault| Ended::Failed(fault.to_string()), Ended::Answered));
    }
    let goal = format!("try {goal}");
    let (reader, writer) = own(&goal, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    let why = "the effects of a probe end with its process; fork(2)";
    match fork_plainly(&goal, why)? {
        Cloned::Child => {
            drop(reader);
            let answer = work().map_err(|fault| fault.to_string());
            let is_sent = serde_json::to_vec(&answer).is_ok_and(|text| send(writer, &text));
            exit_now(if is_sent { Status::SUCCESS } else { Status::OURS })
        }
        Cloned::Parent { pid, .. } => {
            drop(writer);
            receive(&goal, reader, Pid::from_raw(pid))
        }
    }
}

fn send(writer: OwnedFd, text: &[u8]) -> bool {
    std::fs::File::from(writer).write_all(text).is_ok()
}

fn receive<T: DeserializeOwned>(goal: &str, reader: OwnedFd, child: Pid) -> Result<Ended<T>, Fault> {
    let mut ready = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    let answers = look(goal, "poll(pipe)", || poll(&mut ready, PollTimeout::from(PATIENCE)))?;
    if answers == 0 {
        let text = format!("kill({child}, SIGKILL)");
        call(goal, text, "the probe did not end in time", || kill(child, Signal::SIGKILL))?;
    }
    let mut text = Vec::new();
    look(goal, "read(pipe)", || std::fs::File::from(reader).read_to_end(&mut text))?;
    let ended = loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            answer => break look(goal, format!("waitpid({child})"), || answer)?,
        }
    };
    Ok(match (ended, serde_json::from_slice::<Result<T, String>>(&text)) {
        (_, _) if answers == 0 => Ended::Silent,
        (_, Ok(Ok(answer))) => Ended::Answered(answer),
        (_, Ok(Err(fault))) => Ended::Failed(fault),
        (WaitStatus::Signaled(_, Signal::SIGSYS, _), Err(_)) => Ended::Filtered,
        (WaitStatus::Signaled(_, signal, _), Err(_)) => Ended::Failed(format!("killed by {signal}")),
        (_, Err(error)) => Ended::Failed(format!("the answer is incomplete: {error}")),
    })
}
