//! The options about the root and its mounts. Mounts keep the order of the command line across options, which a table of
//! fields cannot tell: so that part of the table is read by hand.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use plumbing::ordinary::{Declared, Name, Ordinary, Takes};

use crate::asked::{self, Asked};
use crate::root::Source;

/// What a bundle says itself.
const OF_A_BUNDLE: [&str; 22] = [
    "std",
    "read_only",
    "userspec",
    "group",
    "groups",
    "skip_chdir",
    "capabilities",
    "capability_set",
    "allow_new_privs",
    "no_new_privs",
    "keep_env",
    "clear_env",
    "env_file",
    "setenv",
    "unsetenv",
    "seccomp",
    "securebits",
    "landlock_ro",
    "landlock_rw",
    "new_session",
    "rlimit",
    "umask",
];

const HEADING: &str = "Mounts, in command-line order";

type Read = fn(OsString) -> Result<Asked, String>;

/// Value, help, reader.
static MOUNTS: [(Declared, &str, &str, Read); 7] = [
    (
        named("bind"),
        "SRC:DST[:OPTS]",
        "Show SRC of the host at DST: ro, rec (default), norec, suid, dev, noexec, try, idmap=MAP",
        asked::bind,
    ),
    (named("tmpfs"), "DST[:OPTS]", "An empty file system in memory: size=, mode=, ro, exec", asked::tmpfs),
    (named("proc"), "DST[:OPTS]", "The processes of our pid namespace: hidepid=, subset=pid", asked::proc),
    (named("dev"), "DST", "The few devices that every program may expect", asked::dev),
    (named("mask"), "PATH", "Hide what is at PATH", asked::mask),
    (named("readonly-path"), "PATH", "Make what is at PATH and all below read-only", asked::read_only),
    (named("mount"), "type=T,target=DST,...", "Any of these, and more, in the words of mount(8)", asked::mount),
];

const fn named(id: &'static str) -> Declared {
    Declared { id, takes: Takes::Values, requires: &[], conflicts: &[] }
}

/// The mount options, in the order in which they stood.
#[derive(Debug, Clone, Default)]
pub(crate) struct AskedMounts(pub(crate) Vec<Asked>);

impl Args for AskedMounts {
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

impl FromArgMatches for AskedMounts {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut asked = Vec::new();
        for (Declared { id, .. }, ..) in &MOUNTS {
            let values = matches.get_many::<Asked>(id).unwrap_or_default();
            asked.extend(matches.indices_of(id).unwrap_or_default().zip(values.cloned()));
        }
        asked.sort_by_key(|(place, _)| *place);
        Ok(AskedMounts(asked.into_iter().map(|(_, asked)| asked).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Ordinary for AskedMounts {
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

/// What becomes the root, where it is not the directory NEWROOT, and how.
#[derive(Debug, Default, Args, Ordinary)]
pub(crate) struct RootOptions {
    /// Make the root on the spot from the host's /usr, read-only; takes no NEWROOT
    #[arg(long, requires = "std", help_heading = "Container root", group = "made")]
    pub(crate) host_root: bool,
    /// Lay these directories over each other, the first on top, and keep changes in memory; takes no NEWROOT
    #[arg(long, value_name = "LOWER[:LOWER...]", help_heading = "Container root", group = "made")]
    pub(crate) overlay: Option<OsString>,
    /// Keep the changes in DIR/upper instead
    #[arg(long, value_name = "DIR", requires = "overlay", help_heading = "Container root")]
    pub(crate) upper: Option<PathBuf>,
    /// Begin with an empty root in memory; takes no NEWROOT
    #[arg(long, help_heading = "Container root", group = "made")]
    pub(crate) tmpfs_root: bool,
    /// Take the directory or the detached mount that is open as FD; takes no NEWROOT
    #[arg(long, value_name = "FD", value_parser = clap::value_parser!(i32).range(3..), help_heading = "Container root", group = "made")]
    pub(crate) root_fd: Option<i32>,
    /// Take root, mounts and process from BUNDLE/config.json, as OCI runtimes do; takes no NEWROOT
    #[arg(long, value_name = "BUNDLE", help_heading = "Container root", group = "made", conflicts_with_all = OF_A_BUNDLE)]
    pub(crate) oci: Option<PathBuf>,
    /// Leave the old root by pivot_root(2), in a mount namespace of our own: as --std and all mounts do, also without them
    #[arg(long, help_heading = "Container root")]
    pub(crate) pivot: bool,
    /// Lay the new root over the old one and chroot(2), where pivot_root(2) cannot be, as in an initramfs
    #[arg(long, conflicts_with_all = ["pivot", "pipe"], help_heading = "Container root")]
    pub(crate) no_pivot: bool,
    /// Make the root read-only; mount points that it lacks are made without writing to it
    #[arg(long, help_heading = "Container root")]
    pub(crate) read_only: bool,
    #[command(flatten)]
    pub(crate) mounts: AskedMounts,
}

impl RootOptions {
    /// Whether any of them asks for more than chroot(2) can do.
    pub(crate) fn want_mounts(&self) -> bool {
        self.pivot || self.read_only || !self.mounts.0.is_empty() || self.source().is_some()
    }

    /// What becomes the root, where it is no operand.
    pub(crate) fn source(&self) -> Option<Source> {
        if self.host_root {
            return Some(Source::Host);
        }
        if self.tmpfs_root {
            return Some(Source::Tmpfs);
        }
        if let Some(lower) = &self.overlay {
            let lower = asked::split(lower, b':').into_iter().filter(|path| !path.is_empty()).map(PathBuf::from);
            return Some(Source::Overlay { lower: lower.collect(), upper: self.upper.clone() });
        }
        self.root_fd.map(Source::Descriptor)
    }
}
