//! `--pipe`: the same work inside a held container: a child joins its namespaces, and a child of that child its pid
//! namespace, since `setns(2)` moves only later children there and proc must be mounted from inside.
//!
//! The namespaces may be another user's, who can enter them by setns(2) and mount there what he wants. So what is read
//! of the host is read before, and what is done inside is done with no right but his: `plumbing::foreign_user`.

use std::io::Write;
use std::os::fd::OwnedFd;

use plumbing::kernel::{Cloned, exit_now, fork, look};
use plumbing::namespace::{Kind, KindSet};
use plumbing::pipe::Stage;
use plumbing::status::wait_for;
use plumbing::target::Target;
use plumbing::{Fault, Status, errand, foreign_user, narrate};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::Serialize;
use serde::de::DeserializeOwned;

const GOAL: &str = "work inside the container";
const ONCE_MORE: &str = "the pid namespace that we joined holds for children only; pid_namespaces(7)";

/// Runs `work` inside the container, of whose namespaces `foreign` are not ours, and gives back what it answers.
///
/// Under `--dry-run` it runs here, where its calls are only told.
pub(crate) fn inside<T: Serialize + DeserializeOwned>(
    target: &Target,
    foreign: KindSet,
    work: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, Fault> {
    let (reader, writer) = look(GOAL, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    let why = "a child does the work: who joins a pid namespace must fork once more, and we stay where we are";
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
            let (told, status) = errand::hear(GOAL, &reader, pid, &pidfd, errand::PATIENCE)?;
            understand(&told, status)
        }
    }
}

/// A pivot moves the root of every process in a mount namespace, and no call tells who is in one: it must have been made
/// for this container. Where the record lies, those whom it would hit first are looked at.
pub(crate) fn require_own_mounts(stage: &Stage) -> Result<(), Fault> {
    let told = stage.record.namespaces()?;
    let is_own = told.iter().any(|(kind, namespace)| *kind == Kind::Mnt && namespace.private);
    let itself = stage.target.namespace_inode(Kind::Mnt)?;
    let parent = rustix::process::getppid().map_or(0, |parent| parent.as_raw_nonzero().get());
    let others = [(std::process::id(), "ours"), (parent.unsigned_abs(), "our parent's"), (1, "process 1's")];
    // One of a process that we may not look at is none that we may change.
    let shared = others.iter().find(|(pid, _)| itself.is_some() && mount_namespace(*pid) == itself);
    let whose = match (shared, is_own) {
        (None, true) => return Ok(()),
        (Some((_, whose)), _) => whose,
        (None, false) => "its maker's",
    };
    let pid = stage.target.pid();
    Err(Fault::new(format!(
        "cannot change the root of process {pid}: its mount namespace is {whose}, too, whose root would be changed with it"
    ))
    .with_remedy("give the container its own: unshare-rs --hold --mount"))
}

fn mount_namespace(pid: u32) -> Option<u64> {
    rustix::fs::stat(format!("/proc/{pid}/ns/mnt")).ok().map(|stat| stat.st_ino)
}

/// Joins, and is root there: a user who is not mapped inside could make no file.
fn enter(target: &Target, foreign: KindSet) -> Result<(), Fault> {
    foreign_user::join(target, foreign, "where its mounts are, and where the kernel looks for our rights; setns(2)")
}

/// Does the last step in the pid namespace that was joined.
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
    look(GOAL, "write(pipe)", || std::fs::File::from(writer).write_all(&text))?;
    Ok(Status::SUCCESS)
}

fn understand<T: DeserializeOwned>(text: &[u8], status: Status) -> Result<T, Fault> {
    match status {
        Status::SUCCESS => serde_json::from_slice(text)
            .map_err(|error| Fault::new(format!("cannot {GOAL}: its answer is cut off: {error}"))),
        Status::OURS => Err(Fault::already_told(Status::OURS)),
        Status(code) => Err(Fault::new(format!("cannot {GOAL}: the process that did it ended with status {code}"))),
    }
}
