//! Three calls about how a process runs, which no library that we use wraps: `sched_setattr(2)`, `ioprio_set(2)` and
//! `personality(2)`.

use nix::errno::Errno;

/// `struct sched_attr`, with the members that Linux has since 5.3.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Scheduling {
    /// `size_of::<Scheduling>()`.
    pub size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// The nice value.
    pub nice: i32,
    /// The real-time priority.
    pub priority: u32,
    /// Of `SCHED_DEADLINE`, in nanoseconds.
    pub runtime: u64,
    /// Of `SCHED_DEADLINE`, in nanoseconds.
    pub deadline: u64,
    /// Of `SCHED_DEADLINE`, in nanoseconds.
    pub period: u64,
    /// The lower bound of the utilization.
    pub util_min: u32,
    /// The upper bound of the utilization.
    pub util_max: u32,
}

/// Sets the scheduling policy of this thread; `sched_setattr(2)`.
pub fn sched_setattr(attributes: &Scheduling) -> Result<(), Errno> {
    let none: libc::c_uint = 0;
    // SAFETY: a whole sched_attr whose first member is its size, which the kernel only reads.
    let answer = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(attributes), none) };
    Errno::result(answer).map(drop)
}

/// Sets the I/O priority of this thread, `class << 13 | level`; `ioprio_set(2)`.
pub fn ioprio_set(priority: i32) -> Result<(), Errno> {
    const WHO_PROCESS: libc::c_int = 1;
    // SAFETY: three integers.
    let answer = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, priority) };
    Errno::result(answer).map(drop)
}

/// Sets the execution domain of this process; `personality(2)`.
pub fn personality(domain: u32) -> Result<(), Errno> {
    // SAFETY: an integer.
    Errno::result(unsafe { libc::syscall(libc::SYS_personality, libc::c_ulong::from(domain)) }).map(drop)
}
