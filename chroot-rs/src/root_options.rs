//! The options about the root and its mounts. Mounts keep the order of the command line across options. A derived struct
//! loses this order, so the mount options are read by hand.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use plumbing::command_line::ordinary::{self, Declared, Name, Ordinary, Takes};

use crate::made;
use crate::mount_options::{self, MountOption};
use crate::source::Source;

/// The options that a bundle's configuration replaces.
const OF_A_BUNDLE: [&str; 31] = [
    "std",
    "keep_root",
    "read_only",
    "userspec",
    "group",
    "groups",
    "skip_chdir",
    "chdir",
    "capabilities",
    "capability_set",
    "allow_new_privs",
    "no_new_privs",
    "keep_env",
    "clear_env",
    "whitelist_env",
    "env_file",
    "setenv",
    "unsetenv",
    "seccomp",
    "seccomp_log",
    "securebits",
    "landlock",
    "landlock_ro",
    "landlock_rw",
    "landlock_connect",
    "landlock_bind",
    "landlock_scope",
    "landlock_nofollow",
    "landlock_try",
    "rlimit",
    "umask",
];

const HEADING: &str = "Mounts inside the new root, in command-line order";

type Read = fn(OsString) -> Result<MountOption, String>;

/// Declaration, name of the value, help, and reader of each mount option.
static MOUNTS: [(Declared, &str, &str, Read); 12] = [
    (
        named("bind"),
        "SRC:DST[:OPTS]",
        "Bind-mount SRC of the host at DST; options: ro, rec (default), norec, suid, dev, noexec, try (skip if SRC is missing), idmap=ONDISK-SEEN-COUNT",
        mount_options::bind,
    ),
    (
        named("tmpfs"),
        "DST[:OPTS]",
        "Mount an empty file system in memory at DST; options: size=, mode=, ro, exec",
        mount_options::tmpfs,
    ),
    (
        named("proc"),
        "DST[:OPTS]",
        "Mount a new proc file system at DST; options: hidepid=, subset=pid",
        mount_options::proc,
    ),
    (named("dev"), "DST", "Mount a minimal /dev at DST: null, zero, full, random, urandom, tty", mount_options::dev),
    (
        named("dir"),
        "DST[:MODE]",
        "Make the directory DST (mode 755 or MODE) if it is missing; with MODE, an existing one must have that mode",
        made::directory,
    ),
    (named("symlink"), "TEXT:DST", "Make a symbolic link with this TEXT at DST", made::symlink),
    (
        named("file"),
        "FD:DST[:MODE]",
        "Make the file DST, with mode 644 or MODE; its content is read from descriptor FD",
        made::file,
    ),
    (
        named("bind-fd"),
        "FD:DST[:OPTS]",
        "Like --bind, but the source is the file or directory that is open as descriptor FD",
        made::bind_fd,
    ),
    (
        named("overlay-at"),
        "LOWER[:LOWER...]:DST",
        "Mount an overlay of these directories at DST (first is topmost), changes in memory",
        made::overlay_at,
    ),
    (named("mask"), "PATH", "Hide the file or directory PATH", mount_options::mask),
    (named("readonly-path"), "PATH", "Make PATH and everything below it read-only", mount_options::read_only),
    (
        named("mount"),
        "type=T,target=DST,...",
        "Mount a bind, tmpfs, proc, sysfs, mqueue, devpts, cgroup2, ramfs or binfmt_misc; source=SRC for a bind, other words as in mount(8)",
        mount_options::mount,
    ),
];

const fn named(id: &'static str) -> Declared {
    Declared { id, takes: Takes::Values, requires: &[], conflicts: &[] }
}

/// The mount options, in the order of the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct MountOptions(pub(crate) Vec<MountOption>);

impl Args for MountOptions {
    fn augment_args(command: Command) -> Command {
        MOUNTS.iter().fold(command, |command, (Declared { id, .. }, value, help, read)| {
            let parser = ValueParser::new(OsStringValueParser::new().try_map(*read));
            let arg = Arg::new(*id).long(*id).value_name(*value).help(*help);
            command.arg(arg.action(ArgAction::Append).value_parser(parser).help_heading(HEADING))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for MountOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        ordinary::in_order(matches, &MOUNTS.each_ref().map(|(declared, ..)| declared.id))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Ordinary for MountOptions {
    fn declared(name: Name<'_>) -> Option<&'static Declared> {
        let Name::Long(long) = name else { return None };
        MOUNTS.iter().map(|(declared, ..)| declared).find(|declared| declared.id == long)
    }

    fn set(&mut self, id: &str, value: Option<&OsStr>) -> Option<()> {
        let (.., read) = MOUNTS.iter().find(|(declared, ..)| declared.id == id)?;
        self.0.push(read(value?.to_owned()).ok()?);
        Some(())
    }

    fn take_rest(&mut self, _: &[OsString]) -> Option<&'static str> {
        None
    }
}

/// The options that choose the root, where it is not the directory NEWROOT, and how it is mounted.
#[derive(Debug, Default, Args, Ordinary)]
pub(crate) struct RootOptions {
    /// Build a read-only root from the host's /usr (needs --std); no NEWROOT
    #[arg(long, requires = "std", help_heading = "Container root", group = "made")]
    pub(crate) host_root: bool,
    /// Use an overlay of these directories as the root (first is topmost), changes in memory; no NEWROOT
    #[arg(long, value_name = "LOWER[:LOWER...]", help_heading = "Container root", group = "made")]
    pub(crate) overlay: Option<OsString>,
    /// Keep the changes of --overlay in DIR/upper
    #[arg(long, value_name = "DIR", requires = "overlay", help_heading = "Container root")]
    pub(crate) upper: Option<PathBuf>,
    /// Use an empty root in memory; no NEWROOT
    #[arg(long, help_heading = "Container root", group = "made")]
    pub(crate) tmpfs_root: bool,
    /// Use the directory or detached mount that is open as descriptor FD as the root; no NEWROOT
    #[arg(long, value_name = "FD", value_parser = clap::value_parser!(i32).range(3..), help_heading = "Container root", group = "made")]
    pub(crate) root_fd: Option<i32>,
    /// Use the root, the mounts and the process of BUNDLE/config.json (OCI bundle); no NEWROOT
    #[arg(long, value_name = "BUNDLE", help_heading = "Container root", group = "made", conflicts_with_all = OF_A_BUNDLE)]
    pub(crate) oci: Option<PathBuf>,
    /// Read the bundle's config.json from descriptor FD (needs --oci)
    #[arg(long, value_name = "FD", value_parser = clap::value_parser!(i32).range(3..), requires = "oci", help_heading = "Container root")]
    pub(crate) config_fd: Option<i32>,
    /// The caller runs the bundle's hooks: print no warning about them (needs --oci)
    #[arg(long, requires = "oci", help_heading = "Container root")]
    pub(crate) hooks_by_caller: bool,
    /// Use pivot_root(2) in a new mount namespace; implied by --std and all mount options
    #[arg(long, help_heading = "Container root")]
    pub(crate) pivot: bool,
    /// Mount the new root over the old one and chroot(2) instead of pivot_root(2), e.g. in an initramfs
    #[arg(long, conflicts_with_all = ["pivot", "pipe"], help_heading = "Container root")]
    pub(crate) no_pivot: bool,
    /// Make the root read-only
    #[arg(long, help_heading = "Container root")]
    pub(crate) read_only: bool,
    #[command(flatten)]
    pub(crate) mounts: MountOptions,
}

impl RootOptions {
    /// Reports whether an option asks for more than chroot(2) can do.
    pub(crate) fn want_mounts(&self) -> bool {
        self.pivot || self.read_only || !self.mounts.0.is_empty() || self.source().is_some()
    }

    /// Returns the source of the root, unless it is the operand NEWROOT.
    pub(crate) fn source(&self) -> Option<Source> {
        if self.host_root {
            return Some(Source::Host);
        }
        if self.tmpfs_root {
            return Some(Source::Tmpfs);
        }
        if let Some(lower) = &self.overlay {
            let lower =
                mount_options::split(lower, b':').into_iter().filter(|path| !path.is_empty()).map(PathBuf::from);
            return Some(Source::Overlay { lower: lower.collect(), upper: self.upper.clone() });
        }
        self.root_fd.map(Source::Descriptor)
    }
}
