//! Descriptors by their numbers, which no owner in this process represents. `close_range(2)`, `dup2(2)`, `fcntl(2)`.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// Takes ownership of a descriptor that a call, or the process before us, left open for us.
///
/// Not for descriptors that something else in this process owns: only for results of the kernel and for fixed numbers
/// across `execve(2)`.
pub fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass a number that the kernel has just handed out, or one reserved by protocol across execve;
    // nothing else in this process owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Makes `fd` available as `number` too, across `execve(2)`; `dup2(2)`. A descriptor that had this number is closed.
///
/// For numbers that are agreed upon (0 to 2, those of a hold's init), which no owner in this process represents.
pub fn place(fd: impl AsFd, number: RawFd) -> Result<(), Errno> {
    // SAFETY: two integers; what had the number `number` is an inherited descriptor that nothing here owns.
    Errno::result(unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) }).map(drop)
}

/// Returns whether descriptor `fd` is open.
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD takes no third argument and touches no memory.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// Calls `close_range(2)` for `first..=last`; with `on_exec`, only marks the descriptors close-on-exec.
pub fn close_range(first: u32, last: u32, on_exec: bool) -> Result<(), Errno> {
    let flags: u32 = if on_exec { libc::CLOSE_RANGE_CLOEXEC } else { 0 };
    // SAFETY: three integers, no memory. Numbers that an OwnedFd still names are never closed, because of how this is
    // used: either the process is about to exec, or it is a guardian or init that has just closed everything it
    // inherited.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(drop)
}

/// Closes the descriptor with this number; `close(2)`.
pub fn close(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: an integer; what has the number belongs to no owner here, as for `close_range`.
    Errno::result(unsafe { libc::close(fd) }).map(drop)
}

/// Marks the descriptor with this number close-on-exec; `fcntl(2)`.
pub fn close_on_exec(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: integers, no memory.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
}
