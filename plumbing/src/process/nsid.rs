//! The id that one network namespace uses for another: `RTM_GETNSID` of `rtnetlink(7)`, as `ip netns list-id` requests
//! it.
//!
//! The surprise: the id depends on the observer. In a third network namespace the same namespace has another id, or
//! none.

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

/// The id of another network namespace in the observer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nsid {
    /// A number from 0.
    Number(i32),
    /// No id: the observer has not needed one yet.
    Unassigned,
}

/// Opens a netlink socket in our network namespace; returns `None` if the kernel has no netlink.
pub fn open() -> Option<OwnedFd> {
    socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, NETLINK_ROUTE).ok()
}

/// Asks for the id of an open network namespace; returns `None` if the kernel does not return one.
pub fn ask(socket: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> Option<Nsid> {
    send(socket, &request(namespace), SendFlags::empty()).ok()?;
    let mut answer = [0; 256];
    let (_, length) = recv(socket, &mut answer[..], RecvFlags::empty()).ok()?;
    let answer = answer.get(..length)?;
    read(half(answer, 4)?, answer.get(HEADER..)?)
}

/// Returns the message that asks for the id of an open network namespace.
pub fn request(namespace: BorrowedFd<'_>) -> Vec<u8> {
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
    message.extend(namespace.as_raw_fd().to_ne_bytes());
    message
}

/// Reads the type and the payload of an answer; returns `None` if it does not contain an id.
pub fn read(kind: u16, payload: &[u8]) -> Option<Nsid> {
    if kind != RTM_NEWNSID || half(payload, FAMILY + 2)? != NETNSA_NSID {
        return None;
    }
    let number = i32::from_ne_bytes(payload.get(FAMILY + 4..FAMILY + 8)?.try_into().ok()?);
    Some(if number < 0 { Nsid::Unassigned } else { Nsid::Number(number) })
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(number: i32) -> Vec<u8> {
        let mut payload = vec![0; FAMILY];
        payload.extend([8_u16.to_ne_bytes(), NETNSA_NSID.to_ne_bytes()].concat());
        payload.extend(number.to_ne_bytes());
        payload
    }

    #[test]
    fn an_answer_is_a_number_or_none() {
        assert_eq!(read(RTM_NEWNSID, &payload(7)), Some(Nsid::Number(7)));
        assert_eq!(read(RTM_NEWNSID, &payload(-1)), Some(Nsid::Unassigned));
        assert_eq!(read(2, &payload(7)), None);
        assert_eq!(read(RTM_NEWNSID, &payload(7)[..6]), None);
    }
}
