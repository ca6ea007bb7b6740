//! Blocking every signal. `sigprocmask(2)`, `signal(7)`.
//!
//! It belongs to the few raw calls of `kernel.rs`. The surprise: `sigfillset(3)` leaves out the two signals that the C
//! library keeps for its threads, 32 and 33, and a process that blocks all others still dies of those.

use nix::errno::Errno;

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
