//! Installing a system call filter. `seccomp(2)`.

use nix::errno::Errno;

/// Installs `program`, which decides about every system call from here on; `seccomp(2)`, `SECCOMP_FILTER_FLAG_*`.
pub fn set_seccomp_filter(program: &[libc::sock_filter], flags: u32) -> Result<(), Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: a whole sock_fprog, whose filter is as long as it says; the kernel copies it and writes nothing.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    Errno::result(answer).map(drop)
}
