//! What is run in the end: the command, or a login shell; and with which environment. `environ(7)`, `passwd(5)`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use plumbing::environment::Environment;
use plumbing::{Fault, Status, chain};

use crate::accounts;

/// The command line's rest, and what it gets of our environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) words: Vec<OsString>,
    /// The only variables that stay; `None` for all.
    pub(crate) variables: Option<Vec<OsString>>,
}

impl Command {
    /// Becomes it.
    pub(crate) fn exec(&self) -> Result<Status, Fault> {
        let environment = self.environment();
        if !self.words.is_empty() {
            return chain::exec_with(&self.words, &environment);
        }
        let shell = shell(&environment);
        // The dash is how a shell knows that it is the first of a login.
        let mut argv0 = OsString::from("-");
        argv0.push(Path::new(&shell).file_name().unwrap_or(&shell));
        chain::exec_program(&shell, &[argv0], &environment)
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

/// Of the environment, else of the user as whom we run, else the one that every system has.
fn shell(environment: &Environment) -> OsString {
    let told = environment.get("SHELL").filter(|shell| !shell.is_empty()).map(OsStr::to_owned);
    let known = || accounts::shell(nix::unistd::getuid().as_raw()).map(OsString::from);
    told.or_else(known).unwrap_or_else(|| "/bin/sh".into())
}
