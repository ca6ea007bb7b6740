//! Opening a path inside a root that somebody else made, so that no link, `..` or rename leads out of it. `openat2(2)`.
//!
//! Where the kernel or a sandbox has no openat2(2), we walk: one component at a time, by descriptor, reading the links
//! ourselves. `..` goes back along the descriptors that we came by, so a directory that is moved meanwhile cannot
//! take us above the root.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstat, fstatfs, openat, openat2, readlinkat};
use rustix::io::{Errno, Result};

/// As many as the kernel follows: path_resolution(7).
const MOST_LINKS: u32 = 40;

/// openat2(2) gives up when a rename anywhere crosses a `..` of ours; somebody who renames in a loop shall not hold us.
const TRIES: u32 = 1000;

/// What a symbolic link on the way means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// The end: what we mount on or write to is where its name says.
    Refuse,
    /// It is followed, as those who live in the root would.
    Inside,
}

/// Opens `path` below `root`.
pub(crate) fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags, links: Links) -> Result<OwnedFd> {
    match by_kernel(root, path, flags, links) {
        Err(Errno::NOSYS) => walk(root, path, flags, links),
        answer => answer,
    }
}

fn by_kernel(root: BorrowedFd<'_>, path: &Path, flags: OFlags, links: Links) -> Result<OwnedFd> {
    let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    if links == Links::Refuse {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    let mut tries = 0;
    loop {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) if tries < TRIES => tries += 1,
            answer => return answer,
        }
    }
}

/// The same without openat2(2). Stricter in one thing: no link of procfs is followed, where only some are magic.
pub(crate) fn walk(root: BorrowedFd<'_>, path: &Path, flags: OFlags, links: Links) -> Result<OwnedFd> {
    let mut ahead = components(path.as_os_str());
    if path.as_os_str().is_empty() {
        return Err(Errno::NOENT);
    }
    let mut came_by: Vec<OwnedFd> = Vec::new();
    let mut followed = 0;
    while let Some(name) = ahead.pop_front() {
        let here = came_by.last().map_or(root, OwnedFd::as_fd);
        match name.as_bytes() {
            b"." => continue,
            b".." => {
                came_by.pop();
                continue;
            }
            _ => {}
        }
        let found = openat(here, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let kind = FileType::from_raw_mode(fstat(&found)?.st_mode);
        let is_last = ahead.is_empty();
        match kind {
            FileType::Symlink if is_last && flags.contains(OFlags::NOFOLLOW | OFlags::PATH) => return Ok(found),
            FileType::Symlink => {
                followed += 1;
                if links == Links::Refuse || flags.contains(OFlags::NOFOLLOW) && is_last || followed > MOST_LINKS {
                    return Err(Errno::LOOP);
                }
                if fstatfs(&found)?.f_type == PROC_SUPER_MAGIC {
                    return Err(Errno::LOOP);
                }
                let to = OsString::from_vec(readlinkat(&found, "", Vec::new())?.into_bytes());
                if to.as_bytes().starts_with(b"/") {
                    came_by.clear();
                }
                for name in components(&to).into_iter().rev() {
                    ahead.push_front(name);
                }
            }
            FileType::Directory => came_by.push(found),
            _ if !is_last => return Err(Errno::NOTDIR),
            _ if flags.contains(OFlags::PATH) && !flags.contains(OFlags::DIRECTORY) => return Ok(found),
            // Opened anew, for what a path descriptor cannot do; a link that came there meanwhile is refused.
            _ => return openat(here, &name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()),
        }
    }
    let here = came_by.last().map_or(root, OwnedFd::as_fd);
    openat(here, ".", flags | OFlags::CLOEXEC, Mode::empty())
}

/// The names on a path. A slash at the end means the directory itself, `.`; so one that is no directory is refused.
fn components(path: &OsStr) -> VecDeque<OsString> {
    let bytes = path.as_bytes();
    let names = bytes.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    let mut names: VecDeque<_> = names.map(|name| OsStr::from_bytes(name).to_owned()).collect();
    if bytes.ends_with(b"/") {
        names.push_back(".".into());
    }
    names
}
