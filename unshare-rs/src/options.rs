//! The declaration of the options, from which the parser, the help, the manual page and the completions are made.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use nix::sys::signal::Signal;
use plumbing::command_line::options::Narration;
use plumbing::command_line::ordinary::Ordinary;

use crate::manual;
use crate::mapping::{Setgroups, Wanted};
use crate::single_ids::SingleIds;
use crate::values::{self, Parent};

/// Create namespaces, and run a command in them or keep them open
#[derive(Debug, Default, Parser, Ordinary)]
#[command(name = "unshare-rs", version, after_help = manual::MANUAL.help(), args_override_self = true, infer_long_args = true)]
pub struct Options {
    /// New mount namespace; =FILE (for any kind) binds the namespace to FILE, which keeps it alive
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) mount: Option<Option<PathBuf>>,
    /// New UTS namespace: host name and NIS domain name
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) uts: Option<Option<PathBuf>>,
    /// New IPC namespace: System V IPC and POSIX message queues
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) ipc: Option<Option<PathBuf>>,
    /// New network namespace: interfaces, addresses, routes, firewall
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) net: Option<Option<PathBuf>>,
    /// New PID namespace for children; usually used with --fork
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) pid: Option<Option<PathBuf>>,
    /// New user namespace: user and group ids, and privilege over the other new namespaces
    #[arg(short = 'U', long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) user: Option<Option<PathBuf>>,
    /// New cgroup namespace, with the current cgroup as its root
    #[arg(short = 'C', long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) cgroup: Option<Option<PathBuf>>,
    /// New time namespace for children: monotonic and boot-time clocks
    #[arg(short = 'T', long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) time: Option<Option<PathBuf>>,

    #[command(flatten)]
    pub(crate) single_ids: SingleIds,
    /// Map user ids: INNER:OUTER:COUNT, all (each id to itself), auto or subids (like --map-auto, --map-subids) (repeatable)
    #[arg(long, value_name = "RANGE", value_parser = values::range, help_heading = "Users and groups")]
    pub(crate) map_users: Vec<Wanted>,
    /// Map group ids; the same values as for --map-users (repeatable)
    #[arg(long, value_name = "RANGE", value_parser = values::range, help_heading = "Users and groups")]
    pub(crate) map_groups: Vec<Wanted>,
    /// Map the ids of /etc/subuid and /etc/subgid to the lowest free ids inside, from 0 on
    #[arg(long, help_heading = "Users and groups")]
    pub(crate) map_auto: bool,
    /// Map the ids of /etc/subuid and /etc/subgid to the same ids inside
    #[arg(long, help_heading = "Users and groups")]
    pub(crate) map_subids: bool,
    /// Make this user and group the owner of the new user namespace, by number (implies --user)
    #[arg(long, value_name = "UID:GID", value_parser = values::owner, help_heading = "Users and groups")]
    pub(crate) owner: Option<(u32, u32)>,
    /// Allow or deny setgroups(2) in the new user namespace
    #[arg(long, value_name = "allow|deny", hide_possible_values = true, help_heading = "Users and groups")]
    pub(crate) setgroups: Option<Setgroups>,

    /// Propagation of mounts between the old and the new mount namespace
    #[arg(long, value_name = "KIND", default_value = "private", help_heading = "Set up")]
    pub(crate) propagation: Propagation,
    /// Mount a new proc file system at DIR, default /proc (implies --mount)
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "/proc",
          help_heading = "Set up")]
    pub(crate) mount_proc: Option<PathBuf>,
    /// Mount a new binfmt_misc at DIR, default /proc/sys/fs/binfmt_misc in a new /proc (implies --user --mount)
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true,
          help_heading = "Set up")]
    pub(crate) mount_binfmt: Option<Option<PathBuf>>,
    /// Register an interpreter in the new binfmt_misc, by a LINE in its format (implies --mount-binfmt)
    #[arg(short = 'l', long, value_name = "LINE", help_heading = "Set up")]
    pub(crate) load_interp: Option<OsString>,
    /// Set the host name (needs --uts)
    #[arg(long, value_name = "NAME", help_heading = "Set up")]
    pub(crate) hostname: Option<OsString>,
    /// Set the NIS domain name (needs --uts)
    #[arg(long, value_name = "NAME", help_heading = "Set up")]
    pub(crate) domainname: Option<OsString>,
    /// Shift the monotonic clock by SECONDS (needs --time)
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, help_heading = "Set up")]
    pub(crate) monotonic: Option<i64>,
    /// Shift the boot-time clock by SECONDS (needs --time)
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, help_heading = "Set up")]
    pub(crate) boottime: Option<i64>,

    /// Change the root directory with chroot(2)
    #[arg(short = 'R', long, value_name = "DIR", help_heading = "Command")]
    pub(crate) root: Option<PathBuf>,
    /// Change the working directory, to one inside --root if that is given
    #[arg(short = 'w', long, value_name = "DIR", help_heading = "Command")]
    pub(crate) wd: Option<PathBuf>,
    /// Run the command as this user
    #[arg(short = 'S', long, value_name = "UID", value_parser = values::id, help_heading = "Command")]
    pub(crate) setuid: Option<u32>,
    /// Run the command as this group, without supplementary groups
    #[arg(short = 'G', long, value_name = "GID", value_parser = values::id, help_heading = "Command")]
    pub(crate) setgid: Option<u32>,
    /// Give the command all capabilities in the new user namespace, even if it does not run as root
    #[arg(long, help_heading = "Command")]
    pub(crate) keep_caps: bool,
    /// Start with an empty environment
    #[arg(long, help_heading = "Command")]
    pub(crate) clear_env: bool,
    /// Start with only these environment variables (repeatable)
    #[arg(long, value_name = "NAME,…", help_heading = "Command")]
    pub(crate) whitelist_env: Vec<OsString>,

    /// Run the command in a child process; with --pid it is pid 1
    #[arg(short, long, help_heading = "Processes")]
    pub(crate) fork: bool,
    /// Send the command this signal when unshare-rs dies, default KILL (implies --fork)
    #[arg(long, value_name = "SIGNAL", num_args = 0..=1, require_equals = true, default_missing_value = "KILL",
          value_parser = values::signal, help_heading = "Processes")]
    pub(crate) kill_child: Option<Signal>,
    /// Kill the command when the process that started unshare-rs ends, or unshare-rs itself; fail if that is not PID (implies --kill-child)
    #[arg(long, value_name = "PID", num_args = 0..=1, require_equals = true, default_missing_value = "0",
          value_parser = values::parent, help_heading = "Processes")]
    pub(crate) die_with_parent: Option<Parent>,
    /// Forward SIGTERM and SIGINT to the command (implies --fork)
    #[arg(long, help_heading = "Processes")]
    pub(crate) forward_signals: bool,
    /// Run a small init as the parent of the command: it reaps orphans and forwards signals (implies --fork)
    #[arg(long, help_heading = "Processes")]
    pub(crate) init: bool,
    /// Exit once the command runs; init or the nearest subreaper becomes its parent (implies --fork)
    #[arg(long, conflicts_with_all = ["kill_child", "die_with_parent", "forward_signals"], help_heading = "Processes")]
    pub(crate) detach: bool,
    /// Write the pid of the command, or with --init of the init, to FILE when everything is set up
    #[arg(long, value_name = "FILE", help_heading = "Processes")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Write a newline to descriptor FD when everything is set up
    #[arg(long, value_name = "FD", value_parser = values::descriptor, help_heading = "Processes")]
    pub(crate) ready_fd: Option<i32>,
    /// Before running the command, wait for a byte or end of file on descriptor FD
    #[arg(long, value_name = "FD", value_parser = values::descriptor, help_heading = "Processes")]
    pub(crate) block_fd: Option<i32>,

    /// Keep the namespaces with a small init, and print a container record for the next stage
    #[arg(long, help_heading = "Hold")]
    pub(crate) hold: bool,
    /// Name of the container in the record, and of the init process (needs --hold or --init)
    #[arg(long, help_heading = "Hold")]
    pub(crate) name: Option<OsString>,
    /// End the container of --hold if no command is entered within this time, e.g. 10, 250ms, 5m
    #[arg(long, value_name = "SECONDS", value_parser = plumbing::command_line::units::milliseconds, help_heading = "Hold")]
    pub(crate) ttl: Option<u64>,

    #[command(flatten)]
    pub(crate) narration: Narration,

    /// Command and its arguments; default: a login shell
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// The value of `--propagation`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Propagation {
    /// No propagation
    #[default]
    Private,
    /// Propagation from the old namespace to the new one only
    Slave,
    /// Propagation in both directions
    Shared,
    /// Propagation as it is set now
    Unchanged,
}

/// The command line, for help, manual page and completions.
pub fn command() -> clap::Command {
    plumbing::command_line::options::command::<Options>()
}

#[cfg(test)]
mod tests {
    #[test]
    fn common_lines_need_no_clap() {
        let lines = [
            "unshare-rs -- true",
            "unshare-rs --fork --pid --mount-proc true",
            "unshare-rs --user --map-root-user --mount --pid --ipc --uts --net --cgroup --fork --kill-child --hostname web -- sh",
            "unshare-rs --hold --name web --mount --pid --ttl 5",
        ];
        assert_eq!(plumbing::command_line::ordinary::left_to_clap::<super::Options>(&lines), [""; 0]);
    }

    #[test]
    fn the_short_way_and_clap_read_the_same_options() {
        let read = plumbing::command_line::ordinary::disagreement::<super::Options>();
        assert!(read.clone().is_ok_and(|lines| lines > 500), "{read:?}");
    }
}
