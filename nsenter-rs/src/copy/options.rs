//! The options of `--copy`.

use std::ffi::OsString;

use plumbing::Fault;
use plumbing::command_line::ordinary::Ordinary;

use super::Copy;
use crate::find::Runtime;

/// Options that copy files instead of entering.
#[derive(Debug, Default, clap::Args, Ordinary)]
#[command(next_help_heading = "Copy")]
pub(crate) struct CopyOptions {
    /// Copy a file or directory into or out of a container: NAME:/PATH or PID:/PATH; - is stdin or stdout
    #[arg(long, value_names = ["SRC", "DEST"], num_args = 2, conflicts_with_all = ["command", "pipe", "target", "shell", "find", "inspect", "diff"])]
    copy: Option<Vec<OsString>>,
    /// With --copy: also copy owners, by the container's ID map
    #[arg(long, requires = "copy")]
    archive: bool,
}

impl CopyOptions {
    /// Returns whether a copy is asked for.
    pub(crate) fn is_given(&self) -> bool {
        self.copy.is_some()
    }

    /// Returns the copy that is asked for.
    pub(crate) fn read(self, runtime: Option<Runtime>) -> Result<Option<Copy>, Fault> {
        let words = self.copy.and_then(|words| <[OsString; 2]>::try_from(words).ok());
        words.map(|words| Copy::read(words, self.archive, runtime)).transpose()
    }
}
