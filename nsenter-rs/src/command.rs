//! The command that is run inside.

use std::borrow::Cow;
use std::ffi::OsString;

/// Its words, and what it is handed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) words: Vec<OsString>,
    /// So many descriptors from 3 on.
    pub(crate) preserve_fds: u32,
    /// The caller's terminal itself.
    pub(crate) no_pty: bool,
    /// From a copy of ourselves in any case.
    pub(crate) sealed_copy: bool,
    /// We become it, whatever is entered.
    pub(crate) no_fork: bool,
}

impl Command {
    /// The command, or the caller's shell.
    pub(crate) fn words_or_shell(&self) -> Cow<'_, [OsString]> {
        if !self.words.is_empty() {
            return Cow::Borrowed(&self.words);
        }
        let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
        Cow::Owned(vec![shell.unwrap_or_else(|| "/bin/sh".into())])
    }
}
