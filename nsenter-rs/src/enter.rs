//! Entering a process or a container: a file for each kernel mechanism. `setns(2)`, `nsenter(1)`.
//!
//! Everything that is looked up outside is opened before the first namespace is joined, because afterwards each path
//! means something else.

mod btf;
pub(crate) mod chroot_chdir;
pub(crate) mod command;
pub(crate) mod credentials;
pub(crate) mod environ;
pub(crate) mod example;
pub(crate) mod fork;
mod host_program;
pub(crate) mod join_cgroup;
pub(crate) mod like_target;
pub(crate) mod named_netns;
mod namespace_id;
pub(crate) mod oom_score;
mod plan;
mod pty;
pub(crate) mod record_environ;
mod seccomp_filters;
mod securebits;
pub(crate) mod security_label;
pub(crate) mod setns;
pub(crate) mod stdin;
pub(crate) mod toolbox;
mod userns_owners;
mod wait;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use plumbing::pipeline::record::Process;
use plumbing::process::target::Target;
use plumbing::{Fault, narrate};
use rustix::termios::isatty;

use crate::find::PidOrName;
use chroot_chdir::{Directories, OpenDirectories};
use command::Command;
use credentials::Credentials;
use environ::Surroundings;
use join_cgroup::Groups;
use like_target::{Like, Unreadable};
use pty::Terminal;
use setns::{OpenNamespaces, Selection};
use toolbox::{Toolbox, Tools};

/// A command in namespaces that the options name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Enter {
    pub(crate) target: Option<PidOrName>,
    pub(crate) selection: Selection,
    pub(crate) directories: Directories,
    pub(crate) credentials: Credentials,
    /// Whether the command gets the target's environment.
    pub(crate) environment: bool,
    pub(crate) join_cgroup: bool,
    pub(crate) follow_context: bool,
    pub(crate) like_target: Option<Unreadable>,
    /// Tools of the host that the command gets.
    pub(crate) tools: Option<Tools>,
    pub(crate) command: Command,
}

/// A command in the container of a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LastStage {
    pub(crate) remove: bool,
    pub(crate) keep_on_error: bool,
    pub(crate) stdin: Option<RawFd>,
    pub(crate) command: Command,
}

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
    /// Tools of the host, mounted inside.
    pub(crate) toolbox: Option<Toolbox>,
    pub(crate) command: &'a Command,
    /// The command's stdin, if it is not ours.
    pub(crate) stdin: Option<OwnedFd>,
}

impl Enter {
    /// Adds the options that `--shell` is short for.
    pub(crate) fn with_a_shell(mut self) -> Enter {
        self.selection.all = true;
        (self.environment, self.join_cgroup) = (true, true);
        self.directories.root.get_or_insert(None);
        if self.directories.wdns.is_none() {
            self.directories.wd.get_or_insert(None);
        }
        self.tools.get_or_insert(Tools { directory: None, only_without_shell: true });
        self
    }
}

impl Entry<'_> {
    /// Reports whether somebody else could use the caller's terminal through the command.
    pub(crate) fn needs_terminal(&self) -> bool {
        let is_callers = !self.command.no_pty && self.command.handover.console_socket.is_none();
        let exposes = self.namespaces.expose() && is_callers && !narrate::is_dry_run();
        exposes && self.streams().into_iter().any(isatty)
    }

    /// Refuses `--no-fork` where a process outside would be needed.
    pub(crate) fn require_relay(&self) -> Result<(), Fault> {
        if !self.command.no_fork || !self.needs_terminal() {
            return Ok(());
        }
        let why = "--no-fork leaves no process outside to pass on what is typed on the terminal at descriptor 0, 1 or 2, and with \
                   the terminal itself the command could type on it";
        Err(Fault::usage(why).with_remedy("add --no-pty to give it the terminal, or redirect all three"))
    }

    /// Returns what the command gets as stdin, stdout and stderr if it gets no new terminal.
    fn streams(&self) -> [BorrowedFd<'_>; 3] {
        let stdin = self.stdin.as_ref().map_or(rustix::stdio::stdin(), |stdin| stdin.as_fd());
        [stdin, rustix::stdio::stdout(), rustix::stdio::stderr()]
    }

    fn terminal(&self) -> Result<Option<Terminal>, Fault> {
        if !self.needs_terminal() {
            return Ok(None);
        }
        if self.command.handover.detach {
            let fault = Fault::new("cannot detach: the command uses the caller's terminal");
            return Err(fault.with_remedy("redirect stdin, stdout and stderr, or pass the terminal itself: --no-pty"));
        }
        Terminal::open(self.streams())
    }
}
