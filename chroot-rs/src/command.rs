//! The command, or a shell where none is named, and the name that it gets. `execve(2)`.

use std::ffi::{OsStr, OsString};

use plumbing::process::chain;
use plumbing::process::environment::Environment;
use plumbing::{Fault, Status};

/// The words of the command line after the options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) words: Vec<OsString>,
    /// `--argv0`: the name that the program sees, if it is not the first word.
    pub(crate) argv0: Option<OsString>,
}

impl Command {
    /// Executes the command, or without one an interactive shell, as chroot(8) does: the caller's, or /bin/sh if this root
    /// does not have that.
    pub(crate) fn exec_or_shell(&self, environment: &Environment) -> Result<Status, Fault> {
        const SHELL: &str = "/bin/sh";
        if !self.words.is_empty() {
            return self.exec(&self.words, environment);
        }
        let exec = |shell: &OsStr| self.exec(&[shell.to_owned(), "-i".into()], environment);
        let own = std::env::var_os("SHELL").filter(|shell| !shell.is_empty() && shell != SHELL);
        let Some(own) = own else { return exec(SHELL.as_ref()) };
        match exec(&own) {
            Err(fault) if fault.status() == Status::NOT_FOUND => exec(SHELL.as_ref()).map_err(|_| {
                fault.with_remedy(format!(
                    "it is the caller's $SHELL, and this root does not have {SHELL} either; name a command"
                ))
            }),
            executed => executed,
        }
    }

    /// Executes the command, or without one that of a bundle, or /bin/sh.
    pub(crate) fn exec_or(&self, of_bundle: &[OsString], environment: &Environment) -> Result<Status, Fault> {
        let shell = [OsString::from("/bin/sh")];
        let words = [&self.words[..], of_bundle, &shell].into_iter().find(|words| !words.is_empty());
        self.exec(words.unwrap_or_default(), environment)
    }

    /// Fails if the program of [`Command::exec_or`] is missing or not executable.
    pub(crate) fn require_program_or(&self, of_bundle: &[OsString], environment: &Environment) -> Result<(), Fault> {
        match self.words.first().or(of_bundle.first()) {
            Some(program) => chain::require_program(program, environment),
            None => Ok(()),
        }
    }

    fn exec(&self, words: &[OsString], environment: &Environment) -> Result<Status, Fault> {
        match (&self.argv0, words) {
            (Some(name), [program, rest @ ..]) => {
                let argv: Vec<_> = std::iter::once(name.clone()).chain(rest.iter().cloned()).collect();
                chain::exec_program(program, &argv, environment)
            }
            _ => chain::exec_with(words, environment),
        }
    }
}
