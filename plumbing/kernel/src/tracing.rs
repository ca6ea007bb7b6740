//! The system call filters of a process that we have stopped. `ptrace(2)`.

use nix::errno::Errno;

/// Returns a filter of a process that we have stopped, the newest being number 0; ENOENT after the oldest. `ptrace(2)`,
/// `PTRACE_SECCOMP_GET_FILTER`.
pub fn seccomp_filter_of(pid: i32, number: usize) -> Result<Vec<libc::sock_filter>, Errno> {
    const GET_FILTER: libc::c_uint = 0x420c;
    let none = std::ptr::null_mut::<libc::sock_filter>();
    // SAFETY: with a null pointer the kernel only returns how long the program is.
    let length = Errno::result(unsafe { libc::ptrace(GET_FILTER, pid, number, none) })?;
    let empty = libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 };
    let mut program = vec![empty; usize::try_from(length).map_err(|_| Errno::EINVAL)?];
    // SAFETY: there is room for as many instructions as the filter has; filters do not change, and the process is
    // stopped.
    Errno::result(unsafe { libc::ptrace(GET_FILTER, pid, number, program.as_mut_ptr()) })?;
    Ok(program)
}

/// Returns the `SECCOMP_FILTER_FLAG_*` of such a filter. `ptrace(2)`, `PTRACE_SECCOMP_GET_METADATA`.
pub fn seccomp_flags_of(pid: i32, number: usize) -> Result<u32, Errno> {
    const GET_METADATA: libc::c_uint = 0x420d;
    /// `struct seccomp_metadata`.
    #[repr(C)]
    struct Metadata {
        filter_off: u64,
        flags: u64,
    }
    let mut metadata = Metadata { filter_off: number as u64, flags: 0 };
    // SAFETY: a whole seccomp_metadata of the size given, which the kernel reads and fills.
    Errno::result(unsafe { libc::ptrace(GET_METADATA, pid, size_of::<Metadata>(), &raw mut metadata) })?;
    Ok(metadata.flags as u32)
}
