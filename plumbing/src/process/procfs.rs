//! The caller's /proc, kept open while this process is in a mount namespace of someone else. `proc(5)`.
//!
//! The owner of a mount namespace may mount anything over /proc/self: files with false content, a FIFO that blocks, a
//! file without end. A descriptor of /proc that was opened before bypasses all of that. The surprise: `self` in it is
//! resolved for the process that asks, so children may use the same descriptor.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use nix::errno::Errno;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use crate::Fault;
use crate::kernel::look;
use crate::process::closing::leave;

/// How much is read at once: as much as the kernel makes of most files in one call.
const AT_ONCE: usize = 4096;

/// The most that is read of one file: /proc/self/mountinfo of a namespace with a hundred thousand mounts is shorter.
const LONGEST: u64 = 64 << 20;

static KEPT: OnceLock<OwnedFd> = OnceLock::new();

/// Keeps the /proc that is visible now. Call this before joining a mount namespace.
pub fn keep() -> Result<(), Fault> {
    if KEPT.get().is_some() {
        return Ok(());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened =
        look("keep our view of /proc", "openat(\"/proc\", O_PATH)", || openat(CWD, "/proc", flags, Mode::empty()))?;
    KEPT.get_or_init(|| opened);
    Ok(())
}

/// Opens a file of /proc, such as `self/gid_map`: in the one that was kept, or in the one that is visible now.
pub fn open(path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let (dir, path) = place(path);
    openat(dir, path, flags | OFlags::CLOEXEC, Mode::empty()).map_err(|error| Errno::from_raw(error.raw_os_error()))
}

/// Opens /proc itself: the one that was kept, or the one that is visible now.
pub(super) fn directory() -> Result<OwnedFd, Errno> {
    open("", OFlags::PATH | OFlags::DIRECTORY)
}

/// Opens a file of /proc for reading if nothing is mounted over it or over a directory on the way to it.
pub fn open_uncovered(path: &str) -> Result<OwnedFd, Errno> {
    let from = |error: rustix::io::Errno| Errno::from_raw(error.raw_os_error());
    let path_only = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let visible = if KEPT.get().is_some() { None } else { Some(openat(CWD, "/proc", path_only, Mode::empty())) };
    let visible = visible.transpose().map_err(from)?;
    let proc = visible.as_ref().or(KEPT.get()).ok_or(Errno::ENOENT)?;
    let (flags, resolve) = (OFlags::RDONLY | OFlags::CLOEXEC, ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS);
    openat2(proc, path, flags, Mode::empty(), resolve).map_err(from)
}

/// Reads a file of /proc, such as `self/mountinfo`.
pub fn read(path: &str) -> Result<Vec<u8>, std::io::Error> {
    let mut file = std::fs::File::from(open(path, OFlags::RDONLY)?);
    let mut content = Vec::with_capacity(AT_ONCE);
    let length = file.by_ref().take(LONGEST + 1).read_to_end(&mut content)? as u64;
    leave(file);
    if length > LONGEST { Err(Errno::EFBIG.into()) } else { Ok(content) }
}

/// Reads a file of which no record is longer than half of a page, such as `self/uid_map` or a setting in `sys`. If half of
/// the buffer stays empty, no record is missing, so that no second call has to ask for the end.
pub fn read_short(path: &str) -> Result<String, std::io::Error> {
    let mut file = std::fs::File::from(open(path, OFlags::RDONLY)?);
    let mut buffer = [0; AT_ONCE];
    let length = file.read(&mut buffer)?;
    let mut content = buffer[..length].to_vec();
    if length > AT_ONCE / 2 {
        file.by_ref().take(LONGEST).read_to_end(&mut content)?;
    }
    leave(file);
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// Reads a file of /proc as text.
pub fn read_text(path: &str) -> Result<String, std::io::Error> {
    read(path).map(|content| String::from_utf8_lossy(&content).into_owned())
}

/// Reads a link of /proc, such as `self/fd/3`.
pub fn read_link(path: &str) -> Result<PathBuf, Errno> {
    let (dir, path) = place(path);
    let target = rustix::fs::readlinkat(dir, path, Vec::new());
    let target = target.map_err(|error| Errno::from_raw(error.raw_os_error()))?;
    Ok(PathBuf::from(OsStr::from_bytes(target.to_bytes())))
}

fn place(path: &str) -> (BorrowedFd<'static>, String) {
    match KEPT.get() {
        Some(kept) if path.is_empty() => (kept.as_fd(), ".".to_owned()),
        Some(kept) => (kept.as_fd(), path.to_owned()),
        None => (CWD, format!("/proc/{path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_the_same_before_and_after_proc_is_kept() {
        let before = read("self/uid_map").unwrap();
        keep().unwrap();
        keep().unwrap();
        assert_eq!(read("self/uid_map").unwrap(), before);
        assert_eq!(read_short("self/uid_map").unwrap().as_bytes(), before);
        assert_eq!(read_short("self/mountinfo").unwrap(), read_text("self/mountinfo").unwrap());
        assert!(read("self/no-such-file").is_err());
        assert_eq!(read_link("self/exe").unwrap(), std::env::current_exe().unwrap());
    }
}
