//! Signals: blocking them all, their dispositions, and sending one that has no name. `signal(7)`, `sigprocmask(2)`.
//!
//! The surprise: `sigfillset(3)` leaves out the two signals that the C library keeps for its threads, 32 and 33, and a
//! process that blocks all others still dies of those.

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Blocks all signals of this thread except SIGKILL and SIGSTOP, which cannot be blocked.
pub fn block_every_signal() -> Result<(), Errno> {
    // A bit for each of the 64 signals, as in the kernel on every architecture that we run on.
    let all = u64::MAX;
    // SAFETY: `all` outlives the call and has the size that is passed; the null pointer requests no result.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const all,
            std::ptr::null_mut::<u64>(),
            size_of::<u64>(),
        )
    };
    Errno::result(answer).map(drop)
}

/// Sets the disposition of `signal` to ignore or to the default; returns whether it was ignored before.
pub fn set_disposition(signal: Signal, ignore: bool) -> Result<bool, Errno> {
    let handler = if ignore { SigHandler::SigIgn } else { SigHandler::SigDfl };
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: neither SIG_IGN nor SIG_DFL runs code of ours.
    unsafe { sigaction(signal, &action) }.map(|before| matches!(before.handler(), SigHandler::SigIgn))
}

/// Calls `kill(2)` with a bare number: the real-time signals have no names.
pub fn kill_by_number(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: two integers.
    Errno::result(unsafe { libc::kill(pid, signal) }).map(drop)
}
