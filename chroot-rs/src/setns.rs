//! `--pipe`: building the root inside a held container. A child joins its namespaces, and a child of that child its pid
//! namespace, because after `setns(2)` only later children are in it, and proc must be mounted from inside.
//!
//! The namespaces may belong to another user, who can enter them by setns(2) and mount anything there. So the host's files
//! are read before entering, and inside the child has no more privileges than that user: `plumbing::process::foreign_user`.

use std::io::Write;
use std::os::fd::OwnedFd;

use plumbing::kernel::{Cloned, exit_now, fork, own};
use plumbing::process::namespace::{Kind, KindSet};
use plumbing::process::status::wait_for;
use plumbing::process::target::Target;
use plumbing::process::{errand, foreign_user};
use plumbing::{Fault, Status, narrate};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::Serialize;
use serde::de::DeserializeOwned;

const GOAL: &str = "work inside the container";
const ONCE_MORE: &str = "only children enter the pid namespace that was joined; pid_namespaces(7)";

/// Runs `work` inside the container, whose namespaces `foreign` differ from ours, and returns its result.
///
/// Under `--dry-run` it runs here, where its calls are only printed.
pub(crate) fn inside<T: Serialize + DeserializeOwned>(
    target: &Target,
    foreign: KindSet,
    work: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, Fault> {
    let (reader, writer) = own(GOAL, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    let why = "a child does the work: joining a pid namespace needs another fork, and this process must stay outside";
    match fork(GOAL, why)? {
        Cloned::Child if narrate::is_dry_run() => {
            enter(target, foreign)?;
            if foreign.contains(Kind::Pid) {
                fork(GOAL, ONCE_MORE)?;
            }
            work()
        }
        Cloned::Child => {
            let done = enter(target, foreign).and_then(|()| descend(foreign, || answer(writer, work)));
            exit_now(done.unwrap_or_else(|fault| fault.report(narrate::tool())))
        }
        Cloned::Parent { pid, pidfd } => {
            drop(writer);
            let (sent, status) = errand::hear(GOAL, &reader, pid, &pidfd, errand::PATIENCE)?;
            understand(&sent, status)
        }
    }
}

/// Joins the namespaces as root: a user that is not mapped inside could not make files.
fn enter(target: &Target, foreign: KindSet) -> Result<(), Fault> {
    foreign_user::join(
        target,
        foreign,
        "its mounts are there, and its user namespace decides about our privileges; setns(2)",
    )
}

/// Runs the last step in the pid namespace that was joined.
fn descend(foreign: KindSet, last: impl FnOnce() -> Result<Status, Fault>) -> Result<Status, Fault> {
    if !foreign.contains(Kind::Pid) {
        return last();
    }
    match fork(GOAL, ONCE_MORE)? {
        Cloned::Child => exit_now(last().unwrap_or_else(|fault| fault.report(narrate::tool()))),
        Cloned::Parent { pid, .. } => wait_for(pid),
    }
}

fn answer<T: Serialize>(writer: OwnedFd, work: impl FnOnce() -> Result<T, Fault>) -> Result<Status, Fault> {
    let text = serde_json::to_vec(&work()?).map_err(|error| Fault::new(format!("cannot {GOAL}: {error}")))?;
    own(GOAL, "write(pipe)", || std::fs::File::from(writer).write_all(&text))?;
    Ok(Status::SUCCESS)
}

fn understand<T: DeserializeOwned>(text: &[u8], status: Status) -> Result<T, Fault> {
    match status {
        Status::SUCCESS => serde_json::from_slice(text)
            .map_err(|error| Fault::new(format!("cannot {GOAL}: its answer is incomplete: {error}"))),
        Status::OURS => Err(Fault::already_told(Status::OURS)),
        Status(code) => Err(Fault::new(format!("cannot {GOAL}: the process inside ended with status {code}"))),
    }
}
