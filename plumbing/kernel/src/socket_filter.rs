//! Which messages a socket receives. `socket(7)`.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// Attaches a program of classic BPF, which decides about every message that the socket receives from here on;
/// `SO_ATTACH_FILTER`. An instruction is its code, its two jumps and its value.
pub fn set_socket_filter(socket: impl AsFd, program: &[(u16, u8, u8, u32)]) -> Result<(), Errno> {
    let program: Vec<_> = program.iter().map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k }).collect();
    let length = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let whole = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    let (fd, size) = (socket.as_fd().as_raw_fd(), size_of_val(&whole) as libc::socklen_t);
    // SAFETY: a whole sock_fprog, whose filter is as long as it says; the kernel copies it and writes nothing.
    let answer =
        unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, (&raw const whole).cast(), size) };
    Errno::result(answer).map(drop)
}
