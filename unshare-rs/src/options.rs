//! The declared options: parser, help, manual page and completions come from this table.

use std::ffi::OsString;

use clap::{Parser, ValueEnum};
use nix::sys::signal::Signal;
use plumbing::namespace::{Kind, KindSet};
use plumbing::options::Narration;

const EXAMPLES: &str = "\
Examples:
  unshare-rs --uts --hostname lab -- sh                     a host name of its own
  unshare-rs --user --map-root-user --pid --fork --mount-proc -- ps ax
                                                            alone in the process list, without privilege
  unshare-rs --mount --pid --fork --kill-child -- chroot-rs --std ./rootfs -- sh
                                                            the start of a container
  unshare-rs --hold --name web --mount --pid --net | nsenter-rs --pipe --rm -- sh
                                                            the same for a pipeline: a record names the namespaces

Exit status: 125 our own failure, 126 command not runnable, 127 not found, else the command's; 128+N by signal N.";

/// Create namespaces, and run a command in them or hold them open
#[derive(Debug, Parser)]
#[command(name = "unshare-rs", version, after_help = EXAMPLES)]
pub struct Options {
    /// Own mount table
    #[arg(short, long, help_heading = "Namespaces")]
    mount: bool,
    /// Own host and domain name
    #[arg(short, long, help_heading = "Namespaces")]
    uts: bool,
    /// Own System V IPC and POSIX message queues
    #[arg(short, long, help_heading = "Namespaces")]
    ipc: bool,
    /// Own network: interfaces, addresses, routes, firewall
    #[arg(short, long, help_heading = "Namespaces")]
    net: bool,
    /// Own process ids, for children: mostly wants --fork
    #[arg(short, long, help_heading = "Namespaces")]
    pid: bool,
    /// Own user and group ids, and with them privilege over the other namespaces
    #[arg(short = 'U', long, help_heading = "Namespaces")]
    user: bool,
    /// Own view of the cgroups, with the present one as root
    #[arg(short = 'C', long, help_heading = "Namespaces")]
    cgroup: bool,
    /// Own boot-time and monotonic clocks, for children
    #[arg(short = 'T', long, help_heading = "Namespaces")]
    time: bool,

    /// Map the calling user and group to root (implies --user)
    #[arg(short = 'r', long, help_heading = "Set up", conflicts_with = "map_current_user")]
    pub(crate) map_root_user: bool,
    /// Map the calling user and group to themselves (implies --user)
    #[arg(short = 'c', long, help_heading = "Set up")]
    pub(crate) map_current_user: bool,
    /// How mounts travel between the new mount namespace and the old one
    #[arg(long, value_name = "KIND", default_value = "private", help_heading = "Set up")]
    pub(crate) propagation: Propagation,
    /// Mount a fresh proc, at /proc or DIR (implies --mount)
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "/proc",
          help_heading = "Set up")]
    pub(crate) mount_proc: Option<OsString>,
    /// Set the host name (needs --uts)
    #[arg(long, value_name = "NAME", help_heading = "Set up")]
    pub(crate) hostname: Option<OsString>,

    /// Run the command in a child process: the first of a new pid namespace
    #[arg(short, long, help_heading = "Run")]
    pub(crate) fork: bool,
    /// When unshare-rs dies, end the command by this signal (implies --fork)
    #[arg(long, value_name = "SIGNAL", num_args = 0..=1, require_equals = true, default_missing_value = "KILL",
          value_parser = signal, help_heading = "Run")]
    pub(crate) kill_child: Option<Signal>,

    /// Leave a small init in the namespaces and print a container record for the next stage
    #[arg(long, help_heading = "Hold", conflicts_with_all = ["fork", "kill_child", "mount_proc", "command"])]
    pub(crate) hold: bool,
    /// The container's name, in the record and as its init's
    #[arg(long, requires = "hold", help_heading = "Hold")]
    pub(crate) name: Option<OsString>,
    /// End the container if no command was entered within this time
    #[arg(long, value_name = "SECONDS", requires = "hold", value_parser = plumbing::units::milliseconds,
          help_heading = "Hold")]
    pub(crate) ttl: Option<u64>,

    #[command(flatten)]
    pub(crate) narration: Narration,

    /// The command, and its arguments; a shell when there is none
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// `--propagation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Propagation {
    /// Nothing travels
    Private,
    /// Mounts travel in from outside, not out
    Slave,
    /// Mounts travel both ways
    Shared,
    /// As it was
    Unchanged,
}

impl Options {
    /// The kinds asked for, implied ones included.
    pub(crate) fn kinds(&self) -> KindSet {
        let asked = [
            (Kind::Mnt, self.mount || self.mount_proc.is_some()),
            (Kind::Uts, self.uts),
            (Kind::Ipc, self.ipc),
            (Kind::Net, self.net),
            (Kind::Pid, self.pid),
            (Kind::User, self.user || self.map_root_user || self.map_current_user),
            (Kind::Cgroup, self.cgroup),
            (Kind::Time, self.time),
        ];
        asked.into_iter().filter_map(|(kind, asked)| asked.then_some(kind)).collect()
    }
}

/// `KILL`, `SIGKILL` or `9`.
fn signal(text: &str) -> Result<Signal, String> {
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("SIG") { upper.clone() } else { format!("SIG{upper}") };
    let by_number = || text.parse::<i32>().ok().and_then(|number| Signal::try_from(number).ok());
    name.parse()
        .ok()
        .or_else(by_number)
        .ok_or_else(|| "valid are a name such as KILL or SIGTERM, or a number".to_owned())
}

/// The command line, for help, manual page and completions.
pub fn command() -> clap::Command {
    plumbing::options::command::<Options>()
}
