//! `--pipe`: building the root inside a held container. A child joins its namespaces, and a child of that child its pid
//! namespace, because after `setns(2)` only later children are in it, and proc must be mounted from inside.
//!
//! The namespaces may belong to another user, who can enter them by setns(2) and mount anything there. So the host's files
//! are read before entering, and inside the child has no more privileges than that user: `plumbing::process::foreign_user`.

use std::io::Write;
use std::os::fd::OwnedFd;

use plumbing::kernel::{Cloned, exit_now, fork, look, own};
use plumbing::pipeline::ownership;
use plumbing::pipeline::pipe::Stage;
use plumbing::process::namespace::{Kind, KindSet};
use plumbing::process::status::wait_for;
use plumbing::process::target::{Target, linked_namespace, own_namespace_inode, status_field};
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

/// Demands that the mount namespace was made for this container. A pivot moves the root of every process in a mount namespace,
/// and no call lists these processes. A record can be wrong, so the namespaces that matter most are compared.
pub(crate) fn require_own_mounts(stage: &Stage) -> Result<(), Fault> {
    let recorded = stage.record.namespaces()?;
    let is_own = recorded.iter().any(|(kind, namespace)| *kind == Kind::Mnt && namespace.private);
    let itself = stage.target.namespace_inode(Kind::Mnt)?;
    let parent = rustix::process::getppid().map_or(0, |parent| parent.as_raw_nonzero().get());
    let others = [(std::process::id(), "our"), (parent.unsigned_abs(), "our parent's"), (1, "process 1's")];
    // A namespace that we may not look at is not one that we may change.
    let shared = others.iter().find(|(pid, _)| itself.is_some() && mount_namespace(*pid) == itself);
    let whose = match (shared, is_own) {
        (None, true) => None,
        (Some((_, whose)), _) => Some((*whose).to_owned()),
        (None, false) => Some("its maker's".to_owned()),
    };
    let pid = stage.target.pid();
    ownership::require_own(&stage.target, Kind::Mnt, &stage.record.shown_name())?;
    let whose = match whose {
        Some(whose) => whose,
        // A record is input: "private" may have been edited.
        None => match outsider(&stage.target)? {
            Some(other) => format!("process {other}'s"),
            None => return Ok(()),
        },
    };
    Err(Fault::new(format!(
        "cannot change the root of process {pid}: it shares {whose} mount namespace; pivoting would change that root too"
    ))
    .with_remedy("give the container its own: unshare-rs --hold --mount"))
}

/// Returns a process outside the container that is in the container's mount namespace, if we may see one. Processes in a
/// pid namespace whose first process is the container's init belong to the container.
fn outsider(init: &Target) -> Result<Option<u32>, Fault> {
    let mounts = init.namespace_inode(Kind::Mnt)?;
    let status = init.read("status")?;
    let is_first = status_field(&status, "NSpid").and_then(|pids| pids.split_ascii_whitespace().last()) == Some("1");
    let pids = init.namespace_inode(Kind::Pid)?;
    let is_member = |pid: u32| is_first && pids != own_namespace_inode(Kind::Pid) && linked(pid, "pid") == pids;
    let entries =
        look("look for other processes in the mount namespace", "readdir(\"/proc\")", || std::fs::read_dir("/proc"))?;
    let mut processes = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(processes
        .find(|pid| i32::try_from(*pid).ok() != Some(init.pid()) && linked(*pid, "mnt") == mounts && !is_member(*pid)))
}

/// Returns the inode of a namespace of a process; `None` if it has ended or we may not look at it.
fn linked(pid: u32, name: &str) -> Option<u64> {
    linked_namespace(rustix::fs::CWD, &format!("/proc/{pid}/ns/{name}")).ok()
}

fn mount_namespace(pid: u32) -> Option<u64> {
    rustix::fs::stat(format!("/proc/{pid}/ns/mnt")).ok().map(|stat| stat.st_ino)
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
