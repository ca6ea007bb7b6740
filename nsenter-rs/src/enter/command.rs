//! The command that is run inside.

use std::borrow::Cow;
use std::ffi::OsString;

use plumbing::Fault;
use plumbing::process::sealed;

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

    /// Returns the command, or the caller's shell.
    pub(crate) fn words_or_shell(&self) -> Cow<'_, [OsString]> {
        if !self.words.is_empty() {
            return Cow::Borrowed(&self.words);
        }
        let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
        Cow::Owned(vec![shell.unwrap_or_else(|| "/bin/sh".into())])
    }
}
