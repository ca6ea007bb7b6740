//! The directory of the container that the tools are mounted on. `move_mount(2)`.
//!
//! It must exist, because nothing is written to the container, and be empty, because the command must see every file. The
//! container chooses the names, so no symbolic link is followed, and a directory that disappears is passed over.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::kernel::look;
use plumbing::{Fault, narrate};
use rustix::fs::{CWD, Dir, Mode, OFlags, openat};

use super::GOAL;

/// Directories that are often empty and that few programs use, and those of which the kernel or an engine makes mounts.
const USUAL: [&str; 7] = ["mnt", "media", "srv", "opt", "home", "dev/mqueue", "dev/shm"];

/// Directories in which no mount is made: the kernel's own.
const KERNELS: [&str; 2] = ["proc", "sys"];

/// The number of directories that are examined. A container could have any number.
const MOST: usize = 256;

/// Calls `mount` with an empty directory, and returns its path.
pub(super) fn mount_on_empty(mount: impl Fn(&OwnedFd, &Path) -> Result<(), Fault>) -> Result<PathBuf, Fault> {
    let root = look(GOAL, "openat(\"/\", O_PATH)", || openat(CWD, "/", flags() | OFlags::PATH, Mode::empty()))?;
    if narrate::is_dry_run() {
        let path = PathBuf::from("/mnt");
        return mount(&root, &path).map(|()| path);
    }
    for path in USUAL.iter().map(PathBuf::from).chain(others(&root)) {
        let Some(directory) = open_empty(&root, &path) else { continue };
        let path = Path::new("/").join(path);
        match mount(&directory, &path) {
            // The container removed it.
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => continue,
            mounted => return mounted.map(|()| path),
        }
    }
    Err(Fault::new(format!("cannot {GOAL}: this root has no empty directory to mount them on"))
        .with_remedy("make one in the container, or enter without --mount and --all to use the host's programs"))
}

fn flags() -> OFlags {
    OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Returns the directories of the root, then those in them, in the order of their names.
fn others(root: &OwnedFd) -> impl Iterator<Item = PathBuf> {
    let top: Vec<_> = names(root).into_iter().filter(|name| !KERNELS.iter().any(|kernel| name == kernel)).collect();
    let below = top.clone().into_iter().flat_map({
        let root = root.try_clone().ok();
        move |above| {
            let opened = root.as_ref().and_then(|root| open(root, Path::new(&above)));
            let names = opened.as_ref().map(names).unwrap_or_default();
            names.into_iter().map(move |name| Path::new(&above).join(name))
        }
    });
    top.into_iter().map(PathBuf::from).chain(below).take(MOST)
}

/// Opens a directory, without following a link on the way to it.
fn open(root: &OwnedFd, path: &Path) -> Option<OwnedFd> {
    let mut at = openat(root, ".", flags() | OFlags::PATH, Mode::empty()).ok()?;
    for name in path {
        at = openat(&at, name, flags() | OFlags::PATH, Mode::empty()).ok()?;
    }
    Some(at)
}

/// Opens a directory if it is empty. One that we may not read is not known to be.
fn open_empty(root: &OwnedFd, path: &Path) -> Option<OwnedFd> {
    let directory = open(root, path)?;
    let mut entries = entries(&directory)?;
    entries.all(|entry| entry.is_ok_and(|entry| is_dot(entry.file_name().to_bytes()))).then_some(directory)
}

fn names(directory: &OwnedFd) -> Vec<OsString> {
    let entries = entries(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_bytes().to_owned()).filter(|name| !is_dot(name));
    let mut names: Vec<_> = names.take(MOST).map(OsString::from_vec).collect();
    names.sort();
    names
}

fn entries(directory: &OwnedFd) -> Option<Dir> {
    let readable = openat(directory.as_fd(), ".", flags(), Mode::empty()).ok()?;
    Dir::new(readable).ok()
}

fn is_dot(name: &[u8]) -> bool {
    name == b"." || name == b".."
}
