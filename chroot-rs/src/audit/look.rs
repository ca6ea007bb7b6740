//! What several probes look at: files, processes and mounts, through /proc where there is one. `proc(5)`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use plumbing::mountinfo::{self, Mount};
use rustix::fs::{Mode, OFlags};

/// Lists grow long on a host; the first of them tell enough.
const SHOWN: usize = 4;
/// Nor is all of a tree tried.
const TRIED: usize = 300;

/// `a, b, c, d and 7 more`.
pub(crate) fn some(listed: &[String]) -> String {
    let shown = listed[..listed.len().min(SHOWN)].join(", ");
    match listed.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A file's text; nothing where there is none that we may read.
pub(crate) fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a file has something in it for us. A mask has nothing.
pub(crate) fn has_content(path: &str) -> bool {
    let Ok(meta) = fs::metadata(path) else { return false };
    if meta.is_dir() {
        return fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    }
    let byte = || open(path, OFlags::RDONLY).and_then(|fd| fs::File::from(fd).read(&mut [0]).map_err(errno_of));
    meta.is_file() && byte() == Ok(1)
}

/// Whether a regular file opens for writing; it is not written to. Nothing else is opened: to open a device can be to
/// use it.
pub(crate) fn is_writable(path: impl AsRef<Path>) -> bool {
    fs::metadata(&path).is_ok_and(|meta| meta.is_file()) && open(path.as_ref(), OFlags::WRONLY).is_ok()
}

/// Opens without waiting, and without getting a terminal by it.
pub(crate) fn open(path: impl AsRef<Path>, flags: OFlags) -> Result<std::os::fd::OwnedFd, Errno> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path.as_ref(), flags, Mode::empty()).map_err(|errno| Errno::from_raw(errno.raw_os_error()))
}

pub(crate) fn errno_of(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// The regular files below a directory, to a depth of four; no link is followed.
pub(crate) fn files_below(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    walk(directory, 4, &mut found, &|kind| kind.is_file());
    found
}

/// The device nodes below a directory, likewise.
pub(crate) fn devices_below(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    walk(directory, 3, &mut found, &|kind| kind.is_char_device() || kind.is_block_device());
    found
}

fn walk(directory: &Path, depth: u32, found: &mut Vec<std::path::PathBuf>, wanted: &dyn Fn(fs::FileType) -> bool) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            _ if found.len() >= TRIED => return,
            Ok(kind) if kind.is_dir() && depth > 1 => walk(&entry.path(), depth - 1, found, wanted),
            Ok(kind) if wanted(kind) => found.push(entry.path()),
            _ => {}
        }
    }
}

/// Device and inode: what a path leads to.
pub(crate) fn place(path: impl AsRef<Path>) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// The processes that /proc shows, in order; none where there is no /proc.
pub(crate) fn processes() -> BTreeSet<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// A link of /proc, as text.
pub(crate) fn link(path: &str) -> Option<String> {
    fs::read_link(path).ok().map(|to| to.to_string_lossy().into_owned())
}

/// `1 (systemd)`.
pub(crate) fn named(pid: i32) -> String {
    format!("{pid} ({})", read(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end())
}

/// What is mounted below our root, where /proc tells.
pub(crate) fn mounts() -> Option<Vec<Mount>> {
    mountinfo::own().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut() {
        let list: Vec<_> = (0..6).map(|number| number.to_string()).collect();
        assert_eq!(some(&list), "0, 1, 2, 3 and 2 more");
        assert_eq!(some(&list[..2]), "0, 1");
    }
}
