//! The command that is run inside.

use std::ffi::OsString;

/// Its words, and the descriptors that it gets beyond the standard three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) words: Vec<OsString>,
    /// So many from 3 on.
    pub(crate) preserve_fds: u32,
}

impl Command {
    /// The command, or the caller's shell.
    pub(crate) fn words_or_shell(&self) -> Vec<OsString> {
        if !self.words.is_empty() {
            return self.words.clone();
        }
        vec![std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".into())]
    }
}
