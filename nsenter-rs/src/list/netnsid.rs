//! The id of another network namespace in ours: `RTM_GETNSID` of `rtnetlink(7)`, as `ip netns list-id` requests it.
//!
//! The id depends on the observer: in a third network namespace the same namespace has another id, or none.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// The number of this protocol is 0, which is the default.
const NETLINK_ROUTE: Option<Protocol> = None;
const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
const NLM_F_REQUEST: u16 = 1;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct rtgenmsg`, with its padding.
const FAMILY: usize = 4;

/// The id of another network namespace in ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nsid {
    Number(u32),
    Unassigned,
}

/// Opens a netlink socket; returns `None` if the kernel has no netlink.
pub(crate) fn open() -> Option<OwnedFd> {
    socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, NETLINK_ROUTE).ok()
}

/// Asks for the id of an open network namespace; returns `None` if the kernel does not return one.
pub(crate) fn ask(socket: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> Option<Nsid> {
    send(socket, &question(namespace.as_raw_fd()), SendFlags::empty()).ok()?;
    let mut answer = [0; 256];
    let (_, length) = recv(socket, &mut answer[..], RecvFlags::empty()).ok()?;
    read(answer.get(..length)?)
}

fn question(fd: i32) -> Vec<u8> {
    let length = (HEADER + FAMILY + 8) as u32;
    let mut message = length.to_ne_bytes().to_vec();
    for half in [RTM_GETNSID, NLM_F_REQUEST] {
        message.extend(half.to_ne_bytes());
    }
    // Sequence number, our port, and AF_UNSPEC.
    message.extend([0; 8 + FAMILY]);
    for half in [8, NETNSA_FD] {
        message.extend(half.to_ne_bytes());
    }
    message.extend(fd.to_ne_bytes());
    message
}

fn read(answer: &[u8]) -> Option<Nsid> {
    let half = |at: usize| Some(u16::from_ne_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    let attribute = HEADER + FAMILY;
    if half(4)? != RTM_NEWNSID || half(attribute + 2)? != NETNSA_NSID {
        return None;
    }
    let number = i32::from_ne_bytes(answer.get(attribute + 4..attribute + 8)?.try_into().ok()?);
    Some(u32::try_from(number).map_or(Nsid::Unassigned, Nsid::Number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: u16, number: i32) -> Vec<u8> {
        let mut answer = question(number);
        answer[4..6].copy_from_slice(&kind.to_ne_bytes());
        answer[HEADER + FAMILY + 2..HEADER + FAMILY + 4].copy_from_slice(&NETNSA_NSID.to_ne_bytes());
        answer
    }

    #[test]
    fn an_answer_is_a_number_or_none() {
        assert_eq!(read(&answer(RTM_NEWNSID, 7)), Some(Nsid::Number(7)));
        assert_eq!(read(&answer(RTM_NEWNSID, -1)), Some(Nsid::Unassigned));
        assert_eq!(read(&answer(2, 7)), None);
        assert_eq!(read(&answer(RTM_NEWNSID, 7)[..22]), None);
    }
}
