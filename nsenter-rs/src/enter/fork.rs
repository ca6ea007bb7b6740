//! Entering: join the cgroup, join the namespaces, fork into the pid namespace, confine, execute. `setns(2)`.
//!
//! If no process has to stay outside, this process becomes the command. Otherwise another process crosses the border
//! and this one waits outside. A joined pid namespace applies only to children. If our rights suffice, the crossing
//! process is forked into it. If not, it forks once more, and the command becomes *our* child (CLONE_PARENT). When this
//! process dies, for whatever reason, the kernel kills the command.

use std::borrow::Cow;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::Signal;
use plumbing::confinement::privilege::{Process, renew_session_keyring};
use plumbing::kernel::{Cloned, call, exit_now, fork, fork_sibling, look, place};
use plumbing::process::closing::{close_from, end, refuse_directories};
use plumbing::process::environment::Environment;
use plumbing::process::foreign_user::{hide, stay_hidden};
use plumbing::process::namespace::Kind;
use plumbing::process::status::wait_for;
use plumbing::process::target::{Target, wait_readable};
use plumbing::process::{chain, procfs, session};
use plumbing::{Fault, Status, narrate};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::PidfdFlags;
use rustix::termios::isatty;

use super::chroot_chdir::OpenDirectories;
use super::command::Command;
use super::credentials::{Credentials, Entered};
use super::environ::Surroundings;
use super::join_cgroup::Groups;
use super::like_target::Like;
use super::pty::Terminal;
use super::security_label;
use super::setns::OpenNamespaces;
use super::wait::{Signals, attend};

/// The namespaces, the identity and the command of one entry. All that is needed from outside is open.
pub(crate) struct Entry<'a> {
    pub(crate) target: Option<&'a Target>,
    pub(crate) namespaces: OpenNamespaces<'a>,
    /// The cgroups, joined before the namespaces change the meaning of paths.
    pub(crate) groups: Option<Groups>,
    pub(crate) follow_context: bool,
    pub(crate) directories: OpenDirectories,
    pub(crate) credentials: Credentials,
    /// The example for `--like-target`; it overrides the credentials.
    pub(crate) like: Option<Like<'a>>,
    /// The confinement that a record contains.
    pub(crate) process: Process,
    pub(crate) environment: Surroundings,
    pub(crate) command: &'a Command,
    /// The command's stdin, if it is not ours.
    pub(crate) stdin: Option<OwnedFd>,
}

/// Becomes the command. Returns only on failure, or in a dry run.
pub(crate) fn become_command(entry: &Entry<'_>) -> Result<Status, Fault> {
    if entry.namespaces.cross_border() {
        session::leave()?;
    }
    let entered = cross(entry, false)?;
    end(run(entry, entered, None, None, || Ok(())))
}

/// Runs the command inside and waits for it; calls `entered` once the command runs.
pub(crate) fn enter(entry: &mut Entry<'_>, entered: impl FnOnce() -> Result<(), Fault>) -> Result<Status, Fault> {
    let watch = look("open a pidfd of this process", "pidfd_open(self)", || {
        rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
    })?;
    let (started, starting) = look("wait for the exec", "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    let mut terminal = entry.terminal()?;
    // A command with a terminal of its own gets a session of its own, too.
    entry.process.new_session &= terminal.is_none();
    let signals = Signals::hold()?;
    let is_hidden = join_pid_namespace_early(entry)?;
    let entry: &Entry<'_> = entry;
    match fork("fork", "this process crosses the border; the one outside waits")? {
        Cloned::Child => {
            let inside = Inside { entry, terminal: terminal.as_ref(), signals: &signals, watch: &watch, is_hidden };
            let crossed = inside.cross(starting.as_fd());
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
            let leads_session = entry.namespaces.cross_border() && !entry.streams().into_iter().any(isatty);
            let status = attend(start.sibling.unwrap_or(pid), leads_session, &signals, terminal.as_mut())?;
            if start.runs { Ok(status) } else { Err(Fault::already_told(status)) }
        }
    }
}

impl Entry<'_> {
    /// Reports whether a process inside could use the caller's terminal.
    pub(crate) fn needs_terminal(&self) -> bool {
        let crosses = self.namespaces.cross_border() && !self.command.no_pty && !narrate::is_dry_run();
        crosses && self.streams().into_iter().any(isatty)
    }

    /// Returns what the command gets as stdin, stdout and stderr if it gets no new terminal.
    fn streams(&self) -> [BorrowedFd<'_>; 3] {
        let stdin = self.stdin.as_ref().map_or(rustix::stdio::stdin(), |stdin| stdin.as_fd());
        [stdin, rustix::stdio::stdout(), rustix::stdio::stderr()]
    }

    fn terminal(&self) -> Result<Option<Terminal>, Fault> {
        if self.needs_terminal() { Terminal::open(self.streams()) } else { Ok(None) }
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
        let mut text = String::new();
        look("wait for the exec", "read(pipe)", || std::fs::File::from(started).read_to_string(&mut text))?;
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
struct Inside<'a> {
    entry: &'a Entry<'a>,
    terminal: Option<&'a Terminal>,
    signals: &'a Signals,
    watch: &'a OwnedFd,
    /// Whether it was forked after this process had hidden itself.
    is_hidden: bool,
}

impl Inside<'_> {
    fn cross(&self, starting: BorrowedFd<'_>) -> Result<Status, Fault> {
        die_with(self.watch)?;
        let entered = cross(self.entry, self.is_hidden)?;
        if !self.entry.namespaces.kinds().contains(Kind::Pid) || self.entry.command.no_fork {
            return self.run(entered, starting);
        }
        let why = "a joined pid namespace applies only to children; this one is a child of nsenter-rs; \
                   pid_namespaces(7)";
        match fork_sibling("fork", why)? {
            Cloned::Child => in_child(self.run(entered, starting), starting),
            Cloned::Parent { pid, .. } => {
                look("report the pid of the command", "write(pipe)", || {
                    rustix::io::write(starting, pid.to_string().as_bytes())
                })?;
                exit_now(Status::SUCCESS)
            }
        }
    }

    fn run(&self, entered: Option<Entered>, starting: BorrowedFd<'_>) -> Result<Status, Fault> {
        self.signals.release()?;
        // Again, because a fork and a change of credentials each clear the death signal.
        run(self.entry, entered, self.terminal, Some(starting), || {
            die_with(self.watch)?;
            // With a terminal of its own, the command begins its session when it takes it.
            if self.terminal.is_none() && self.entry.namespaces.cross_border() {
                session::leave()?;
            }
            Ok(())
        })
    }
}

/// Does everything that must be done outside, then crosses the border. Returns facts about the user namespace, if one
/// was entered.
fn cross(entry: &Entry<'_>, is_hidden: bool) -> Result<Option<Entered>, Fault> {
    if let Some(stdin) = &entry.stdin {
        look("give the command its stdin", "dup2(stdin)", || place(stdin, 0))?;
    }
    if entry.namespaces.cross_border() {
        session::replace_null()?;
    }
    if let Some(groups) = &entry.groups {
        groups.join()?;
    }
    if let (true, Some(target)) = (entry.follow_context, entry.target) {
        security_label::follow(target)?;
    }
    if let Some(like) = &entry.like {
        like.outside()?;
    }
    let kinds = entry.namespaces.kinds();
    let is_user = kinds.contains(Kind::User);
    let crosses = entry.namespaces.cross_border() || is_user;
    if crosses {
        refuse_directories(entry.streams())?;
        // A process inside chooses what is mounted on /proc there.
        procfs::keep()?;
    }
    if is_user && entry.like.is_none() {
        entry.credentials.leave_groups()?;
    }
    if !is_hidden && crosses {
        hide()?;
    }
    entry.namespaces.join()?;
    if crosses {
        stay_hidden()?;
    }
    entry.directories.enter()?;
    is_user.then(Entered::look).transpose()
}

/// Confines itself inside, and becomes the command. Calls `last` when the credentials have their final values, then
/// closes all descriptors but `starting`: a pipe, which leads to no file, and through which a failure is reported.
fn run(
    entry: &Entry<'_>,
    entered: Option<Entered>,
    terminal: Option<&Terminal>,
    starting: Option<BorrowedFd<'_>>,
    last: impl FnOnce() -> Result<(), Fault>,
) -> Result<Status, Fault> {
    let judged = match (&entry.environment, entry.target) {
        (Surroundings::OfTarget(theirs), Some(target)) => Some(theirs.judge(target, entered.is_some())?),
        _ => None,
    };
    let (known, process) = entry.environment.known(&entry.process);
    let environment = |is_like_target| match (&known, &judged) {
        (Some(known), _) => Cow::Borrowed(known.as_ref()),
        (_, Some(judged)) => Cow::Owned(judged.environment(is_like_target)),
        (_, None) => Cow::Owned(Environment::inherited()),
    };
    let crosses = entry.namespaces.cross_border() || entered.is_some();
    let last = || {
        if crosses {
            stay_hidden()?;
            if !entry.process.session_keyring {
                renew_session_keyring()?;
            }
        }
        last()?;
        if let Some(terminal) = terminal {
            terminal.give()?;
        }
        close_from(3_u32.saturating_add(entry.command.preserve_fds), starting)
    };
    let environment = match &entry.like {
        Some(like) => {
            let environment = environment(true);
            like.inside(last)?;
            environment
        }
        None => {
            entry.credentials.apply(entered, entry.target)?;
            // After the change of credentials, and before a system call filter could forbid reading the ids.
            let environment = environment(false);
            process.apply(last)?;
            environment
        }
    };
    chain::exec_with(&entry.command.words_or_shell(), &environment)
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
