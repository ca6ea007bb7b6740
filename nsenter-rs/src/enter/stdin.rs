//! The stdin of a pipeline's last command: our own stdin carried the record, so the command gets a terminal if there is
//! one.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use plumbing::Fault;
use plumbing::kernel::{adopt, is_open, look, own};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::termios::isatty;

/// Returns the descriptor that was named; else stderr or stdout if that is a terminal (a copy keeps its name, as `tty`
/// shows); else /dev/tty; else /dev/null.
pub(crate) fn choose(named: Option<RawFd>) -> Result<OwnedFd, Fault> {
    if let Some(fd) = named {
        if !is_open(fd) {
            return Err(Fault::usage(format!("option '--stdin': descriptor {fd} is not open")));
        }
        return Ok(adopt(fd));
    }
    let (stderr, stdout) = (rustix::stdio::stderr(), rustix::stdio::stdout());
    for terminal in [stderr, stdout] {
        if isatty(terminal) {
            return copy(terminal);
        }
    }
    match open("/dev/tty", OFlags::RDWR) {
        Ok(terminal) => Ok(terminal),
        Err(_) => look("open a stdin for the command", "open(\"/dev/null\")", || open("/dev/null", OFlags::RDONLY)),
    }
}

fn copy(fd: BorrowedFd<'_>) -> Result<OwnedFd, Fault> {
    own("copy the terminal", "fcntl(F_DUPFD_CLOEXEC)", || rustix::io::fcntl_dupfd_cloexec(fd, 3))
}

fn open(path: &str, flags: OFlags) -> Result<OwnedFd, rustix::io::Errno> {
    openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
}
