//! Signals to whoever is in the foreground of a pseudo-terminal. `ioctl_tty(2)`, `pty(7)`.
//!
//! It belongs to the few raw calls of `kernel.rs`. The kernel finds the process group, so none that came meanwhile is hit.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::signal::Signal;

/// SIGINT, SIGQUIT or SIGTSTP, as if its key had been typed on the other end of `controller`.
pub fn signal_foreground(controller: impl AsFd, signal: Signal) -> Result<(), Errno> {
    const TIOCSIG: libc::Ioctl = 0x4004_5436;
    // SAFETY: this request takes a number, and touches no memory.
    let answer = unsafe { libc::ioctl(controller.as_fd().as_raw_fd(), TIOCSIG, signal as libc::c_int) };
    Errno::result(answer).map(drop)
}
