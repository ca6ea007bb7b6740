//! The declared options: parser, help, manual page and completions come from this table.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use plumbing::command_line::manual::after_help;
use plumbing::command_line::options::Narration;
use plumbing::command_line::ordinary::Ordinary;

use crate::capabilities::{self, Capabilities};
use crate::confinement_options::ConfinementOptions;
use crate::root_options::RootOptions;

const EXAMPLES: &str = "
  chroot-rs /mnt/rescue /bin/bash
  chroot-rs --user www-data --group adm /srv/site /bin/sh
  unshare-rs --mount --pid --ipc --uts --fork -- chroot-rs --std ./rootfs -- /bin/sh
  unshare-rs --user --map-root-user --mount --pid --ipc --fork -- chroot-rs --std --host-root -- ps aux
  chroot-rs --read-only --bind ./src:/src --tmpfs /tmp:size=64m ./rootfs -- make -C /src
  chroot-rs --overlay ./layer2:./layer1 --proc /proc --dev /dev -- /bin/sh
  unshare-rs --mount --pid --net --fork -- chroot-rs --oci ./bundle --exec-fifo ./start
  chroot-rs --keep-root --landlock-ro / --landlock-rw . --landlock-connect 443 --landlock-scope signal -- make
  chroot-rs --audit --json | jq -r '.probes[] | select(.outcome == \"open\") | .name'
  unshare-rs --hold --mount --pid | chroot-rs --pipe --std ./rootfs | nsenter-rs --pipe --rm -- /bin/sh
";

/// Change the root directory: like chroot(8), or with a container's mounts and few privileges
///
/// Without --std it works like chroot(8). With --std the command gets a container's root: new /proc, /sys and /dev,
/// masked and read-only where they control or show the whole machine; pivot_root(2), so that nothing leads back;
/// fewer capabilities than Docker's default, no_new_privs, a seccomp filter, and a clean environment.
#[derive(Debug, Default, Parser, Ordinary)]
#[command(name = "chroot-rs", version, infer_long_args = true, after_help = after_help(EXAMPLES))]
#[command(override_usage = "chroot-rs [OPTIONS] NEWROOT [COMMAND [ARGUMENT]...]
       chroot-rs --std [OPTIONS] NEWROOT|--host-root|--overlay... -- [COMMAND [ARGUMENT]...]
       chroot-rs --oci BUNDLE [OPTIONS] [-- COMMAND [ARGUMENT]...]
       chroot-rs --keep-root [OPTIONS] [-- COMMAND [ARGUMENT]...]
       chroot-rs --pipe --std|--oci BUNDLE [OPTIONS] [NEWROOT|--host-root|--overlay...]
       chroot-rs --audit [--json]")]
pub struct Options {
    /// Make a container's root: new /proc, /sys and /dev, hidden paths, pivot_root(2), confinement
    #[arg(long, help_heading = "Container root")]
    pub(crate) std: bool,
    /// Fail, instead of warning, if something that --std or a bundle promises cannot be done
    #[arg(long, help_heading = "Container root")]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) root: RootOptions,
    /// Keep the present root and only confine the command, with no_new_privs; needs no privilege
    #[arg(long, conflicts_with_all = ["std", "pipe", "skip_chdir"], help_heading = "Container root")]
    pub(crate) keep_root: bool,

    /// Run as this user and group, by number or name (looked up in NEWROOT first)
    #[arg(
        long,
        visible_alias = "user",
        value_name = "USER[:GROUP]",
        overrides_with = "userspec",
        help_heading = "Identity"
    )]
    pub(crate) userspec: Option<String>,
    /// Run with this primary group, by name or number
    #[arg(long, value_name = "GROUP", overrides_with = "group", help_heading = "Identity")]
    pub(crate) group: Option<String>,
    /// Run with these supplementary groups, by name or number
    #[arg(long, value_name = "GROUP,...", overrides_with = "groups", help_heading = "Identity")]
    pub(crate) groups: Option<String>,
    /// Keep the working directory; only if NEWROOT is /
    #[arg(long, conflicts_with = "std", help_heading = "Identity")]
    pub(crate) skip_chdir: bool,

    /// Working directory of the command, inside the new root (default: /, or with mounts the present one if it is inside)
    #[arg(long, value_name = "DIR", conflicts_with = "skip_chdir", help_heading = "Identity")]
    pub(crate) chdir: Option<OsString>,
    /// Name that the command sees as its own: the first element of argv
    #[arg(long, value_name = "NAME", conflicts_with = "pipe", help_heading = "Start")]
    pub(crate) argv0: Option<OsString>,

    /// Keep only these capabilities: none, all, default (what --std keeps), docker, podman, or names, e.g. default,NET_RAW
    #[arg(long, value_name = "SET", value_parser = capabilities::parse, help_heading = "Confinement")]
    pub(crate) capabilities: Option<Capabilities>,
    /// Do not set no_new_privs (set-user-ID programs and file capabilities keep working)
    #[arg(long, help_heading = "Confinement")]
    pub(crate) allow_new_privs: bool,
    /// Keep the caller's environment (needs --std)
    #[arg(long, requires = "std", help_heading = "Confinement")]
    pub(crate) keep_env: bool,
    /// Pass only descriptors 3 to N+2 to the command (default: 0 with --std, --oci or mounts, else all are passed)
    #[arg(long, value_name = "N", conflicts_with = "pipe", help_heading = "Confinement")]
    pub(crate) preserve_fds: Option<u32>,
    /// Always run from a sealed copy in memory, even where a read-only view of the executable would suffice
    #[arg(long, help_heading = "Confinement")]
    pub(crate) sealed_copy: bool,
    #[command(flatten)]
    pub(crate) confine: ConfinementOptions,

    /// Write a newline to descriptor FD when everything is set up
    #[arg(long, value_name = "FD", value_parser = clap::value_parser!(i32).range(0..), help_heading = "Start")]
    pub(crate) ready_fd: Option<i32>,
    /// Before running the command, wait for a byte or end of file on descriptor FD
    #[arg(long, value_name = "FD", value_parser = clap::value_parser!(i32).range(0..), help_heading = "Start")]
    pub(crate) block_fd: Option<i32>,
    /// Before running the command, wait for a byte on the FIFO PATH
    #[arg(long, value_name = "PATH", help_heading = "Start")]
    pub(crate) exec_fifo: Option<PathBuf>,

    /// Open a pseudo-terminal in the new root, and send its master to the Unix socket PATH (needs --std or --oci)
    #[arg(long, value_name = "PATH", help_heading = "Start")]
    pub(crate) console_socket: Option<PathBuf>,

    /// Read a container record from stdin, change the root of that container, and pass the record on
    #[arg(long, conflicts_with_all = ["ready_fd", "block_fd", "exec_fifo", "console_socket"], help_heading = "Pipe")]
    pub(crate) pipe: bool,
    /// Keep an unfinished container when this stage fails
    #[arg(long, requires = "pipe", help_heading = "Pipe")]
    pub(crate) keep_on_error: bool,

    #[command(flatten)]
    pub(crate) audit: Audit,

    #[command(flatten)]
    pub(crate) narration: Narration,
    /// New root directory, then the command and its arguments
    #[arg(trailing_var_arg = true, value_name = "NEWROOT COMMAND")]
    pub(crate) operands: Vec<OsString>,
}

/// The options of `--audit`, which changes no root.
#[derive(Debug, Default, clap::Args, Ordinary)]
pub(crate) struct Audit {
    /// Probe the current container for escapes and leaks; exit 1 if any succeeds
    #[arg(long, conflicts_with_all = ["std", "strict", "keep_root", "pipe", "keep_on_error", "userspec", "group", "groups", "skip_chdir", "chdir",
          "argv0", "capabilities", "allow_new_privs", "keep_env", "preserve_fds", "sealed_copy"], help_heading = "Audit")]
    pub(crate) audit: bool,
    /// Print the report of --audit as JSON
    #[arg(long, requires = "audit", help_heading = "Audit")]
    pub(crate) json: bool,
}

/// The command line, for help, manual page and completions.
pub fn command() -> clap::Command {
    plumbing::command_line::options::command::<Options>()
}

#[cfg(test)]
mod tests {
    #[test]
    fn common_lines_are_read_without_clap() {
        let lines = [
            "chroot-rs . true",
            "chroot-rs --userspec=0:0 --groups 0 . true",
            "chroot-rs --std . -- sh",
            "chroot-rs --std --read-only --bind /usr:/usr:ro --tmpfs /var --setenv A=b . sh",
            "chroot-rs --pipe --std .",
        ];
        assert_eq!(plumbing::command_line::ordinary::left_to_clap::<super::Options>(&lines), [""; 0]);
    }

    #[test]
    fn the_short_way_reads_what_clap_reads() {
        let read = plumbing::command_line::ordinary::disagreement::<super::Options>();
        assert!(read.clone().is_ok_and(|lines| lines > 300), "{read:?}");
    }
}
