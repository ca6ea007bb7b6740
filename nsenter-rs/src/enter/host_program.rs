//! Whether the command that runs after entering is a program of the caller's own system. `statx(2)`,
//! `mount_namespaces(7)`.
//!
//! The options do not show it: `--mount` may enter our own mount namespace, `--root` may name our own root, and a
//! service with a mount namespace of its own still has the host's /usr. So the directories are compared after entering.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

/// The root, and directories that contain programs, their libraries, or whole trees of both.
const PROGRAMS: &[&str] = &[
    "/",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/usr",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/local",
    "/usr/local/bin",
    "/nix/store",
    "/gnu/store",
];

/// The caller's root and its program directories, examined before anything is entered.
pub(crate) struct Host {
    paths: Vec<PathBuf>,
    programs: Vec<Directory>,
}

/// A directory, identified independently of the mount it is seen through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Directory {
    device: (u32, u32),
    inode: u64,
}

impl Host {
    /// Examines the system that we are in.
    pub(crate) fn here() -> Host {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let searched = path.as_bytes().split(|byte| *byte == b':').map(|part| Path::new(OsStr::from_bytes(part)));
        let searched = searched.filter(|part| part.is_absolute());
        Host::of(PROGRAMS.iter().map(Path::new).chain(searched).map(Path::to_owned).collect())
    }

    fn of(paths: Vec<PathBuf>) -> Host {
        let programs = paths.iter().filter_map(|path| directory(path)).collect();
        Host { paths, programs }
    }

    /// Reports whether our current root contains a program directory of the root before entering. A root that cannot be
    /// examined counts as ours.
    pub(crate) fn is_here(&self) -> bool {
        let found = |path: &PathBuf| directory(path).is_some_and(|here| self.programs.contains(&here));
        directory(Path::new("/")).is_none() || self.paths.iter().any(found)
    }
}

fn directory(path: &Path) -> Option<Directory> {
    let found = statx(CWD, path, AtFlags::NO_AUTOMOUNT, StatxFlags::INO).ok()?;
    Some(Directory { device: (found.stx_dev_major, found.stx_dev_minor), inode: found.stx_ino })
}
