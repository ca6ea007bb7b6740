//! The declared options: parser, help, manual page and completions come from this table.

use std::ffi::OsString;
use std::os::fd::RawFd;

use clap::Parser;
use plumbing::namespace::{Kind, KindSet};
use plumbing::options::Narration;

const EXAMPLES: &str = "\
Examples:
  nsenter-rs --target 4242 --all -- sh                      enter every namespace of a process
  nsenter-rs --target 4242 --net -- ss -tln                 the host's tools, in the network of a container
  nsenter-rs --pipe --rm -- /bin/sh                         the end of a pipeline: run a command, then end the container
  nsenter-rs --pipe -- ps <web.json                         enter a container by the record that names it
  nsenter-rs --find web --json | cgexec-rs --pipe --show    find a container by name, and look into it

Exit status: 125 our own failure, 126 command not runnable, 127 not found, else the command's; 128+N by signal N.";

/// Enter namespaces, and find the containers that they belong to
#[derive(Debug, Parser)]
#[command(name = "nsenter-rs", version, after_help = EXAMPLES)]
pub struct Options {
    /// Enter namespaces of this process
    #[arg(short, long, value_name = "PID", value_parser = pid, help_heading = "Target",
          conflicts_with_all = ["pipe", "find"])]
    pub(crate) target: Option<i32>,
    /// Enter the container whose record comes in on stdin
    #[arg(long, help_heading = "Target", conflicts_with = "find")]
    pub(crate) pipe: bool,
    /// Print the record of the container with this name or id, and enter nothing (needs --json)
    #[arg(long, value_name = "NAME", requires = "json", help_heading = "Target", conflicts_with = "command")]
    pub(crate) find: Option<OsString>,
    /// Print records, as JSON, one a line
    #[arg(long, requires = "find", help_heading = "Target")]
    pub(crate) json: bool,

    /// All namespaces that are not ours already
    #[arg(short, long, requires = "target", help_heading = "Namespaces of the target")]
    pub(crate) all: bool,
    /// Its mount table
    #[arg(short, long, requires = "target", help_heading = "Namespaces of the target")]
    mount: bool,
    /// Its host name
    #[arg(short, long, requires = "target", help_heading = "Namespaces of the target")]
    uts: bool,
    /// Its System V IPC and POSIX message queues
    #[arg(short, long, requires = "target", help_heading = "Namespaces of the target")]
    ipc: bool,
    /// Its network
    #[arg(short, long, requires = "target", help_heading = "Namespaces of the target")]
    net: bool,
    /// Its process ids
    #[arg(short, long, requires = "target", help_heading = "Namespaces of the target")]
    pid: bool,
    /// Its users and groups
    #[arg(short = 'U', long, requires = "target", help_heading = "Namespaces of the target")]
    user: bool,
    /// Its view of the cgroups
    #[arg(short = 'C', long, requires = "target", help_heading = "Namespaces of the target")]
    cgroup: bool,
    /// Its clocks
    #[arg(short = 'T', long, requires = "target", help_heading = "Namespaces of the target")]
    time: bool,

    /// End the container when the command ends, or when nsenter-rs does
    #[arg(long, requires = "pipe", help_heading = "Pipe")]
    pub(crate) rm: bool,
    /// Leave an unfinished container alive when this stage fails
    #[arg(long, requires = "pipe", help_heading = "Pipe")]
    pub(crate) keep_on_error: bool,
    /// The command's stdin is this descriptor (default: the terminal, else /dev/null)
    #[arg(long, value_name = "FD", requires = "pipe", value_parser = clap::value_parser!(i32).range(1..),
          help_heading = "Pipe")]
    pub(crate) stdin: Option<RawFd>,
    /// Hand descriptors 3 to N+2 on to the command
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1024),
          help_heading = "Command")]
    pub(crate) preserve_fds: u32,

    #[command(flatten)]
    pub(crate) narration: Narration,

    /// The command, and its arguments; a shell when there is none
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

impl Options {
    /// The kinds asked for one by one.
    pub(crate) fn kinds(&self) -> KindSet {
        let asked = [
            (Kind::Mnt, self.mount),
            (Kind::Uts, self.uts),
            (Kind::Ipc, self.ipc),
            (Kind::Net, self.net),
            (Kind::Pid, self.pid),
            (Kind::User, self.user),
            (Kind::Cgroup, self.cgroup),
            (Kind::Time, self.time),
        ];
        asked.into_iter().filter_map(|(kind, asked)| asked.then_some(kind)).collect()
    }
}

fn pid(text: &str) -> Result<i32, String> {
    text.parse().ok().filter(|pid| *pid > 0).ok_or_else(|| "valid is the pid of a running process, such as 4242".into())
}

/// The command line, for help, manual page and completions.
pub fn command() -> clap::Command {
    plumbing::options::command::<Options>()
}
