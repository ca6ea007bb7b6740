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

/// Gives every signal but `kept` its default disposition, also the real-time signals.
pub fn reset_signals(kept: Signal) -> Result<(), Errno> {
    // A `struct sigaction` of the kernel: handler SIG_DFL, no flags, no restorer, an empty mask.
    let default = [0u64; 4];
    let fixed = [Signal::SIGKILL, Signal::SIGSTOP, kept].map(|signal| signal as i32);
    for number in (1..=64).filter(|number| !fixed.contains(number)) {
        // SAFETY: `default` outlives the call and is as large as the kernel's structure; the null pointer requests no result.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
        Errno::result(answer)?;
    }
    Ok(())
}

/// Calls `kill(2)` with a bare number: the real-time signals have no names.
pub fn kill_by_number(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: two integers.
    Errno::result(unsafe { libc::kill(pid, signal) }).map(drop)
}
