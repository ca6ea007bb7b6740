//! Options of sockets that are tables of the kernel. `getsockopt(2)`.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// Reads an option into `buffer`, whose first bytes may ask for a part of it; returns how many bytes the kernel wrote.
pub fn read_socket_option(socket: impl AsFd, level: i32, name: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut length = libc::socklen_t::try_from(buffer.len()).map_err(|_| Errno::EINVAL)?;
    let (fd, place) = (socket.as_fd().as_raw_fd(), buffer.as_mut_ptr().cast());
    // SAFETY: the kernel writes at most `length` bytes, which is how long the buffer is.
    let answer = unsafe { libc::getsockopt(fd, level, name, place, &raw mut length) };
    Errno::result(answer).map(|_| length as usize)
}
