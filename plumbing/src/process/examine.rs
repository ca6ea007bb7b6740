//! A throw-away child that examines files of processes that are not ours. `pidfd_getfd(2)`, `unix(7)`.
//!
//! The surprise: `close(2)` can block. Closing a FUSE file asks its server, and closing a TCP socket with SO_LINGER waits
//! for its peer; either may be the process that we examine. A process gets such a file by `pidfd_getfd(2)` before it can
//! know what it is. So only a child gets it, which keeps nothing else open and closes it only by its end. We do not wait
//! for that end.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use rustix::net::SendFlags;
use rustix::process::{Signal, pidfd_send_signal};

use crate::kernel::{Cloned, exit_now, fork_to_look, look};
use crate::process::closing::close_range;
use crate::process::target::wait_readable;
use crate::process::{errand, socket_message};
use crate::{Fault, Status};

/// What a child found: bytes, and a descriptor of a file of which it knows what it is.
pub type Finding = (Vec<u8>, Option<OwnedFd>);

/// How long a child may take to answer: its work is a few calls for each file.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long we wait for the end of a child that has answered, so that it does not stay as a zombie.
const END: Duration = Duration::from_millis(500);
/// The maximum number of bytes of an answer.
pub const LONGEST: usize = 8 << 10;

/// Runs `work` in a child that has only the descriptors of `keep`, and returns what it found. `work` must not close a
/// file of another process before it returns.
pub fn examine(
    goal: &str,
    keep: &[BorrowedFd<'_>],
    work: impl FnOnce() -> Result<Finding, Errno>,
) -> Result<Result<Finding, Errno>, Fault> {
    let (ours, theirs) = socket_message::pair(goal)?;
    match fork_to_look(goal)? {
        Cloned::Child => {
            let is_sent = close_all_but(keep, theirs.as_fd()).and_then(|()| answer(theirs.as_fd(), work()));
            exit_now(if is_sent.is_ok() { Status::SUCCESS } else { Status::OURS })
        }
        Cloned::Parent { pid, pidfd } => {
            drop(theirs);
            if !wait_readable(ours.as_fd(), Some(PATIENCE))? {
                return Err(errand::give_up(goal, pid, &pidfd, PATIENCE));
            }
            let found = look(goal, "recvmsg(child)", || receive(ours.as_fd()))?;
            end(pid, &pidfd)?;
            found.ok_or_else(|| Fault::new(format!("cannot {goal}: process {pid}, which does the work, was killed")))
        }
    }
}

/// Collects the child if it ends. Otherwise it is closing a file; it gets SIGKILL, and the kernel ends it when it can.
pub(super) fn end(pid: i32, pidfd: &OwnedFd) -> Result<(), Fault> {
    if wait_readable(pidfd.as_fd(), Some(END))? {
        let wait = || waitpid(Pid::from_raw(pid), Some(WaitPidFlag::__WALL)).map(drop);
        look(format!("wait for process {pid}"), format!("waitpid({pid}, __WALL)"), wait)
    } else {
        // It is our own child, and not waited for. If it has ended meanwhile, no signal is needed.
        pidfd_send_signal(pidfd, Signal::KILL).ok();
        Ok(())
    }
}

/// Closes everything else, so that a child that never ends keeps no pipe and no lease of ours open.
pub(super) fn close_all_but(keep: &[BorrowedFd<'_>], answer: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut kept: Vec<u32> = keep.iter().chain([&answer]).map(|fd| fd.as_raw_fd().cast_unsigned()).collect();
    kept.sort_unstable();
    let mut first = 0;
    for fd in kept {
        if fd > first {
            close_range(first, fd - 1, false)?;
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX, false)
}

fn answer(socket: BorrowedFd<'_>, found: Result<Finding, Errno>) -> Result<(), Errno> {
    let (errno, (bytes, fd)) = match found {
        Ok(found) => ([0], found),
        Err(errno) => ([errno as i32 as u8], Finding::default()),
    };
    let parts = [IoSlice::new(&errno), IoSlice::new(&bytes)];
    socket_message::send(socket, &parts, fd.as_ref().map(AsFd::as_fd), SendFlags::empty())
}

/// Receives the answer; `None` if there is none.
fn receive(socket: BorrowedFd<'_>) -> Result<Option<Result<Finding, Errno>>, Errno> {
    let mut bytes = vec![0; 1 + LONGEST];
    let (length, fd) = socket_message::receive(socket, &mut bytes)?;
    bytes.truncate(length);
    Ok(match bytes.first() {
        None => None,
        Some(0) => Some(Ok((bytes.split_off(1), fd))),
        Some(errno) => Some(Err(Errno::from_raw((*errno).into()))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_answers_with_bytes_and_a_descriptor_or_an_errno_and_keeps_nothing_else() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let number = file.as_raw_fd();
        let (bytes, fd) = examine("look", &[file.as_fd()], || {
            let open = [0, number].map(crate::kernel::is_open);
            Ok((open.map(u8::from).to_vec(), Some(file.as_fd().try_clone_to_owned().map_err(|_| Errno::EMFILE)?)))
        })
        .unwrap()
        .unwrap();
        assert_eq!((bytes, fd.is_some()), (vec![0, 1], true));
        assert_eq!(examine("look", &[], || Err(Errno::ENOTSOCK)).unwrap().unwrap_err(), Errno::ENOTSOCK);
    }
}
