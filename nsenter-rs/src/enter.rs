//! Entering: join the cgroup, join the namespaces, fork into the pid namespace, confine, execute. `setns(2)`.
//!
//! We stay outside and wait; another process crosses the border. A joined pid namespace holds for children only, so
//! that one forks once more, and the command becomes *our* child (CLONE_PARENT): nobody has to stand between. When we
//! die, however suddenly, the command dies.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::Signal;
use plumbing::kernel::{Cloned, call, clone3, clone3_sibling, close_range, exit_now, look, place, set_disposition};
use plumbing::namespace::{Kind, KindSet};
use plumbing::privilege::{Process, setgroups_is_denied};
use plumbing::status::wait_for;
use plumbing::target::{Target, wait_readable};
use plumbing::{Fault, Status, chain, narrate};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::PidfdFlags;

use crate::command::Command;

/// Where to, and what to run there.
pub(crate) struct Entry<'a> {
    pub(crate) target: &'a Target,
    pub(crate) kinds: KindSet,
    pub(crate) process: &'a Process,
    pub(crate) command: &'a Command,
    /// The command's stdin, where it is not ours.
    pub(crate) stdin: Option<&'a OwnedFd>,
}

/// Runs the command inside and waits for it. `join_cgroup` is done from outside, by the process that then crosses;
/// `entered` is told once the command runs.
pub(crate) fn enter(
    entry: &Entry<'_>,
    join_cgroup: impl FnOnce() -> Result<(), Fault>,
    entered: impl FnOnce() -> Result<(), Fault>,
) -> Result<Status, Fault> {
    let watch = look("watch ourselves", "pidfd_open(self)", || {
        rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
    })?;
    let (started, starting) = look("hear of the exec", "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    match fork("this process crosses the border; the one outside waits")? {
        Cloned::Child => {
            let crossed = join_cgroup().and_then(|()| cross(entry, &watch, starting.as_fd()));
            in_child(crossed, starting.as_fd())
        }
        Cloned::Parent { pid, .. } => {
            drop(starting);
            leave_terminal_to_command()?;
            let start = Start::hear(started)?;
            if start.runs {
                entered()?;
            }
            let crossed = wait_for(pid)?;
            let status = start.sibling.map_or(Ok(crossed), wait_for)?;
            if start.runs { Ok(status) } else { Err(Fault::already_told(status)) }
        }
    }
}

/// How the command's start went: what the pipe brought before its last end closed, which the exec does.
struct Start {
    /// Nobody gave up before the exec.
    runs: bool,
    /// The process that was forked into the pid namespace, as our child.
    sibling: Option<i32>,
}

/// What a process says on the pipe before it gives up.
const FAILED: &str = "!";

impl Start {
    fn hear(started: OwnedFd) -> Result<Start, Fault> {
        let mut told = String::new();
        look("hear of the exec", "read(pipe)", || std::fs::File::from(started).read_to_string(&mut told))?;
        Ok(Start { runs: !told.contains(FAILED), sibling: told.replace(FAILED, "").parse().ok() })
    }
}

/// The child's end: it never comes back into the parent's code, but for a dry run.
fn in_child(outcome: Result<Status, Fault>, starting: BorrowedFd<'_>) -> Result<Status, Fault> {
    match outcome {
        Ok(status) if narrate::is_dry_run() => Ok(status),
        Ok(status) => exit_now(status),
        Err(fault) => {
            let status = fault.report(narrate::tool());
            // A parent that is gone needs no word.
            rustix::io::write(starting, FAILED.as_bytes()).ok();
            exit_now(status)
        }
    }
}

fn cross(entry: &Entry<'_>, watch: &OwnedFd, starting: BorrowedFd<'_>) -> Result<Status, Fault> {
    die_with(watch)?;
    let root = root_inside(entry)?;
    entry
        .target
        .join(entry.kinds, "all at once, so that the rights that its user namespace gives count for the others")?;
    if !entry.kinds.contains(Kind::Pid) {
        return become_command(entry, root, watch);
    }
    let why = "a joined pid namespace holds for children only, and this one is nsenter-rs's own; pid_namespaces(7)";
    match call("fork", "clone3({flags=CLONE_PARENT|CLONE_PIDFD})", why, clone3_sibling)? {
        Cloned::Child => in_child(become_command(entry, root, watch), starting),
        Cloned::Parent { pid, .. } => {
            look("tell who runs the command", "write(pipe)", || {
                rustix::io::write(starting, pid.to_string().as_bytes())
            })?;
            exit_now(Status::SUCCESS)
        }
    }
}

fn become_command(entry: &Entry<'_>, root: Option<Process>, watch: &OwnedFd) -> Result<Status, Fault> {
    if let Some(stdin) = entry.stdin {
        look("give the command its stdin", "dup2(stdin)", || place(stdin, 0))?;
    }
    if let Some(root) = root {
        root.apply()?;
    }
    entry.process.apply()?;
    // Last: a change of credentials clears it.
    die_with(watch)?;
    if !entry.kinds.is_empty() {
        look("keep our descriptors to ourselves", "close_range(CLOSE_RANGE_CLOEXEC)", || {
            close_range(3 + entry.command.preserve_fds, u32::MAX, true)
        })?;
    }
    chain::exec_with(&entry.command.words_or_shell(), &entry.process.environment())
}

/// Who joins a user namespace keeps the ids that it has outside. As nsenter(1), become its root; without groups, but
/// where an unprivileged owner had to give up setgroups, which its own groups then survive.
fn root_inside(entry: &Entry<'_>) -> Result<Option<Process>, Fault> {
    if !entry.kinds.contains(Kind::User) {
        return Ok(None);
    }
    // Asked of the target from outside: what lies at /proc inside is the container's to choose.
    let denied = setgroups_is_denied(&entry.target.read("setgroups")?);
    let groups = (!denied).then(Vec::new);
    Ok(Some(Process { uid: Some(0), gid: Some(0), groups, ..Process::default() }))
}

/// Has the kernel kill us when the process behind `watch`, our parent, dies.
fn die_with(watch: &OwnedFd) -> Result<(), Fault> {
    let why = "the command must not outlive nsenter-rs; PR_SET_PDEATHSIG(2const)";
    call("end with nsenter-rs", "prctl(PR_SET_PDEATHSIG, SIGKILL)", why, || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
    })?;
    // A parent that died before the prctl sends nothing.
    match narrate::is_dry_run() || !wait_readable(watch.as_fd(), Some(Duration::ZERO))? {
        true => Ok(()),
        false => Err(Fault::new("cannot go on: nsenter-rs was killed while it entered")),
    }
}

fn fork(why: &str) -> Result<Cloned, Fault> {
    call("fork", "clone3({flags=CLONE_PIDFD, exit_signal=SIGCHLD})", why, || clone3(KindSet::EMPTY))
}

/// A terminal's ^C and ^\ go to the command as well; what it makes of them decides.
fn leave_terminal_to_command() -> Result<(), Fault> {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        look("leave the terminal to the command", format!("sigaction({signal}, SIG_IGN)"), || {
            set_disposition(signal, true)
        })?;
    }
    Ok(())
}
