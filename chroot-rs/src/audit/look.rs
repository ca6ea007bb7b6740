//! Reading files, processes and mounts for several probes, through /proc if there is one. `proc(5)`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use plumbing::process::kernel_text;
use plumbing::process::mount_tree;
use plumbing::process::mountinfo::{self, Mount};
use rustix::fs::{Mode, OFlags};

/// The limit of printed names; on a host the lists are long.
const SHOWN: usize = 4;
/// The limit of files that are tried in a tree.
const TRIED: usize = 300;

/// Prints a list as `a, b, c, d and 7 more`.
pub(crate) fn some(listed: &[String]) -> String {
    let shown = listed[..listed.len().min(SHOWN)].join(", ");
    match listed.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Reads a file as text; nothing if it is missing or not readable.
pub(crate) fn read(path: impl AsRef<Path>) -> Option<String> {
    kernel_text::read(path).ok()
}

/// Reports whether a file has content that we may read. A mask has none.
pub(crate) fn has_content(path: &str) -> bool {
    let Ok(meta) = fs::metadata(path) else { return false };
    if meta.is_dir() {
        return fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    }
    let byte = || open(path, OFlags::RDONLY).and_then(|fd| fs::File::from(fd).read(&mut [0]).map_err(errno_of));
    meta.is_file() && byte() == Ok(1)
}

/// Reports whether a regular file can be opened for writing, without writing. Other files are not opened: opening a device
/// can have an effect.
pub(crate) fn is_writable(path: impl AsRef<Path>) -> bool {
    fs::metadata(&path).is_ok_and(|meta| meta.is_file()) && open(path.as_ref(), OFlags::WRONLY).is_ok()
}

/// Opens a file without blocking, and without acquiring a controlling terminal.
pub(crate) fn open(path: impl AsRef<Path>, flags: OFlags) -> Result<std::os::fd::OwnedFd, Errno> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path.as_ref(), flags, Mode::empty()).map_err(|errno| Errno::from_raw(errno.raw_os_error()))
}

pub(crate) fn errno_of(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Lists the regular files below a directory, to a depth of four; links are not followed.
pub(crate) fn files_below(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    walk(directory, 4, &mut found, &|kind| kind.is_file());
    found
}

/// Lists the device nodes below a directory, to a depth of three.
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

/// Returns device and inode of the file to which a path leads.
pub(crate) fn place(path: impl AsRef<Path>) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Lists the processes that /proc shows, in order; none if there is no /proc.
pub(crate) fn processes() -> BTreeSet<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Reads a link of /proc as text.
pub(crate) fn link(path: &str) -> Option<String> {
    fs::read_link(path).ok().map(|to| to.to_string_lossy().into_owned())
}

/// Prints a process as `1 (systemd)`.
pub(crate) fn named(pid: i32) -> String {
    format!("{pid} ({})", read(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end())
}

/// Lists the mounts below our root, if there is a /proc.
pub(crate) fn mounts() -> Option<Vec<Mount>> {
    mountinfo::own().ok().map(mount_tree::reachable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_shortened() {
        let list: Vec<_> = (0..6).map(|number| number.to_string()).collect();
        assert_eq!(some(&list), "0, 1, 2, 3 and 2 more");
        assert_eq!(some(&list[..2]), "0, 1");
    }
}
