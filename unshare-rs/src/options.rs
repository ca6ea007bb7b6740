//! The declared options: parser, help, manual page and completions come from this table.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use nix::sys::signal::Signal;
use plumbing::options::Narration;
use plumbing::ordinary::Ordinary;

use crate::manual;
use crate::mapping::{Setgroups, Wanted};
use crate::single_ids::SingleIds;
use crate::values;

/// Create namespaces, and run a command in them or hold them open
#[derive(Debug, Default, Parser, Ordinary)]
#[command(name = "unshare-rs", version, after_help = manual::MANUAL.help(), args_override_self = true, infer_long_args = true)]
pub struct Options {
    /// Own mount table; with FILE, of any kind: bind it there to keep it
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) mount: Option<Option<PathBuf>>,
    /// Own host and domain name
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) uts: Option<Option<PathBuf>>,
    /// Own System V IPC and POSIX message queues
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) ipc: Option<Option<PathBuf>>,
    /// Own network: interfaces, addresses, routes, firewall
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) net: Option<Option<PathBuf>>,
    /// Own process ids, for children: mostly wants --fork
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) pid: Option<Option<PathBuf>>,
    /// Own user and group ids, and with them privilege over the other namespaces
    #[arg(short = 'U', long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) user: Option<Option<PathBuf>>,
    /// Own view of the cgroups, with the present one as root
    #[arg(short = 'C', long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) cgroup: Option<Option<PathBuf>>,
    /// Own boot-time and monotonic clocks, for children
    #[arg(short = 'T', long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          help_heading = "Namespaces")]
    pub(crate) time: Option<Option<PathBuf>>,

    #[command(flatten)]
    pub(crate) single_ids: SingleIds,
    /// Map a range of users: INNER:OUTER:COUNT; or auto, subids, all (repeatable)
    #[arg(long, value_name = "RANGE", value_parser = values::range, help_heading = "Users and groups")]
    pub(crate) map_users: Vec<Wanted>,
    /// Map a range of groups, as --map-users
    #[arg(long, value_name = "RANGE", value_parser = values::range, help_heading = "Users and groups")]
    pub(crate) map_groups: Vec<Wanted>,
    /// Map the subordinate ids of /etc/subuid and /etc/subgid, from 0 on
    #[arg(long, help_heading = "Users and groups")]
    pub(crate) map_auto: bool,
    /// Map the subordinate ids to themselves
    #[arg(long, help_heading = "Users and groups")]
    pub(crate) map_subids: bool,
    /// Whom the namespaces shall belong to
    #[arg(long, value_name = "UID:GID", value_parser = values::owner, help_heading = "Users and groups")]
    pub(crate) owner: Option<(u32, u32)>,
    /// Whether setgroups(2) works in the user namespace
    #[arg(long, value_name = "allow|deny", hide_possible_values = true, help_heading = "Users and groups")]
    pub(crate) setgroups: Option<Setgroups>,

    /// How mounts travel between the new mount namespace and the old one
    #[arg(long, value_name = "KIND", default_value = "private", help_heading = "Set up")]
    pub(crate) propagation: Propagation,
    /// Mount a fresh proc, at /proc or DIR (implies --mount)
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "/proc",
          help_heading = "Set up")]
    pub(crate) mount_proc: Option<PathBuf>,
    /// Mount a binfmt_misc of its own, at DIR or in a fresh proc (implies --user --mount)
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true,
          help_heading = "Set up")]
    pub(crate) mount_binfmt: Option<Option<PathBuf>>,
    /// Register an interpreter in it (implies --mount-binfmt)
    #[arg(short = 'l', long, value_name = "LINE", help_heading = "Set up")]
    pub(crate) load_interp: Option<OsString>,
    /// Set the host name (needs --uts)
    #[arg(long, value_name = "NAME", help_heading = "Set up")]
    pub(crate) hostname: Option<OsString>,
    /// Set the NIS domain name (needs --uts)
    #[arg(long, value_name = "NAME", help_heading = "Set up")]
    pub(crate) domainname: Option<OsString>,
    /// Set the monotonic clock off by so many seconds (needs --time)
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, help_heading = "Set up")]
    pub(crate) monotonic: Option<i64>,
    /// Set the boot-time clock off by so many seconds (needs --time)
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, help_heading = "Set up")]
    pub(crate) boottime: Option<i64>,

    /// Change the root directory, by chroot(2)
    #[arg(short = 'R', long, value_name = "DIR", help_heading = "Command")]
    pub(crate) root: Option<PathBuf>,
    /// Change the working directory
    #[arg(short = 'w', long, value_name = "DIR", help_heading = "Command")]
    pub(crate) wd: Option<PathBuf>,
    /// Change the user
    #[arg(short = 'S', long, value_name = "UID", value_parser = values::id, help_heading = "Command")]
    pub(crate) setuid: Option<u32>,
    /// Change the group, and leave the supplementary ones
    #[arg(short = 'G', long, value_name = "GID", value_parser = values::id, help_heading = "Command")]
    pub(crate) setgid: Option<u32>,
    /// Keep the capabilities of a new user namespace, whoever the command runs as
    #[arg(long, help_heading = "Command")]
    pub(crate) keep_caps: bool,
    /// Start with an empty environment
    #[arg(long, help_heading = "Command")]
    pub(crate) clear_env: bool,
    /// Start with these variables only (repeatable)
    #[arg(long, value_name = "NAME,…", help_heading = "Command")]
    pub(crate) whitelist_env: Vec<OsString>,

    /// Run the command in a child process: the first of a new pid namespace
    #[arg(short, long, help_heading = "Processes")]
    pub(crate) fork: bool,
    /// When unshare-rs dies, end the command by this signal (implies --fork)
    #[arg(long, value_name = "SIGNAL", num_args = 0..=1, require_equals = true, default_missing_value = "KILL",
          value_parser = values::signal, help_heading = "Processes")]
    pub(crate) kill_child: Option<Signal>,
    /// Pass TERM and INT on to the command (implies --fork)
    #[arg(long, help_heading = "Processes")]
    pub(crate) forward_signals: bool,
    /// Put a small init in front of the command: it collects orphans and passes all signals on (implies --fork)
    #[arg(long, help_heading = "Processes")]
    pub(crate) init: bool,
    /// Write the pid to FILE once all is set up
    #[arg(long, value_name = "FILE", help_heading = "Processes")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Write a line to descriptor FD once all is set up
    #[arg(long, value_name = "FD", value_parser = values::descriptor, help_heading = "Processes")]
    pub(crate) ready_fd: Option<i32>,
    /// Then wait for a byte, or the end of file, from descriptor FD
    #[arg(long, value_name = "FD", value_parser = values::descriptor, help_heading = "Processes")]
    pub(crate) block_fd: Option<i32>,

    /// Leave a small init in the namespaces and print a container record for the next stage
    #[arg(long, help_heading = "Hold")]
    pub(crate) hold: bool,
    /// The container's name, in the record and as its init's
    #[arg(long, help_heading = "Hold")]
    pub(crate) name: Option<OsString>,
    /// End the container if no command was entered within this time
    #[arg(long, value_name = "SECONDS", value_parser = plumbing::units::milliseconds, help_heading = "Hold")]
    pub(crate) ttl: Option<u64>,

    #[command(flatten)]
    pub(crate) narration: Narration,

    /// The command, and its arguments; a login shell when there is none
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// `--propagation`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Propagation {
    /// Nothing travels
    #[default]
    Private,
    /// Mounts travel in from outside, not out
    Slave,
    /// Mounts travel both ways
    Shared,
    /// As it was
    Unchanged,
}

/// The command line, for help, manual page and completions.
pub fn command() -> clap::Command {
    plumbing::options::command::<Options>()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_common_line_is_not_left_to_clap() {
        let lines = [
            "unshare-rs -- true",
            "unshare-rs --fork --pid --mount-proc true",
            "unshare-rs --user --map-root-user --mount --pid --ipc --uts --net --cgroup --fork --kill-child --hostname web -- sh",
            "unshare-rs --hold --name web --mount --pid --ttl 5",
        ];
        assert_eq!(plumbing::ordinary::left_to_clap::<super::Options>(&lines), [""; 0]);
    }

    #[test]
    fn the_short_way_reads_what_clap_reads() {
        let read = plumbing::ordinary::disagreement::<super::Options>();
        assert!(read.clone().is_ok_and(|lines| lines > 500), "{read:?}");
    }
}
