//! Signals to the foreground process group of a pseudo-terminal. `ioctl_tty(2)`, `pty(7)`.
//!
//! The kernel looks up the process group, so that no group that has meanwhile taken its number gets the signal.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::signal::Signal;

/// Sends SIGINT, SIGQUIT or SIGTSTP, like the key for it typed on the other end of `controller`.
pub fn signal_foreground(controller: impl AsFd, signal: Signal) -> Result<(), Errno> {
    const TIOCSIG: libc::Ioctl = 0x4004_5436;
    // SAFETY: this request takes a number, and touches no memory.
    let answer = unsafe { libc::ioctl(controller.as_fd().as_raw_fd(), TIOCSIG, signal as libc::c_int) };
    Errno::result(answer).map(drop)
}

/// Gives up the controlling terminal, which `terminal` refers to. If this process leads the session, the kernel also
/// signals the foreground process group.
pub fn give_up_terminal(terminal: impl AsFd) -> Result<(), Errno> {
    // SAFETY: this request has no argument.
    let answer = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCNOTTY) };
    Errno::result(answer).map(drop)
}
