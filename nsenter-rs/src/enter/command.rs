//! The command that is run inside. `execve(2)`.
//!
//! The surprise: the caller's shell is a file of the host. A container may have another one, or none.

use std::ffi::OsString;

use plumbing::process::environment::Environment;
use plumbing::process::{chain, sealed};
use plumbing::{Fault, Status};

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
}

impl Command {
    /// Makes our executable unwritable, before a process of the container can see us and open it as /proc/PID/exe.
    pub(crate) fn seal(&self) -> Result<(), Fault> {
        let why =
            "the container must not be able to write to our executable, which it sees as /proc/PID/exe; execveat(2)";
        if self.sealed_copy { sealed::ensure(why) } else { sealed::ensure_view(why) }
    }

    /// Becomes the command with this environment. Without a command, becomes the caller's shell, or if this root does not
    /// have that, the first shell that it has.
    pub(crate) fn exec(&self, environment: &Environment) -> Result<Status, Fault> {
        if !self.words.is_empty() {
            return chain::exec_with(&self.words, environment);
        }
        let own = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
        let others = SHELLS.iter().map(OsString::from).filter(|shell| own.as_ref() != Some(shell));
        let mut not_found = None;
        for shell in own.iter().cloned().chain(others) {
            match chain::exec_with(&[shell], environment) {
                Err(fault) if fault.status() == Status::NOT_FOUND => not_found = not_found.or(Some(fault)),
                executed => return executed,
            }
        }
        Err(not_found.map_or_else(|| Fault::usage("a command is missing"), |fault| no_shell(fault, own.is_some())))
    }
}

/// Says that no shell was found, and where the name of the first one came from.
fn no_shell(fault: Fault, is_own: bool) -> Fault {
    let shells = SHELLS.join(", ");
    fault.with_remedy(if is_own {
        format!("it is the caller's $SHELL, and this root has none of {shells} either; name a command")
    } else {
        format!("this root has none of {shells}; name a command")
    })
}
