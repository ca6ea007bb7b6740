//! A child that works in namespaces of someone else, and its answer through a pipe.
//!
//! The owner of a user namespace may stop each process in it, and what such a process opens may be on a file system
//! that the owner serves. So waiting for such a child has a deadline. The surprise: a child that waits for a FUSE file
//! system may outlive SIGKILL; then we do not wait for its end.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernel::{Cloned, exit_now, fork, look, own};
use crate::process::forward::wait_for;
use crate::process::target::wait_readable;
use crate::{Fault, Status, narrate};

/// How long a child may take to answer. Its work is a few dozen calls.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `work` in a child, and returns its result. `goal` completes "cannot …", `why` says why it is done in a child.
///
/// Under `--dry-run` it runs here, where its calls are only printed.
pub fn run<T: Serialize + DeserializeOwned>(
    goal: &str,
    why: &str,
    work: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, Fault> {
    let (reader, writer) = own(goal, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    match fork(goal, why)? {
        Cloned::Child if narrate::is_dry_run() => work(),
        Cloned::Child => exit_now(match work().and_then(|result| send(goal, writer, &result)) {
            Ok(()) => Status::SUCCESS,
            Err(fault) => fault.report(narrate::tool()),
        }),
        Cloned::Parent { pid, pidfd } => {
            drop(writer);
            let (answer, status) = hear(goal, &reader, pid, &pidfd, PATIENCE)?;
            understand(goal, &answer, status)
        }
    }
}

fn send(goal: &str, writer: OwnedFd, result: &impl Serialize) -> Result<(), Fault> {
    let text = serde_json::to_vec(result).map_err(|error| Fault::new(format!("cannot {goal}: {error}")))?;
    own(goal, "write(pipe)", || std::fs::File::from(writer).write_all(&text))
}

fn understand<T: DeserializeOwned>(goal: &str, answer: &[u8], status: Status) -> Result<T, Fault> {
    match status {
        Status::SUCCESS => serde_json::from_slice(answer)
            .map_err(|error| Fault::new(format!("cannot {goal}: its answer is incomplete: {error}"))),
        Status::OURS => Err(Fault::already_told(Status::OURS)),
        Status(code) => Err(Fault::new(format!("cannot {goal}: the process inside ended with status {code}"))),
    }
}

/// Reads all that a child of ours writes into the pipe, and waits for its end. `goal` completes "cannot …".
pub fn hear(
    goal: &str,
    reader: &OwnedFd,
    pid: i32,
    pidfd: &OwnedFd,
    patience: Duration,
) -> Result<(Vec<u8>, Status), Fault> {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while wait_readable(reader.as_fd(), Some(patience))? {
        match look(goal, "read(pipe)", || rustix::io::retry_on_intr(|| rustix::io::read(reader, &mut piece)))? {
            0 => return end(goal, pid, pidfd, patience).map(|status| (answer, status)),
            length => answer.extend_from_slice(&piece[..length]),
        }
    }
    Err(give_up(goal, pid, pidfd, patience))
}

/// Waits for the end of a child of ours.
pub fn end(goal: &str, pid: i32, pidfd: &OwnedFd, patience: Duration) -> Result<Status, Fault> {
    if wait_readable(pidfd.as_fd(), Some(patience))? { wait_for(pid) } else { Err(give_up(goal, pid, pidfd, patience)) }
}

/// Kills a child of ours that does not answer.
pub fn give_up(goal: &str, pid: i32, pidfd: &OwnedFd, patience: Duration) -> Fault {
    // It is our own child, and not waited for yet. If it has ended meanwhile, no signal is needed.
    pidfd_send_signal(pidfd, Signal::KILL).ok();
    let seconds = patience.as_secs();
    Fault::new(format!("cannot {goal}: process {pid}, which does the work, has not answered for {seconds} seconds"))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    #[expect(clippy::zombie_processes, reason = "each is waited for by its pid")]
    fn child(script: &str) -> (OwnedFd, i32, OwnedFd) {
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        (child.stdout.take().unwrap().into(), child.id() as i32, pidfd)
    }

    #[test]
    fn an_answer_is_read_and_waiting_has_a_deadline() {
        let (reader, pid, pidfd) = child("echo answer; exit 3");
        let (answer, status) = hear("ask", &reader, pid, &pidfd, PATIENCE).unwrap();
        assert_eq!((answer.as_slice(), status), (&b"answer\n"[..], Status(3)));
        for silent in ["kill -STOP $$", "exec >&-; kill -STOP $$"] {
            let (reader, pid, pidfd) = child(silent);
            let fault = hear("ask", &reader, pid, &pidfd, Duration::from_millis(300)).unwrap_err();
            assert!(fault.to_string().contains("has not answered"), "{fault}");
            assert_eq!(wait_for(pid).unwrap(), Status(128 + 9));
        }
    }
}
