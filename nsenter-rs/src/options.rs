//! The declared options: parser, help, manual page and completions come from this table.

use std::ffi::OsString;

use clap::{CommandFactory, Parser};
use plumbing::options::Narration;

/// To be filled
#[derive(Debug, Parser)]
#[command(name = "nsenter-rs", version)]
pub struct Options {
    #[command(flatten)]
    pub(crate) narration: Narration,
    /// The command, and its arguments
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// The command line, for help, manual page and completions.
pub fn command() -> clap::Command {
    Options::command()
}
