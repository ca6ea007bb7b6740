//! Names of network namespaces, as made by `ip netns`: a file in /run/netns with the namespace mounted over it, so that it
//! exists without a process; or a symbolic link to such a file, or to one in /proc. `ip-netns(8)`.
//!
//! A link is followed only if no other user can change where it leads. The surprise: after a mount was not copied to this mount namespace, or was removed, only an empty file is left.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use plumbing::Fault;
use plumbing::kernel::look;
use plumbing::kernel::nsfs::namespace_flag;
use plumbing::process::namespace::Kind;
use plumbing::process::trail;
use plumbing::text::Text;
use rustix::fs::{FileType, Mode, OFlags};

/// The directory of the names.
pub const DIRECTORY: &str = "/run/netns";
/// `NSFS_MAGIC` of <linux/magic.h>: the file system of namespaces.
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// A name that can be a file in [`DIRECTORY`], by iproute2's rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(OsString);

impl Name {
    /// Parses a name; an error says what is valid.
    pub fn parse(text: &OsStr) -> Result<Name, String> {
        let bytes = text.as_bytes();
        if !(1..=255).contains(&bytes.len()) || bytes.contains(&b'/') || matches!(bytes, b"." | b"..") {
            return Err("expected 1 to 255 bytes without /, other than . and ..".to_owned());
        }
        Ok(Name(text.to_owned()))
    }

    /// Checks the name for a new namespace; names that others have made may contain control characters.
    pub fn into_new(self) -> Result<Name, Fault> {
        let wrong = |valid| Fault::usage(format!("a network namespace cannot be named {}: {valid}", self.shown()));
        plumbing::pipeline::name::check(&self.0, 255).map_err(wrong)?;
        Ok(self)
    }

    /// Returns the name for printing: escaped, so that no name can control a terminal.
    pub fn shown(&self) -> String {
        self.0.to_string_lossy().escape_debug().to_string()
    }

    /// Returns the name for a record or JSON, byte for byte.
    pub fn text(&self) -> Text {
        Text(self.0.clone())
    }

    /// Returns the name as a pid, if it is a number.
    pub fn as_pid(&self) -> Option<i32> {
        let text = self.0.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
        text.parse().ok().filter(|pid| *pid > 0)
    }

    /// Returns the name, byte for byte.
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }

    /// Returns the path of its file.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(DIRECTORY).join(&self.0)
    }

    /// Opens the namespace; a fault if there is none under that name.
    pub fn open(&self) -> Result<OwnedFd, Fault> {
        let goal = format!("open the network namespace {}", self.shown());
        let path = self.path();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::open(&path, flags, Mode::empty());
        let opened = match open(flags | OFlags::NOFOLLOW) {
            // A link.
            Err(rustix::io::Errno::LOOP) => self.refusal().map_or_else(|| Ok(open(flags)), Err)?,
            opened => opened,
        };
        let namespace = look(&goal, format!("openat(AT_FDCWD, {path:?}, O_RDONLY|O_NONBLOCK)"), || opened)?;
        if is_namespace(namespace.as_fd())? {
            return self.of_network(namespace);
        }
        Err(Fault::new(format!("cannot {goal}: {} is a plain file, no namespace is mounted on it", path.display()))
            .with_remedy(format!("it is stale; delete it with: netns-rs delete {}", self.shown())))
    }

    /// Refuses a namespace of another kind, of which setns(2) only says EINVAL.
    fn of_network(&self, namespace: OwnedFd) -> Result<OwnedFd, Fault> {
        match kind_of(namespace.as_fd()) {
            None | Some(Kind::Net) => Ok(namespace),
            Some(other) => Err(Fault::new(format!(
                "cannot open the network namespace {}: a namespace of another kind is mounted on it ({})",
                self.shown(),
                other.proc_name()
            ))
            .with_remedy(format!("nsenter-rs --{}={} enters it", other.option(), self.path().display()))),
        }
    }

    /// Returns whether the name exists.
    pub fn exists(&self) -> bool {
        rustix::fs::lstat(self.path()).is_ok()
    }

    /// Returns the reason why the name is not followed: it is a link, and another user can change where it leads.
    pub fn refusal(&self) -> Option<Fault> {
        let path = self.path();
        let stranger = trail::stranger(&path).filter(|_| self.is_link())?;
        let (name, by) = (self.shown(), stranger.path.to_string_lossy().escape_debug().to_string());
        let why = format!("cannot follow the link {name}: {} can change where it leads, at {by}", stranger.who());
        Some(Fault::new(why).with_remedy(format!("attach the name to a process instead: netns-rs attach {name} PID")))
    }

    fn is_link(&self) -> bool {
        rustix::fs::lstat(self.path()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
    }

    /// Returns the device and the inode of the namespace under this name; `None` if there is none, so that the name is stale,
    /// and for a link that is not followed.
    pub fn identity(&self) -> Option<(u64, u64)> {
        let path = self.path();
        let mut stat = rustix::fs::lstat(&path).ok()?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            stat = if self.refusal().is_some() { return None } else { rustix::fs::stat(&path).ok()? };
        }
        // Before it is opened: opening a device could do something.
        if Some(stat.st_dev) != device() {
            return None;
        }
        let namespace =
            rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).ok()?;
        kind_of(namespace.as_fd()).is_none_or(|kind| kind == Kind::Net).then_some((stat.st_dev, stat.st_ino))
    }

    /// Returns whether no namespace is under this name.
    ///
    /// Three calls for the usual name: a list may have thousands. Only root can put anything else than a namespace here.
    pub fn is_stale(&self) -> bool {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let opened = rustix::fs::open(self.path(), flags, Mode::empty());
        match opened.ok().and_then(|file| namespace_flag(file.as_fd()).ok()) {
            Some(flag) => Kind::of_flag(flag).is_some_and(|kind| kind != Kind::Net),
            // A link, a stale file, or Linux before 4.11.
            None => self.identity().is_none(),
        }
    }
}

/// Returns the device of the namespace file system, of which there is one.
fn device() -> Option<u64> {
    static DEVICE: OnceLock<Option<u64>> = OnceLock::new();
    *DEVICE.get_or_init(|| rustix::fs::stat("/proc/self/ns/net").ok().map(|stat| stat.st_dev))
}

/// Returns the kind of an open namespace; `None` before Linux 4.11, and of a kind that we do not know.
fn kind_of(namespace: BorrowedFd<'_>) -> Option<Kind> {
    namespace_flag(namespace).ok().and_then(Kind::of_flag)
}

/// Returns whether the file is one of the namespace file system.
pub fn is_namespace(file: BorrowedFd<'_>) -> Result<bool, Fault> {
    let on = look("distinguish a namespace from a file", "fstatfs()", || rustix::fs::fstatfs(file))?;
    Ok(on.f_type as i64 == NSFS_MAGIC)
}

/// Returns all names, in the order of the directory, as `ip netns` does.
pub fn all() -> Result<Vec<Name>, Fault> {
    let goal = format!("list {DIRECTORY}");
    let entries = match std::fs::read_dir(DIRECTORY) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => look(&goal, format!("openat(AT_FDCWD, {DIRECTORY:?}, O_DIRECTORY)"), || entries)?,
    };
    entries.map(|entry| look(&goal, "getdents64()", || entry).map(|entry| Name(entry.file_name()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule_of_iproute2() {
        for name in ["web", "-x", "a b", "7", "...", &"x".repeat(255)] {
            assert!(Name::parse(OsStr::new(name)).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "/run/netns/a", &"x".repeat(256)] {
            assert!(Name::parse(OsStr::new(name)).is_err(), "{name}");
        }
    }
}
