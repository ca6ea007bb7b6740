//! A descriptor of another process, examined without taking over its file. `proc_pid_fd(5)`, `proc_pid_fdinfo(5)`.
//!
//! The surprise: `close(2)` can block. Closing a FUSE file asks its server, which may be the process that we examine;
//! it may never answer, and not even SIGKILL ends the wait. `pidfd_getfd(2)` returns such a file, which then has to be
//! closed. Closing a path descriptor asks no server.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create, openat};
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use crate::fault::IntoErrno;
use crate::procfs;
use crate::target::Target;

/// Opens descriptor `fd` of the process for reading if it is a memfd; `None` if it is anything else. EBADF: the process
/// has no such descriptor.
pub(crate) fn memfd(target: &Target, fd: i32) -> Result<Option<OwnedFd>, Errno> {
    let ours = memfd_create("example", MemfdFlags::CLOEXEC).map_err(IntoErrno::into_errno)?;
    let path = match open_path(target, fd) {
        // The process is in a user namespace of our own, where another right counts.
        Err(Errno::EACCES) => return take_over(target, fd).map(Some),
        path => path?,
    };
    if mount(path.as_fd())? != mount(ours.as_fd())? {
        return Ok(None);
    }
    // Opens the same file, whatever the process has at that number by now.
    procfs::open(&format!("self/fd/{}", path.as_raw_fd()), OFlags::RDONLY).map(Some)
}

/// Returns whether descriptor `fd` of the process is a socket now. EBADF: the process has no such descriptor.
pub(crate) fn is_socket(target: &Target, fd: i32, example: BorrowedFd<'_>) -> Result<bool, Errno> {
    match open_path(target, fd) {
        Err(Errno::EACCES) => Ok(true),
        path => Ok(mount(path?.as_fd())? == mount(example)?),
    }
}

/// Copies the descriptor to this process; `pidfd_getfd(2)`.
pub(crate) fn take_over(target: &Target, fd: i32) -> Result<OwnedFd, Errno> {
    pidfd_getfd(target.pidfd(), fd, PidfdGetfdFlags::empty()).map_err(IntoErrno::into_errno)
}

/// Opens a path descriptor. This involves no file system: O_PATH opens no file.
fn open_path(target: &Target, fd: i32) -> Result<OwnedFd, Errno> {
    let path = format!("fd/{fd}");
    openat(target.dir(), path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(|error| {
        match error.into_errno() {
            Errno::ENOENT => Errno::EBADF,
            errno => errno,
        }
    })
}

/// Returns the id of the mount on which a descriptor of ours is: memfds are all on one mount of the kernel's own,
/// sockets on another, where no user can mount a file system. Not by statx(2), which asks the file system.
fn mount(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    let info = procfs::read_text(&format!("self/fdinfo/{}", fd.as_raw_fd())).map_err(IntoErrno::into_errno)?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok()).ok_or(Errno::ENOSYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memfd_and_a_socket_are_distinguished_from_other_files() {
        let own = Target::of_pid(std::process::id() as i32).unwrap();
        let memfd_of_ours = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let number = |fd: &dyn AsRawFd| fd.as_raw_fd();
        assert!(memfd(&own, number(&memfd_of_ours)).unwrap().is_some());
        for other in [number(&socket), number(&file)] {
            assert!(memfd(&own, other).unwrap().is_none());
        }
        assert!(is_socket(&own, number(&socket), socket.as_fd()).unwrap());
        assert!(!is_socket(&own, number(&file), socket.as_fd()).unwrap());
        assert_eq!(memfd(&own, 9999).unwrap_err(), Errno::EBADF);
    }
}
