//! Named network namespaces, as made by `ip netns`: a file in /run/netns with the namespace mounted over it, so that it
//! exists without a process. `ip-netns(8)`, `mount_namespaces(7)`.
//!
//! The directory is a shared mount of its own: only then does a name given in one mount namespace appear in the others.
//! Preparing it twice at once would stack mounts, hence the lock, which is the same as iproute2's.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use plumbing::kernel::{call, look};
use plumbing::text::Text;
use plumbing::{Fault, narrate};
use rustix::fs::{FlockOperation, OFlags};

use crate::{capability, namespace};

/// The directory of the names.
pub const DIRECTORY: &str = "/run/netns";
/// How long to wait for another process that prepares the directory.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(2);
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
            return Err("valid are 1 to 255 bytes without /, other than . and ..".to_owned());
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

    fn path(&self) -> PathBuf {
        PathBuf::from(DIRECTORY).join(&self.0)
    }

    /// Opens the namespace; a fault if there is none under that name.
    pub fn open(&self) -> Result<OwnedFd, Fault> {
        let goal = format!("open the network namespace {}", self.shown());
        let path = self.path();
        let namespace = look(&goal, format!("openat(AT_FDCWD, {path:?}, O_RDONLY|O_NONBLOCK)"), || {
            rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, rustix::fs::Mode::empty())
        })?;
        if is_namespace(&namespace)? {
            return Ok(namespace);
        }
        Err(Fault::new(format!("cannot {goal}: {} is a plain file, no namespace is mounted on it", path.display()))
            .with_remedy(format!("it is stale; delete it with: netns-rs delete {}", self.shown())))
    }

    /// Returns whether the name exists.
    pub fn exists(&self) -> bool {
        self.path().exists()
    }
}

fn is_namespace(file: &OwnedFd) -> Result<bool, Fault> {
    let on = look("distinguish a namespace from a file", "fstatfs()", || rustix::fs::fstatfs(file.as_fd()))?;
    Ok(on.f_type as i64 == NSFS_MAGIC)
}

/// Makes a network namespace and gives it a name.
pub fn add(name: &Name) -> Result<(), Fault> {
    prepare_directory()?;
    let path = name.path();
    let goal = format!("give the name {} to a network namespace", name.shown());
    let flags = nix::fcntl::OFlag::O_RDONLY
        | nix::fcntl::OFlag::O_CREAT
        | nix::fcntl::OFlag::O_EXCL
        | nix::fcntl::OFlag::O_CLOEXEC;
    call(&goal, format!("openat(AT_FDCWD, {path:?}, O_RDONLY|O_CREAT|O_EXCL)"), "a file to mount it on", || {
        nix::fcntl::open(&path, flags, Mode::empty())
    })?;
    let mounted = namespace::make().and_then(|()| mount_own(&path, &goal));
    if mounted.is_err() && !narrate::is_dry_run() {
        unlink(&path, "no namespace could be mounted on it")?;
    }
    mounted
}

fn mount_own(path: &std::path::Path, goal: &str) -> Result<(), Fault> {
    const OWN: &str = "/proc/self/ns/net";
    let text = format!("mount({OWN:?}, {path:?}, NULL, MS_BIND, NULL)");
    call(goal, text, "the mount keeps the namespace alive without a process", || {
        mount(Some(OWN), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
    })
    .map_err(capability::needs_sys_admin)
}

/// Removes a name. The namespace continues to exist as long as a process or a socket is in it.
pub fn delete(name: &Name) -> Result<(), Fault> {
    let path = name.path();
    let goal = format!("delete the network namespace {}", name.shown());
    look(&goal, format!("lstat({path:?})"), || rustix::fs::lstat(&path))?;
    let unmounted =
        call(&goal, format!("umount2({path:?}, MNT_DETACH)"), "from here on the namespace has no name", || {
            umount2(&path, MntFlags::MNT_DETACH)
        });
    match unmounted {
        // A stale file: the namespace that was mounted on it is already gone.
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => {}
        outcome => outcome.map_err(capability::needs_sys_admin)?,
    }
    unlink(&path, "the file on which it was mounted")
}

fn unlink(path: &std::path::Path, why: &str) -> Result<(), Fault> {
    call(format!("remove {}", path.display()), format!("unlink({path:?})"), why, || nix::unistd::unlink(path))
}

/// Returns all names, in the order of the directory (as `ip netns` does), each with its namespace; `None` if the file
/// is stale.
pub fn all() -> Result<Vec<(Name, Option<OwnedFd>)>, Fault> {
    let goal = format!("list {DIRECTORY}");
    let entries = match std::fs::read_dir(DIRECTORY) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => look(&goal, format!("openat(AT_FDCWD, {DIRECTORY:?}, O_DIRECTORY)"), || entries)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = look(&goal, "getdents64()", || entry)?;
        let name = Name(entry.file_name());
        let opened = rustix::fs::open(
            name.path(),
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK,
            rustix::fs::Mode::empty(),
        );
        let namespace = match opened {
            Ok(file) if is_namespace(&file)? => Some(file),
            _ => None,
        };
        names.push((name, namespace));
    }
    Ok(names)
}

/// Makes the directory a shared mount of its own, once.
fn prepare_directory() -> Result<(), Fault> {
    let goal = format!("prepare {DIRECTORY}");
    if !std::path::Path::new(DIRECTORY).exists() {
        let made = call(&goal, format!("mkdir({DIRECTORY:?}, 0755)"), "where ip-netns(8) looks for names", || {
            nix::unistd::mkdir(DIRECTORY, Mode::from_bits_truncate(0o755))
        });
        match made {
            Err(fault) if fault.errno() == Some(Errno::EEXIST) => {}
            outcome => outcome?,
        }
    }
    match share(&goal) {
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => {}
        outcome => return outcome.map_err(capability::needs_sys_admin),
    }
    // The lock is only needed if there is no mount yet. Any user may hold it, so we wait only for a short time.
    let directory = look(&goal, format!("openat(AT_FDCWD, {DIRECTORY:?}, O_DIRECTORY)"), || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(DIRECTORY, flags, rustix::fs::Mode::empty())
    })?;
    if !lock_for_a_while(&directory)? {
        narrate::remark(format_args!("another process locks {DIRECTORY}; it is prepared without the lock"));
    }
    match share(&goal) {
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => {}
        outcome => return outcome.map_err(capability::needs_sys_admin),
    }
    let why = "it was not a mount yet (EINVAL): mount it on itself";
    change_mount(&goal, Some(DIRECTORY), MsFlags::MS_BIND | MsFlags::MS_REC, "MS_BIND|MS_REC", why)?;
    // The new mount is in the peer group of the one below it, and would repeat each of its changes.
    let why = "a peer group of its own instead of that of the mount below";
    change_mount(&goal, None, MsFlags::MS_PRIVATE | MsFlags::MS_REC, "MS_REC|MS_PRIVATE", why)?;
    share(&goal)
}

/// Takes iproute2's lock, if it is soon available; returns whether it was.
fn lock_for_a_while(directory: &OwnedFd) -> Result<bool, Fault> {
    let deadline = Instant::now() + PATIENCE;
    let operation = FlockOperation::NonBlockingLockExclusive;
    loop {
        match rustix::fs::flock(directory, operation) {
            Err(rustix::io::Errno::AGAIN) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Err(rustix::io::Errno::AGAIN) => return Ok(false),
            outcome => {
                let text = format!("flock({DIRECTORY:?}, {operation:?})");
                return look(format!("prepare {DIRECTORY}"), text, || outcome).map(|()| true);
            }
        }
    }
}

fn share(goal: &str) -> Result<(), Fault> {
    let why = "names given here appear in the other mount namespaces; mount_namespaces(7)";
    change_mount(goal, None, MsFlags::MS_SHARED | MsFlags::MS_REC, "MS_REC|MS_SHARED", why)
}

fn change_mount(goal: &str, source: Option<&str>, flags: MsFlags, flag_names: &str, why: &str) -> Result<(), Fault> {
    let shown = source.map_or_else(|| "NULL".to_owned(), |source| format!("{source:?}"));
    call(goal, format!("mount({shown}, {DIRECTORY:?}, NULL, {flag_names}, NULL)"), why, || {
        mount(source, DIRECTORY, None::<&str>, flags, None::<&str>)
    })
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
