//! The command, or a login shell, and its environment. `environ(7)`, `passwd(5)`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use plumbing::process::chain;
use plumbing::process::environment::Environment;
use plumbing::{Fault, Status};

use crate::accounts;

/// The command, and the part of our environment that it gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) words: Vec<OsString>,
    /// The variables to keep; `None` keeps all.
    pub(crate) variables: Option<Vec<OsString>>,
}

impl Command {
    /// Executes the command. Returns only after an error or in a dry run.
    pub(crate) fn exec(&self) -> Result<Status, Fault> {
        let environment = self.environment();
        if !self.words.is_empty() {
            return chain::exec_with(&self.words, &environment);
        }
        let shell = shell(&environment);
        // A shell recognizes by the dash that it is a login shell.
        let mut argv0 = OsString::from("-");
        argv0.push(Path::new(&shell).file_name().unwrap_or(&shell));
        let is_callers = environment.get("SHELL").is_some_and(|own| own == shell);
        chain::exec_program(&shell, &[argv0], &environment).map_err(|fault| {
            if fault.status() != Status::NOT_FOUND {
                return fault;
            }
            let origin = if is_callers { "the caller's $SHELL" } else { "the shell in /etc/passwd" };
            fault.with_remedy(format!("it is {origin}, which is not here; name a command"))
        })
    }

    fn environment(&self) -> Environment {
        let inherited = Environment::inherited();
        let Some(names) = &self.variables else { return inherited };
        let mut environment = Environment::empty();
        for name in names {
            if let Some(value) = std::env::var_os(name) {
                environment.set(name, value);
            }
        }
        environment
    }
}

/// Returns the shell of the environment, otherwise that of our user, otherwise /bin/sh.
fn shell(environment: &Environment) -> OsString {
    let variable = environment.get("SHELL").filter(|shell| !shell.is_empty()).map(OsStr::to_owned);
    let of_user = || accounts::shell(nix::unistd::getuid().as_raw());
    variable.or_else(of_user).unwrap_or_else(|| "/bin/sh".into())
}
