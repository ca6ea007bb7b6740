//! The steps of entering, in the order that the kernel requires: from the last ones outside, across setns(2), to the
//! command's execve(2). `setns(2)`, `execve(2)`.
//!
//! In short: stdin, cgroups, label, limits, groups; hide; setns(2); root and directory; ids, environment, keyring,
//! terminal, descriptors, filters; execve(2). The surprise is that processes inside can see us as soon as we join a
//! mount or pid namespace, and that root of a user namespace may trace us as soon as we join that.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd};

use plumbing::confinement::privilege::renew_session_keyring;
use plumbing::fault::has_error_fd;
use plumbing::kernel::{own, place};
use plumbing::process::closing::{close_from, refuse_directories};
use plumbing::process::console::{self, Console, Receiver};
use plumbing::process::environment::Environment;
use plumbing::process::foreign_user::{hide, stay_hidden};
use plumbing::process::namespace::Kind;
use plumbing::process::{chain, procfs, session};
use plumbing::{Fault, Status, narrate};

use super::credentials::Entered;
use super::environ::Surroundings;
use super::pty::Terminal;
use super::{Entry, security_label};

/// Does what must be done outside, then crosses the border. Returns facts about the user namespace, if one was entered.
pub(super) fn cross(entry: &Entry<'_>, is_hidden: bool) -> Result<Option<Entered>, Fault> {
    let kinds = entry.namespaces.kinds();
    let is_user = kinds.contains(Kind::User);
    let crosses = entry.namespaces.cross_border() || is_user;
    // The command's own stdin first, so that the next steps judge what the command will have.
    if let Some(stdin) = &entry.stdin {
        own("give the command its stdin", "dup2(stdin)", || place(stdin, 0))?;
    }
    if entry.namespaces.cross_border() {
        session::replace_null()?;
    }
    // Through our own mounts of the hierarchies: inside, paths begin at the root of the cgroup namespace.
    if let Some(groups) = &entry.groups {
        groups.join()?;
    }
    // Through our own /proc; the label takes effect at the execve(2).
    if let (true, Some(target)) = (entry.follow_context, entry.target) {
        security_label::follow(target)?;
    }
    // After the cgroups, whose cpuset decides which CPUs can be chosen; and with our rights here, because raising limits
    // and lowering the OOM score need those of the first user namespace.
    if let Some(like) = &entry.like {
        like.outside()?;
    }
    if crosses {
        refuse_directories(entry.streams())?;
        // A process inside chooses what is mounted on /proc there.
        procfs::keep()?;
    }
    // Before the user namespace, which may forbid setgroups(2) for good.
    if is_user && entry.like.is_none() {
        entry.credentials.leave_groups()?;
    }
    // Last before setns(2): from there on, processes inside can see us.
    if crosses && !is_hidden {
        hide()?;
    }
    entry.namespaces.join()?;
    // Again, because joining a user namespace changes the credentials, and the kernel then decides again who may trace us.
    if crosses {
        stay_hidden()?;
    }
    entry.directories.enter()?;
    // With all rights in an entered user namespace, and in the root that the command will have.
    if let Some(toolbox) = &entry.toolbox {
        toolbox.attach()?;
    }
    if let Some(target) = entry.target.filter(|_| kinds.contains(Kind::Mnt) || entry.directories.changes_root()) {
        chain::note_root(format!("the root of process {}", target.pid()));
    }
    is_user.then(Entered::look).transpose()
}

/// The terminal that the command gets: one that a process outside relays, or one whose controlling end is sent away.
#[derive(Default)]
pub(super) struct End<'a> {
    pub(super) terminal: Option<&'a Terminal>,
    pub(super) receiver: Option<&'a Receiver>,
}

impl End<'_> {
    /// Opens a terminal in the /dev/pts that the command has.
    fn console(&self, entry: &Entry<'_>) -> Result<Option<Console>, Fault> {
        let Some(receiver) = self.receiver.filter(|_| !narrate::is_dry_run()) else { return Ok(None) };
        receiver.open(console::pts_of_this_root()?.as_fd(), entry.process.uid, None)
    }

    fn give(&self, console: Option<&Console>) -> Result<(), Fault> {
        self.terminal.map_or(Ok(()), Terminal::give)?;
        console.map_or(Ok(()), Console::give)
    }
}

/// Confines this process inside, and becomes the command. Calls `last` when the credentials have their final values,
/// then closes all descriptors but `starting`: a pipe, which leads to no file, and through which a failure is reported.
pub(super) fn run(
    entry: &Entry<'_>,
    entered: Option<Entered>,
    end: &End<'_>,
    starting: Option<BorrowedFd<'_>>,
    last: impl FnOnce() -> Result<(), Fault>,
) -> Result<Status, Fault> {
    // While we have all rights in the user namespace: only its root may be allowed to read the target's environment.
    let judged = match (&entry.environment, entry.target) {
        (Surroundings::OfTarget(theirs), Some(target)) => Some(theirs.judge(target, entered.is_some())?),
        _ => None,
    };
    let (known, process) = entry.environment.known(&entry.process)?;
    let environment = |is_like_target| match (&known, &judged) {
        (Some(known), _) => Cow::Borrowed(known.as_ref()),
        (_, Some(judged)) => Cow::Owned(judged.environment(is_like_target)),
        (_, None) => Cow::Owned(Environment::inherited()),
    };
    let crosses = entry.namespaces.cross_border() || entered.is_some();
    // While we may still give it to the user of the command.
    let console = end.console(entry)?;
    // After the ids have changed, which clears what these steps set; before the filters, which may forbid these calls.
    let last = |environment: &Environment| {
        if crosses {
            stay_hidden()?;
            if !entry.process.session_keyring {
                renew_session_keyring()?;
            }
        }
        last()?;
        if has_error_fd() {
            entry.command.require_program(environment)?;
        }
        end.give(console.as_ref())?;
        close_from(3_u32.saturating_add(entry.command.preserve_fds), starting)
    };
    let environment = match &entry.like {
        Some(like) => {
            let environment = environment(true);
            like.inside(|| last(&environment))?;
            environment
        }
        None => {
            entry.credentials.apply(entered, entry.target)?;
            // After the change of credentials, and before a system call filter could forbid reading the ids.
            let environment = environment(false);
            process.apply(|| last(&environment))?;
            environment
        }
    };
    match &entry.toolbox {
        Some(toolbox) => entry.command.exec(&toolbox.extend(environment), toolbox.shell()),
        None => entry.command.exec(&environment, None),
    }
}
