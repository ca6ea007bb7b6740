//! The declared options: parser, help, manual page and completions come from this table.

use std::ffi::OsString;

use clap::{CommandFactory, Parser};
use plumbing::options::Narration;

use crate::confinement::{self, Capabilities};
use crate::root_options::RootOptions;

const EXAMPLES: &str = "\
Examples:
  chroot-rs /mnt/rescue /bin/bash
  chroot-rs --userspec www-data /srv/site /bin/sh
  unshare-rs --mount --pid --ipc --uts --fork -- chroot-rs --std ./rootfs -- /bin/sh
  unshare-rs --user --map-root-user --mount --pid --fork -- chroot-rs --std --host-root -- ps aux
  chroot-rs --read-only --bind ./src:/src --tmpfs /tmp:size=64m ./rootfs -- make -C /src
  chroot-rs --overlay ./layer2:./layer1 --proc /proc --dev /dev -- /bin/sh
  unshare-rs --hold --mount --pid | chroot-rs --pipe --std ./rootfs | nsenter-rs --pipe --rm -- /bin/sh";

/// Change the root: plainly, or with a container's own mounts and few privileges
///
/// Without --std it does what chroot(8) does. With --std the command sees a container's root: its own /proc, /sys and
/// /dev, masked and read-only where they speak for the whole machine, pivoted so that there is no way back, with
/// Docker's default capabilities, no_new_privs and a clean environment.
#[derive(Debug, Parser)]
#[command(name = "chroot-rs", version, infer_long_args = true, after_help = EXAMPLES)]
#[command(override_usage = "chroot-rs [OPTIONS] NEWROOT [COMMAND [ARGUMENT]...]
       chroot-rs --std [OPTIONS] NEWROOT|--host-root|--overlay... -- [COMMAND [ARGUMENT]...]
       chroot-rs --pipe --std [OPTIONS] NEWROOT|--host-root|--overlay...")]
pub struct Options {
    /// Make a container's root: own mounts, masks, pivot_root(2), confinement
    #[arg(long, help_heading = "Container root")]
    pub(crate) std: bool,
    #[command(flatten)]
    pub(crate) root: RootOptions,

    /// Run as this user and group, by name or number; names of NEWROOT come first
    #[arg(long, value_name = "USER[:GROUP]", overrides_with = "userspec", help_heading = "Identity")]
    pub(crate) userspec: Option<String>,
    /// Run with these supplementary groups
    #[arg(long, value_name = "GROUP,...", overrides_with = "groups", help_heading = "Identity")]
    pub(crate) groups: Option<String>,
    /// Stay in the working directory; only where NEWROOT is /
    #[arg(long, conflicts_with = "std", help_heading = "Identity")]
    pub(crate) skip_chdir: bool,

    /// Leave no more than these: docker (default with --std), none, all, or names as in CHOWN,KILL
    #[arg(long, value_name = "SET", value_parser = confinement::capabilities, help_heading = "Confinement")]
    pub(crate) capabilities: Option<Capabilities>,
    /// Let set-user-ID programs and file capabilities work: no no_new_privs
    #[arg(long, requires = "std", help_heading = "Confinement")]
    pub(crate) allow_new_privs: bool,
    /// Keep the caller's environment variables
    #[arg(long, requires = "std", help_heading = "Confinement")]
    pub(crate) keep_env: bool,
    /// Keep N descriptors from 3 on; all others close
    #[arg(long, value_name = "N", requires = "std", conflicts_with = "pipe", help_heading = "Confinement")]
    pub(crate) preserve_fds: Option<u32>,

    /// Work on the container whose record comes in on stdin, and pass the record on
    #[arg(long, requires = "std", help_heading = "Pipe")]
    pub(crate) pipe: bool,
    /// Leave the container alive when this stage fails
    #[arg(long, requires = "pipe", help_heading = "Pipe")]
    pub(crate) keep_on_error: bool,

    #[command(flatten)]
    pub(crate) narration: Narration,
    /// The new root directory, then the command and its arguments
    #[arg(trailing_var_arg = true, value_name = "NEWROOT COMMAND")]
    pub(crate) operands: Vec<OsString>,
}

/// The command line, for help, manual page and completions.
pub fn command() -> clap::Command {
    Options::command()
}
