//! The contents of a root, as data: computed by pure functions, applied in order by `populate.rs`, reported in the record.
//!
//! Flags are set on the mount, never on the superblock: sysfs and cgroup file systems are shared with the host, and
//! a read-only superblock would make them read-only there too. `mount_setattr(2)`.

use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use rustix::fs::FileType;
use rustix::mount::MountAttrFlags;

use crate::idmap::IdMap;
use crate::made::Made;

/// Flags of one mount, `MOUNT_ATTR_*`.
pub(crate) type Attributes = MountAttrFlags;

/// One mount, file or directory inside the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The absolute path inside the root.
    pub(crate) target: PathBuf,
    /// The file, mount or restriction at the target.
    pub(crate) what: What,
    /// The reason, for `--explain`.
    pub(crate) why: &'static str,
}

/// The kinds of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A new file system.
    Fresh(Filesystem, Otherwise),
    /// A part of the host's file system.
    Bind(Bind),
    /// A new device or FIFO.
    Device(Device),
    /// A symbolic link.
    Link(String),
    /// A directory with this mode.
    Directory(u32),
    /// A file with this content.
    File(Vec<u8>),
    /// A file, directory or link that an option asks for.
    Made(Made),
    /// An overlay of these directories of the host, with its changes in memory.
    Overlay(Vec<PathBuf>),
    /// A file that an earlier entry made at this path, bind-mounted at the target if the root has a place for it.
    Seen(PathBuf),
    /// An empty file or directory mounted over the target, if the target exists.
    Mask(Absent),
    /// Flags added to the existing target and to everything below it.
    Restrict(Attributes, Absent),
    /// Flags added to the mount that an earlier entry made at the target.
    Tighten(Attributes),
    /// The propagation of the mount that an earlier entry made at the target.
    Propagation(Propagation),
}

/// A file that `mknod(2)` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) kind: FileType,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
}

impl Device {
    /// Returns a character device with mode 666.
    pub(crate) fn character(major: u32, minor: u32) -> Device {
        Device { kind: FileType::CharacterDevice, major, minor, mode: 0o666, owner: (0, 0) }
    }
}

/// Whether mounts travel between a mount and those that it was copied from; `mount_namespaces(7)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Propagation {
    pub(crate) kind: PropagationKind,
    pub(crate) recursive: bool,
}

/// The kinds of propagation. Only a bind with [`Bind::keeps_peers`] lets mounts out of the container with `Shared`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PropagationKind {
    Shared,
    Private,
    Slave,
    Unbindable,
}

impl PropagationKind {
    /// Returns the flag of `mount(2)` and `mount_setattr(2)`, with its name.
    pub(crate) fn flag(self) -> (&'static str, MsFlags) {
        match self {
            PropagationKind::Shared => ("MS_SHARED", MsFlags::MS_SHARED),
            PropagationKind::Private => ("MS_PRIVATE", MsFlags::MS_PRIVATE),
            PropagationKind::Slave => ("MS_SLAVE", MsFlags::MS_SLAVE),
            PropagationKind::Unbindable => ("MS_UNBINDABLE", MsFlags::MS_UNBINDABLE),
        }
    }
}

/// Flags to set and flags to clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) set: Attributes,
    pub(crate) clear: Attributes,
}

impl Change {
    pub(crate) const NONE: Change = Change { set: Attributes::empty(), clear: Attributes::empty() };

    /// Returns a change that only sets flags.
    pub(crate) fn add(set: Attributes) -> Change {
        Change { set, ..Change::NONE }
    }

    /// Adds a later word, which overrides earlier ones.
    pub(crate) fn then(self, set: Attributes, clear: Attributes) -> Change {
        Change { set: (self.set - clear) | set, clear: self.clear | clear }
    }

    pub(crate) fn is_none(self) -> bool {
        self == Change::NONE
    }
}

/// The action if the target of a mask or restriction is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Continue: the list contains paths that some kernels lack.
    PassOver,
    /// Fail: the user named this path, and a typo would silently leave the intended path exposed.
    Refuse,
}

/// A new file system: `fsopen(2)`, `fsconfig(2)`, `fsmount(2)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filesystem {
    pub(crate) kind: String,
    /// Parameters; those without a value are flags. The first is `source`, the name of the mount in mount(8)'s list.
    pub(crate) parameters: Vec<(String, Option<String>)>,
    pub(crate) attributes: Attributes,
    /// Whether it begins with a copy of the directory that it covers.
    pub(crate) copies_up: bool,
}

/// The action if the kernel refuses a file system, because another user namespace owns the namespace that it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// Fail: the container would differ from what was requested.
    Refuse,
    /// Continue without the file system.
    LeaveOut,
    /// Continue as with `LeaveOut`, also if the mount would be the root of a cgroup hierarchy, which shows the groups of the
    /// whole machine. In both cases the target is masked.
    Hide,
    /// Mount only over a directory that exists in the root; fail if the kernel refuses.
    OverDirectory,
    /// Bind-mount this path of the host, with the flags that the file system would have had.
    Bind(&'static str),
}

/// A part of the host's file system, mounted at another place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) source: PathBuf,
    /// `--bind-fd`: the descriptor of the source, which is then only its name.
    pub(crate) descriptor: Option<RawFd>,
    /// Include all mounts below. Required for mounts that were copied into a user namespace: the kernel locks them together.
    pub(crate) recursive: bool,
    /// Flags of all these mounts.
    pub(crate) attributes: Attributes,
    /// Flags of the topmost mount only, which is the meaning of OCI's words.
    pub(crate) top: Change,
    /// The numbers of the character device that the source must be; set for masks and devices.
    pub(crate) device: Option<(u32, u32)>,
    /// Whether the bind is left out if the host has no such file.
    pub(crate) optional: bool,
    /// The id mapping of the mount.
    pub(crate) idmap: Option<IdMap>,
    /// Whether it keeps its peers on the host: `Shared` exchanges mounts with them, `Slave` receives theirs.
    pub(crate) keeps_peers: Option<PropagationKind>,
}

impl Entry {
    pub(crate) fn new(target: impl Into<PathBuf>, what: What, why: &'static str) -> Entry {
        Entry { target: target.into(), what, why }
    }
}

impl Filesystem {
    pub(crate) fn new(kind: &str, parameters: &[(&str, &str)], attributes: Attributes) -> Filesystem {
        let value = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        let named = [("source", kind)];
        let parameters = named.iter().chain(parameters).map(|(key, text)| ((*key).to_owned(), value(text))).collect();
        Filesystem { kind: kind.to_owned(), parameters, attributes, copies_up: false }
    }
}

impl Bind {
    /// Returns a recursive bind of a directory, read-only and without devices or set-user-ID programs.
    pub(crate) fn read_only(source: impl Into<PathBuf>) -> Bind {
        let attributes = Attributes::MOUNT_ATTR_RDONLY | Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV;
        Bind {
            source: source.into(),
            descriptor: None,
            recursive: true,
            attributes,
            top: Change::NONE,
            device: None,
            optional: false,
            idmap: None,
            keeps_peers: None,
        }
    }

    /// Returns a bind of a device of the host. Read-only applies to its inode: otherwise root inside could make the host's
    /// /dev/null unusable with chmod(2).
    pub(crate) fn device(name: &str, numbers: (u32, u32)) -> Bind {
        let attributes = Attributes::MOUNT_ATTR_RDONLY | Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC;
        let source = Path::new("/dev").join(name);
        Bind { source, recursive: false, attributes, device: Some(numbers), ..Bind::read_only("") }
    }
}

/// Returns the flags in the words of mount(8).
pub(crate) fn option_names(attributes: Attributes) -> Vec<String> {
    let word = |(name, _): (&str, _)| match name {
        "MOUNT_ATTR_RDONLY" => "ro".to_owned(),
        other => other.trim_start_matches("MOUNT_ATTR_").to_ascii_lowercase(),
    };
    // RELATIME is the value 0, and _ATIME is a mask over values: neither is a flag.
    attributes.iter_names().filter(|(name, _)| !name.ends_with("_RELATIME") && !name.contains("__")).map(word).collect()
}

/// Returns a path for a line of output, escaped: the name is not ours, and must not end the line or control the terminal.
pub(crate) fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

/// Returns a path in the notation of strace.
pub(crate) fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_string_lossy())
}

/// Returns the flags in the notation of strace.
pub(crate) fn flag_names(attributes: Attributes) -> String {
    let names: Vec<_> = attributes.iter_names().map(|(name, _)| name).collect();
    if names.is_empty() { "0".to_owned() } else { names.join("|") }
}
