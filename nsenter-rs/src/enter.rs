//! Entering: join the cgroup, join the namespaces, fork into the pid namespace, confine, execute. `setns(2)`.
//!
//! Where we need not stay, we become the command. Else another process crosses the border while we wait outside. A
//! joined pid namespace holds for children only: where our rights suffice that process is born in it. Else it forks once
//! more, and the command becomes *our* child (CLONE_PARENT). When we die, however suddenly, the command dies.

use std::borrow::Cow;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::Signal;
use plumbing::environment::Environment;
use plumbing::foreign_user::{hide, stay_hidden};
use plumbing::kernel::{Cloned, call, close_range, exit_now, fork, fork_sibling, look, place};
use plumbing::namespace::Kind;
use plumbing::privilege::Process;
use plumbing::status::wait_for;
use plumbing::target::{Target, wait_readable};
use plumbing::{Fault, Status, chain, narrate, procfs};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::PidfdFlags;
use rustix::termios::isatty;

use crate::command::Command;
use crate::context;
use crate::credentials::{Credentials, Entered};
use crate::directory::Opened;
use crate::entrance::Entrances;
use crate::environ::Theirs;
use crate::like_target::Like;
use crate::membership::Groups;
use crate::outside::{Signals, attend};
use crate::terminal::Terminal;

/// Where to, as whom, and what to run there. All that is needed from outside is open.
pub(crate) struct Entry<'a> {
    pub(crate) target: Option<&'a Target>,
    pub(crate) entrances: Entrances<'a>,
    /// To be joined from outside, before the namespaces change what a path means.
    pub(crate) groups: Option<Groups>,
    pub(crate) follow_context: bool,
    pub(crate) directories: Opened,
    pub(crate) credentials: Credentials,
    /// What the target is like, where the command is to be so, whatever the credentials say.
    pub(crate) like: Option<Like<'a>>,
    /// What a record confines the command to.
    pub(crate) process: Process,
    pub(crate) environment: Surroundings,
    pub(crate) command: &'a Command,
    /// The command's stdin, where it is not ours.
    pub(crate) stdin: Option<OwnedFd>,
}

/// The command's environment.
pub(crate) enum Surroundings {
    /// This one.
    Known(Environment),
    /// The target's, as far as it suits the command.
    OfTarget(Theirs),
}

/// Becomes the command. Comes back only with a fault, or from a dry run.
pub(crate) fn become_command(entry: &Entry<'_>) -> Result<Status, Fault> {
    let entered = cross(entry, false)?;
    run(entry, entered, None, || Ok(()))
}

/// Runs the command inside and waits for it; `entered` is told once it runs.
pub(crate) fn enter(entry: &mut Entry<'_>, entered: impl FnOnce() -> Result<(), Fault>) -> Result<Status, Fault> {
    let watch = look("watch ourselves", "pidfd_open(self)", || {
        rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
    })?;
    let (started, starting) = look("hear of the exec", "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    let mut terminal = entry.terminal()?;
    // With a terminal of its own the command gets a session of its own, too.
    entry.process.new_session &= terminal.is_none();
    let signals = Signals::hold()?;
    let is_hidden = bear_inside(entry)?;
    let entry: &Entry<'_> = entry;
    match fork("fork", "this process crosses the border; the one outside waits")? {
        Cloned::Child => {
            let inside = Inside { entry, terminal: terminal.as_ref(), signals: &signals, watch: &watch, is_hidden };
            let crossed = inside.cross(starting.as_fd());
            in_child(crossed, starting.as_fd())
        }
        Cloned::Parent { pid, .. } => {
            drop(starting);
            let start = Start::hear(started)?;
            if start.runs {
                entered()?;
            }
            if start.sibling.is_some() {
                wait_for(pid)?;
            }
            let status = attend(start.sibling.unwrap_or(pid), &signals, terminal.as_mut())?;
            if start.runs { Ok(status) } else { Err(Fault::already_told(status)) }
        }
    }
}

impl Entry<'_> {
    /// Whether the caller's terminal would be within reach of somebody inside.
    pub(crate) fn needs_terminal(&self) -> bool {
        let crosses = self.entrances.cross_border() && !self.command.no_pty && !narrate::is_dry_run();
        crosses && self.streams().into_iter().any(isatty)
    }

    /// What the command gets as stdin, stdout and stderr, but for a terminal.
    fn streams(&self) -> [BorrowedFd<'_>; 3] {
        let stdin = self.stdin.as_ref().map_or(rustix::stdio::stdin(), |stdin| stdin.as_fd());
        [stdin, rustix::stdio::stdout(), rustix::stdio::stderr()]
    }

    fn terminal(&self) -> Result<Option<Terminal>, Fault> {
        if self.needs_terminal() { Terminal::open(self.streams()) } else { Ok(None) }
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

/// The process that crosses while another stays outside.
struct Inside<'a> {
    entry: &'a Entry<'a>,
    terminal: Option<&'a Terminal>,
    signals: &'a Signals,
    watch: &'a OwnedFd,
    /// From its birth on.
    is_hidden: bool,
}

impl Inside<'_> {
    fn cross(&self, starting: BorrowedFd<'_>) -> Result<Status, Fault> {
        die_with(self.watch)?;
        let entered = cross(self.entry, self.is_hidden)?;
        if !self.entry.entrances.kinds().contains(Kind::Pid) || self.entry.command.no_fork {
            return self.run(entered);
        }
        let why = "a joined pid namespace holds for children only, and this one is nsenter-rs's own; pid_namespaces(7)";
        match fork_sibling("fork", why)? {
            Cloned::Child => in_child(self.run(entered), starting),
            Cloned::Parent { pid, .. } => {
                look("tell who runs the command", "write(pipe)", || {
                    rustix::io::write(starting, pid.to_string().as_bytes())
                })?;
                exit_now(Status::SUCCESS)
            }
        }
    }

    fn run(&self, entered: Option<Entered>) -> Result<Status, Fault> {
        self.signals.let_go()?;
        // Once more: neither a fork nor a change of credentials hands it on.
        run(self.entry, entered, self.terminal, || die_with(self.watch))
    }
}

/// All that needs the outside, then the border; answers what is known of the user namespace that was entered.
fn cross(entry: &Entry<'_>, is_hidden: bool) -> Result<Option<Entered>, Fault> {
    if let Some(groups) = &entry.groups {
        groups.join()?;
    }
    if let (true, Some(target)) = (entry.follow_context, entry.target) {
        context::follow(target)?;
    }
    if let Some(like) = &entry.like {
        like.outside()?;
    }
    let kinds = entry.entrances.kinds();
    let is_user = kinds.contains(Kind::User);
    let crosses = entry.entrances.cross_border() || is_user;
    if crosses {
        // What lies at /proc inside is somebody else's choice.
        procfs::keep()?;
    }
    if is_user && entry.like.is_none() {
        entry.credentials.leave_groups()?;
    }
    if !is_hidden && crosses {
        hide()?;
    }
    entry.entrances.join()?;
    if crosses {
        stay_hidden()?;
    }
    entry.directories.enter()?;
    is_user.then(Entered::look).transpose()
}

/// Inside: confine, and become the command. `last` is done when the credentials are what they will be.
fn run(
    entry: &Entry<'_>,
    entered: Option<Entered>,
    terminal: Option<&Terminal>,
    last: impl FnOnce() -> Result<(), Fault>,
) -> Result<Status, Fault> {
    if let Some(stdin) = &entry.stdin {
        look("give the command its stdin", "dup2(stdin)", || place(stdin, 0))?;
    }
    let judged = match (&entry.environment, entry.target) {
        (Surroundings::OfTarget(theirs), Some(target)) => Some(theirs.judge(target, entered.is_some())?),
        _ => None,
    };
    let environment = |is_like_target| match (&entry.environment, &judged) {
        (Surroundings::Known(environment), _) => Cow::Borrowed(environment),
        (_, Some(judged)) => Cow::Owned(judged.environment(is_like_target)),
        (_, None) => Cow::Owned(Environment::inherited()),
    };
    let last = || {
        if entry.entrances.cross_border() || entered.is_some() {
            stay_hidden()?;
        }
        last()?;
        if let Some(terminal) = terminal {
            terminal.give()?;
        }
        look("keep our descriptors to ourselves", "close_range(CLOSE_RANGE_CLOEXEC)", || {
            close_range(3 + entry.command.preserve_fds, u32::MAX, true)
        })
    };
    let environment = match &entry.like {
        Some(like) => {
            let environment = environment(true);
            like.inside(last)?;
            environment
        }
        None => {
            entry.credentials.apply(entered, entry.target)?;
            // Now that we are who the command will be, and before a filter could refuse to tell.
            let environment = environment(false);
            entry.process.apply(last)?;
            environment
        }
    };
    chain::exec_with(&entry.command.words_or_shell(), &environment)
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

/// Has the child that crosses be born in the pid namespace, where our own rights suffice for that: it need not fork then.
/// Answers whether we are hidden, as it is then, too.
fn bear_inside(entry: &mut Entry<'_>) -> Result<bool, Fault> {
    let kinds = entry.entrances.kinds();
    let is_root = rustix::process::geteuid().is_root();
    if !kinds.contains(Kind::Pid) || entry.command.no_fork || (kinds.contains(Kind::User) && !is_root) {
        return Ok(false);
    }
    // Before: it is seen inside from its birth on.
    hide()?;
    entry.entrances.join_pid_for_children()?;
    Ok(true)
}
