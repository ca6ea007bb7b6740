//! A descriptor of another process, examined without taking over its file. `proc_pid_fd(5)`, `proc_pid_fdinfo(5)`.
//!
//! The surprise: `close(2)` can block. Closing a FUSE file asks its server, which may be the process that we examine;
//! it may never answer, and not even SIGKILL ends the wait. `pidfd_getfd(2)` returns such a file, which then has to be
//! closed. So a child fetches it. Closing a path descriptor asks no server.

use std::io::IoSlice;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use rustix::fs::{MemfdFlags, Mode, OFlags, fcntl_get_seals, fstat, memfd_create, openat};
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{AddressFamily, SendFlags, SocketType};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::Fault;
use crate::fault::IntoErrno;
use crate::kernel::socket_namespace;
use crate::process::examine::{Finding, examine};
use crate::process::target::Target;
use crate::process::{procfs, socket_message};

/// Opens descriptor `fd` of the process for reading if it is a memfd; `None` if it is anything else. EBADF: the process
/// has no such descriptor.
pub(crate) fn memfd(target: &Target, fd: i32) -> Result<Option<OwnedFd>, Errno> {
    memfd_for(OFlags::RDONLY, target, fd)
}

/// Opens such a descriptor as [`memfd`] does, for writing as well.
pub(crate) fn writable_memfd(target: &Target, fd: i32) -> Result<Option<OwnedFd>, Errno> {
    memfd_for(OFlags::RDWR, target, fd)
}

fn memfd_for(access: OFlags, target: &Target, fd: i32) -> Result<Option<OwnedFd>, Errno> {
    let ours = memfd_create("example", MemfdFlags::CLOEXEC).map_err(IntoErrno::into_errno)?;
    let path = match open_path(target, fd) {
        // The process is in a user namespace of our own, where another right counts.
        Err(Errno::EACCES) => return fetch_memfd(target, fd),
        path => path?,
    };
    if mount(path.as_fd())? != mount(ours.as_fd())? {
        return Ok(None);
    }
    // Opens the same file, whatever the process has at that number by now.
    procfs::open(&format!("self/fd/{}", path.as_raw_fd()), access).map(Some)
}

/// Fetches descriptor `fd` of the process if it is a memfd. Only memfds and files of tmpfs have seals; their close(2)
/// waits for nothing.
fn fetch_memfd(target: &Target, fd: i32) -> Result<Option<OwnedFd>, Errno> {
    let found = examine("read the mark of a hold", &[target.pidfd()], || {
        let file = borrow_for_good(target.pidfd(), fd)?;
        let is_memfd = fcntl_get_seals(&*file).is_ok();
        let copy = if is_memfd { Some(file.try_clone().map_err(|_| Errno::EMFILE)?) } else { None };
        Ok((Vec::new(), copy))
    });
    // A child that does not answer or was killed found no memfd.
    found.map_err(|fault| fault.errno().unwrap_or(Errno::ETIMEDOUT))?.map(|(_, file)| file)
}

/// Returns whether descriptor `fd` of the process is a socket now. EBADF: the process has no such descriptor.
pub(crate) fn is_socket(target: &Target, fd: i32, example: BorrowedFd<'_>) -> Result<bool, Errno> {
    match open_path(target, fd) {
        Err(Errno::EACCES) => Ok(true),
        path => Ok(mount(path?.as_fd())? == mount(example)?),
    }
}

/// Copies the descriptor to this process; `pidfd_getfd(2)`. It is never closed before the end of this process, because
/// that may block: only for children that end soon.
fn borrow_for_good(pidfd: BorrowedFd<'_>, fd: i32) -> Result<ManuallyDrop<OwnedFd>, Errno> {
    pidfd_getfd(pidfd, fd, PidfdGetfdFlags::empty()).map(ManuallyDrop::new).map_err(IntoErrno::into_errno)
}

/// Sends a message of one byte with a descriptor, and never waits, through socket `fd` of the process. ENOTSOCK: what is there is no doorbell.
pub(crate) fn send_through(
    target: &Target,
    fd: i32,
    word: u8,
    sent: BorrowedFd<'_>,
) -> Result<Result<(), Errno>, Fault> {
    let goal = format!("reach the container's init, process {}", target.pid());
    let keep = [target.pidfd(), sent];
    let done = examine(&goal, &keep, || {
        let socket = borrow_for_good(target.pidfd(), fd)?;
        let kind = (socket_domain(&*socket), socket_type(&*socket));
        if kind != (Ok(AddressFamily::UNIX), Ok(SocketType::SEQPACKET)) {
            return Err(Errno::ENOTSOCK);
        }
        let parts = [IoSlice::new(std::slice::from_ref(&word))];
        socket_message::send(socket.as_fd(), &parts, Some(sent), SendFlags::DONTWAIT).map(|()| Finding::default())
    })?;
    Ok(done.map(drop))
}

/// Opens the network namespace of socket `fd` of the process.
pub fn network_of_socket(goal: &str, pidfd: BorrowedFd<'_>, fd: i32) -> Result<OwnedFd, Fault> {
    let found = examine(goal, &[pidfd], || {
        let socket = borrow_for_good(pidfd, fd)?;
        socket_namespace(socket.as_fd()).map(|namespace| (Vec::new(), Some(namespace)))
    })?;
    let namespace = found.and_then(|(_, namespace)| namespace.ok_or(Errno::EMFILE));
    namespace.map_err(|errno| Fault::kernel(goal, format!("ioctl(pidfd_getfd({fd}), SIOCGSKNS)"), errno))
}

/// Returns the inode number of the network namespace of each socket, which is given by a pid and a descriptor; 0 for
/// what cannot be examined. `sockets` are at most [`MOST_SOCKETS`].
pub fn networks_of_sockets(sockets: &[(i32, i32)]) -> Result<Vec<u64>, Fault> {
    let network = |&(pid, fd): &(i32, i32)| {
        let pid = rustix::process::Pid::from_raw(pid)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let socket = borrow_for_good(pidfd.as_fd(), fd).ok()?;
        fstat(socket_namespace(socket.as_fd()).ok()?).ok().map(|stat| stat.st_ino)
    };
    let goal = "find the networks of sockets";
    let found = examine(goal, &[], || {
        Ok((sockets.iter().flat_map(|socket| network(socket).unwrap_or_default().to_ne_bytes()).collect(), None))
    })?;
    let (bytes, _) = found.map_err(|errno| Fault::kernel(goal, "pidfd_getfd(pidfd, fd)", errno))?;
    Ok(bytes.chunks_exact(8).filter_map(|piece| piece.try_into().ok()).map(u64::from_ne_bytes).collect())
}

/// The maximum number of sockets that one child examines: it keeps all of them open.
pub const MOST_SOCKETS: usize = 200;

/// Opens a path descriptor. This involves no file system: O_PATH opens no file.
fn open_path(target: &Target, fd: i32) -> Result<OwnedFd, Errno> {
    let path = format!("fd/{fd}");
    openat(target.dir(), path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(|error| {
        match error.into_errno() {
            Errno::ENOENT => Errno::EBADF,
            errno => errno,
        }
    })
}

/// Returns the id of the mount on which a descriptor of ours is: memfds are all on one mount of the kernel's own,
/// sockets on another, where no user can mount a file system. Not by statx(2), which asks the file system.
fn mount(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    let info = procfs::read_text(&format!("self/fdinfo/{}", fd.as_raw_fd())).map_err(IntoErrno::into_errno)?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok()).ok_or(Errno::ENOSYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memfd_and_a_socket_are_distinguished_from_other_files() {
        let own = Target::of_pid(std::process::id() as i32).unwrap();
        let memfd_of_ours = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let number = |fd: &dyn AsRawFd| fd.as_raw_fd();
        assert!(memfd(&own, number(&memfd_of_ours)).unwrap().is_some());
        for other in [number(&socket), number(&file)] {
            assert!(memfd(&own, other).unwrap().is_none());
        }
        assert!(is_socket(&own, number(&socket), socket.as_fd()).unwrap());
        assert!(!is_socket(&own, number(&file), socket.as_fd()).unwrap());
        assert_eq!(memfd(&own, 9999).unwrap_err(), Errno::EBADF);
    }
}
