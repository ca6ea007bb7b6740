//! Namespaces that are mounted on files, as `ip netns add` and `unshare --net=FILE` do. `proc(5)` on mountinfo.
//!
//! A mount table shows the kind and the inode number of each one, so nothing has to be opened to list them. The mount
//! at a path may change, and the paths of a container's table are relative to its root: opening first takes the path
//! with `O_PATH` and examines what it found.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use plumbing::process::mountinfo;
use plumbing::process::namespace::Kind;
use plumbing::process::target::namespace_in_link;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

const NSFS: &[u8] = b" - nsfs ";

/// A namespace that is mounted on a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) kind: Kind,
    pub(crate) inode: u64,
    pub(crate) point: Vec<u8>,
}

/// The namespaces in a mount table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) mounts: Vec<Mount>,
    /// The number of bytes that were read of the table.
    pub(crate) bytes: u64,
    /// Whether reading ended at the limit.
    pub(crate) is_cut: bool,
}

/// Reads at most `most` bytes of a mount table; the result is empty if we may not read the table.
pub(crate) fn of_namespaces(dir: BorrowedFd<'_>, table: &str, most: u64) -> Table {
    let mut found = Table::default();
    let Ok(file) = openat(dir, table, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else { return found };
    let mut lines = BufReader::with_capacity(64 << 10, File::from(file).take(most));
    let mut line = Vec::new();
    // The table of a process that ends vanishes: the result is what was read until then.
    while lines.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
        // The last line may be incomplete.
        found.mounts.extend(line.strip_suffix(b"\n").and_then(read_line));
        line.clear();
    }
    let left = lines.into_inner().limit();
    (found.bytes, found.is_cut) = (most - left, left == 0);
    found
}

/// `36 35 0:4 net:[4026532301] /run/netns/blue rw shared:1 - nsfs nsfs rw`
fn read_line(line: &[u8]) -> Option<Mount> {
    // Most lines are not about namespaces, and there are as many tables as processes, so those lines are not parsed.
    let may_be = line.windows(NSFS.len()).any(|part| part == NSFS);
    let mount = may_be.then(|| mountinfo::Mount::parse(line)).flatten().filter(|mount| mount.fs_type == "nsfs")?;
    let (kind, _) = mount.root.to_str()?.split_once(":[")?;
    let (kind, inode) = (Kind::of_proc_name(kind)?, namespace_in_link(mount.root.as_os_str().as_bytes())?);
    Some(Mount { kind, inode, point: mount.point.into_os_string().into_vec() })
}

/// Opens what is mounted at `point`, in the mount table of `pid` or in ours, if it is a namespace.
pub(crate) fn open(
    proc: BorrowedFd<'_>,
    pid: Option<i32>,
    point: &[u8],
    is_namespace: impl Fn(BorrowedFd<'_>) -> bool,
) -> Option<OwnedFd> {
    let path = Path::new(std::ffi::OsStr::from_bytes(point));
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = match pid {
        None => cached(CWD, path, flags, ResolveFlags::NO_MAGICLINKS).ok()?,
        Some(pid) => {
            let root = openat(proc, format!("{pid}/root"), flags | OFlags::DIRECTORY, Mode::empty()).ok()?;
            cached(root.as_fd(), path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS).ok()?
        }
    };
    // Opening something else for reading could have side effects, so it is examined first.
    if !is_namespace(found.as_fd()) {
        return None;
    }
    let again = format!("/proc/self/fd/{}", found.as_raw_fd());
    openat(CWD, again, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Opens a path without asking a file server, which may never answer: the kernel has the path to a mount in its cache.
/// Linux 5.12; on older kernels the server is asked.
fn cached(dir: BorrowedFd<'_>, path: &Path, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
    match openat2(dir, path, flags, Mode::empty(), resolve | ResolveFlags::CACHED) {
        Err(Errno::INVAL) => openat2(dir, path, flags, Mode::empty(), resolve),
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_mount_table_names_the_namespace() {
        let line = b"36 35 0:4 net:[4026532301] /run/a\\040\\134b rw shared:1 master:2 - nsfs nsfs rw";
        let mount = Mount { kind: Kind::Net, inode: 4026532301, point: b"/run/a \\b".to_vec() };
        assert_eq!(read_line(line), Some(mount));
        for other in [
            &b"36 35 0:4 net:[4026532301] /run/a rw - ext4 nsfs rw"[..],
            b"36 35 0:4 odd:[4026532301] /run/a rw - nsfs nsfs rw",
            b"36 35 0:4 / /run/a rw - nsfs nsfs rw",
            b"36 35",
            b"",
        ] {
            assert_eq!(read_line(other), None);
        }
    }
}
