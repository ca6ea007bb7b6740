//! The command that is run inside. `execve(2)`.
//!
//! The surprise: the caller's shell is a file of the host. A container may have another one, or none.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use plumbing::kernel::{call, kill_by_number};
use plumbing::process::environment::Environment;
use plumbing::process::{chain, pid_file, sealed};
use plumbing::{Fault, Status};

use crate::options::HandoverOptions;

/// The shells that are tried after the caller's, in this order.
const SHELLS: [&str; 4] = ["/bin/sh", "/bin/bash", "/bin/ash", "/bin/dash"];

/// The words of the command, and how it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) words: Vec<OsString>,
    /// The number of descriptors, from 3 on, that are passed to the command.
    pub(crate) preserve_fds: u32,
    /// Whether the command gets the caller's terminal itself.
    pub(crate) no_pty: bool,
    /// Whether a sealed copy of the executable is used in any case.
    pub(crate) sealed_copy: bool,
    /// Whether this process becomes the command, whatever is entered.
    pub(crate) no_fork: bool,
    /// What happens once the command runs.
    pub(crate) handover: Handover,
}

/// `--detach`, `--pid-file` and `--console-socket`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Handover {
    /// Whether no process of ours waits for the command.
    pub(crate) detach: bool,
    pub(crate) pid_file: Option<PathBuf>,
    /// The socket to which a terminal is sent.
    pub(crate) console_socket: Option<PathBuf>,
}

impl Handover {
    pub(crate) fn of(options: HandoverOptions) -> Handover {
        let HandoverOptions { detach, pid_file, console_socket } = options;
        Handover { detach, pid_file, console_socket }
    }

    /// Reports whether a process has to stay outside until the command runs.
    pub(crate) fn is_needed(&self) -> bool {
        self.detach || self.pid_file.is_some() || self.console_socket.is_some()
    }

    /// Writes the pid of the command, our child; if that fails, the command ends, because nobody could find it.
    pub(crate) fn publish(&self, command: i32) -> Result<(), Fault> {
        let Some(file) = &self.pid_file else { return Ok(()) };
        pid_file::write(file, command).or_else(|fault| {
            let why = "its pid could not be written, so nobody would find it; kill(2)";
            call("end the command", format!("kill({command}, SIGKILL)"), why, || {
                kill_by_number(command, Signal::SIGKILL as i32)
            })?;
            Err(fault)
        })
    }
}

impl Command {
    /// Makes our executable unwritable, before a process of the container can see us and open it as /proc/PID/exe.
    pub(crate) fn seal(&self) -> Result<(), Fault> {
        let why =
            "the container must not be able to write to our executable, which it sees as /proc/PID/exe; execveat(2)";
        if self.sealed_copy { sealed::ensure(why) } else { sealed::ensure_view(why) }
    }

    /// Fails if the command is missing or not executable.
    pub(crate) fn require_program(&self, environment: &Environment) -> Result<(), Fault> {
        self.words.first().map_or(Ok(()), |program| chain::require_program(program, environment))
    }

    /// Becomes the command with this environment. Without a command, becomes the caller's shell, or if this root does not
    /// have that, the first shell that it has, or else the shell among the host's tools.
    pub(crate) fn exec(&self, environment: &Environment, tool: Option<PathBuf>) -> Result<Status, Fault> {
        if !self.words.is_empty() {
            return chain::exec_with(&self.words, environment);
        }
        let own = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
        let others = SHELLS.iter().map(OsString::from).filter(|shell| own.as_ref() != Some(shell));
        let mut not_found = None;
        let is_passed_over = |status| status == Status::NOT_FOUND || (tool.is_some() && status == Status::NOT_RUNNABLE);
        for shell in own.iter().cloned().chain(others).chain(tool.iter().map(OsString::from)) {
            match chain::exec_with(&[shell], environment) {
                Err(fault) if is_passed_over(fault.status()) => not_found = not_found.or(Some(fault)),
                executed => return executed,
            }
        }
        Err(not_found.map_or_else(
            || Fault::usage("a command is missing"),
            |fault| no_shell(fault, own.is_some(), tool.is_some()),
        ))
    }
}

/// Reports whether this root has one of the shells.
pub(super) fn has_shell() -> bool {
    let is_program = |shell: &&str| std::fs::metadata(shell).is_ok_and(|it| it.is_file() && it.mode() & 0o111 != 0);
    SHELLS.iter().any(is_program)
}

/// Says that no shell was found, and where the name of the first one came from.
fn no_shell(fault: Fault, is_own: bool, has_tools: bool) -> Fault {
    let shells = SHELLS.join(", ");
    let remedy = if has_tools { "nor do the tools have sh; name a command" } else { "name a command, or use --tools" };
    fault.with_remedy(if is_own {
        format!("it is the caller's $SHELL, and this root has none of {shells} either; {remedy}")
    } else {
        format!("this root has none of {shells}; {remedy}")
    })
}
