//! Messages between two processes of ours, each in one piece and with at most one descriptor. `unix(7)`, `SCM_RIGHTS`.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::Fault;
use crate::fault::IntoErrno;
use crate::kernel::own;

/// Makes the two ends of a connection.
pub fn pair(goal: &str) -> Result<(OwnedFd, OwnedFd), Fault> {
    // SEQPACKET: a message stays in one piece, and a closed end reads as end of file.
    own(goal, "socketpair(AF_UNIX, SOCK_SEQPACKET)", || {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
    })
}

/// Sends a message that consists of these parts, with a descriptor if there is one.
pub fn send(
    socket: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    fd: Option<BorrowedFd<'_>>,
    flags: SendFlags,
) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<_> = fd.into_iter().collect();
    if !fds.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    }
    // NOSIGNAL: we may have inherited any disposition of SIGPIPE, and an errno says more.
    sendmsg(socket, parts, &mut ancillary, flags | SendFlags::NOSIGNAL).map(drop).map_err(IntoErrno::into_errno)
}

/// Receives a message into `bytes`; returns its length and its descriptor. A length of 0: the other end is closed.
pub fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })
    .map_err(IntoErrno::into_errno)?;
    let fd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok((received.bytes, fd))
}
