//! What the process inherited and had to change for itself, so that the next program gets it unchanged. `execve(2)`.
//!
//! What Rust's runtime does for safety is done here: SIGPIPE is ignored, so that a closed pipe is an error and does not
//! kill us, and /dev/null is opened for closed descriptors 0 to 2, so that no file of ours takes their place. And if
//! SIGCHLD were ignored, the kernel would keep no child's status for us; `wait(2)`. [`hand_on`] undoes all of it.

use std::os::fd::{IntoRawFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering};

use nix::sys::signal::Signal;
use rustix::fs::{Mode, OFlags, open};

use crate::{Fault, kernel};

/// Bits 0 to 2: that descriptor was closed. Bits 3 and 4: that signal was ignored.
static INHERITED: AtomicU8 = AtomicU8::new(0);
const SIGPIPE_IGNORED: u8 = 1 << 3;
const SIGCHLD_IGNORED: u8 = 1 << 4;

/// Ignores SIGPIPE, which Rust's library expects, gives SIGCHLD its default, and opens /dev/null for closed descriptors.
/// Remembers what was otherwise.
pub(crate) fn remember() -> Result<(), Fault> {
    let mut inherited = 0;
    for fd in (0..3).filter(|fd| !kernel::is_open(*fd)) {
        inherited |= 1 << fd;
        // The file gets the lowest number that is free: this one.
        kernel::look("replace a closed descriptor", "open(\"/dev/null\")", || {
            open("/dev/null", OFlags::RDWR, Mode::empty()).map(IntoRawFd::into_raw_fd)
        })?;
    }
    if replace_disposition(Signal::SIGPIPE, true) {
        inherited |= SIGPIPE_IGNORED;
    }
    if replace_disposition(Signal::SIGCHLD, false) {
        inherited |= SIGCHLD_IGNORED;
    }
    INHERITED.store(inherited, Ordering::Relaxed);
    Ok(())
}

/// Sets a disposition where an error cannot be reported: it cannot fail for a signal that has a name and can be caught.
fn replace_disposition(signal: Signal, ignore: bool) -> bool {
    kernel::set_disposition(signal, ignore).unwrap_or_default()
}

/// Returns whether descriptor `fd` (0 to 2) was closed when we were started.
pub fn was_closed(fd: RawFd) -> bool {
    (0..3).contains(&fd) && INHERITED.load(Ordering::Relaxed) & (1 << fd) != 0
}

/// Restores what was changed at the start: two dispositions and the closed descriptors.
pub fn hand_on() {
    let inherited = INHERITED.load(Ordering::Relaxed);
    if inherited & SIGPIPE_IGNORED == 0 {
        replace_disposition(Signal::SIGPIPE, false);
    }
    if inherited & SIGCHLD_IGNORED != 0 {
        replace_disposition(Signal::SIGCHLD, true);
    }
    for fd in (0..3).filter(|fd| was_closed(*fd)) {
        // The /dev/null that replaces the descriptor. An error could not be reported, and execve follows.
        plumbing_kernel::close(fd).ok();
    }
}

/// Makes the default the disposition of every signal for the next program, whatever our caller ignored. SIGPIPE stays
/// ignored until [`hand_on`].
pub fn reset_signals() -> Result<(), Fault> {
    INHERITED.fetch_and(!(SIGPIPE_IGNORED | SIGCHLD_IGNORED), Ordering::Relaxed);
    kernel::own("reset the signals that the caller ignores", "rt_sigaction(1 to 64, SIG_DFL)", || {
        plumbing_kernel::reset_signals(Signal::SIGPIPE)
    })
}
