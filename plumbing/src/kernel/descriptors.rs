//! Closing many descriptors at once, or one by one where the kernel does not. `close_range(2)`.
//!
//! A system call filter may refuse the call: an old one around us, or the command's own, if it applies before the
//! descriptors are closed. The surprise: then only /proc/self/status says how many there can be (`FDSize`), and a
//! container chooses what is at /proc. So the file must be one of a proc file system, with nothing mounted over it.

use std::io::Read;

use nix::errno::Errno;
use rustix::fs::{PROC_SUPER_MAGIC, fstatfs};

use crate::fault::IntoErrno;
use crate::process::procfs;
use crate::process::target::status_field;

/// Calls `close_range(2)` for `first..=last`; with `on_exec`, only marks the descriptors close-on-exec.
pub fn close_range(first: u32, last: u32, on_exec: bool) -> Result<(), Errno> {
    match plumbing_kernel::close_range(first, last, on_exec) {
        Err(refused) if first <= last => one_by_one(first, last, on_exec).map_err(|_| refused),
        answer => answer,
    }
}

fn one_by_one(first: u32, last: u32, on_exec: bool) -> Result<(), Errno> {
    let act = if on_exec { plumbing_kernel::close_on_exec } else { plumbing_kernel::close };
    let end = last.saturating_add(1).min(table_size()?);
    for fd in first..end {
        // The filter refuses this call, too. After any other error the descriptor is closed, or never was open.
        if let Err(refused @ (Errno::EPERM | Errno::EACCES | Errno::ENOSYS)) =
            act(i32::try_from(fd).map_err(|_| Errno::EBADF)?)
        {
            return Err(refused);
        }
    }
    Ok(())
}

/// Returns a number above that of every descriptor that is open.
fn table_size() -> Result<u32, Errno> {
    let file = procfs::open_uncovered("self/status")?;
    if fstatfs(&file).map_err(IntoErrno::into_errno)?.f_type != PROC_SUPER_MAGIC {
        return Err(Errno::ENOSYS);
    }
    let mut text = Vec::new();
    std::fs::File::from(file).take(1 << 16).read_to_end(&mut text).map_err(IntoErrno::into_errno)?;
    status_field(&String::from_utf8_lossy(&text), "FDSize").and_then(|size| size.parse().ok()).ok_or(Errno::ENOSYS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_range_is_closed_one_by_one() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        let number = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(file.as_raw_fd() + 40)).unwrap();
        assert!(table_size().unwrap() > number.cast_unsigned());
        let last = number.cast_unsigned();
        one_by_one(last, last, true).unwrap();
        one_by_one(last, last, false).unwrap();
        assert!(!crate::kernel::is_open(number));
    }
}
