//! The end of a link, as the kernel reports it: `RTM_DELLINK` to a group of listeners. `rtnetlink(7)`, `socket(7)`.
//!
//! Every change of every link is reported to the whole group. So a program in the kernel passes on only the end of this
//! one: with 200 containers, each change would wake 200 guardians.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use netlink_sys::Socket;
use plumbing::Fault;
use plumbing::kernel::{own, set_socket_filter};
use plumbing::process::target::{wait_for_either, wait_readable};

use crate::link;
use crate::netlink::Netlink;

const RTM_DELLINK: u16 = 17;
const RTNLGRP_LINK: u32 = 1;
/// Where a message has its type, and the index of its link: after `struct nlmsghdr`, in `struct ifinfomsg`.
const TYPE_AT: u32 = 4;
const INDEX_AT: u32 = 16 + 4;

/// A listener for the end of one link.
pub struct Departure {
    socket: Socket,
    name: String,
    index: u32,
    /// Whether the link had ended before we listened.
    is_over: bool,
}

impl Departure {
    /// Listens in the network namespace that we are in.
    pub fn of(netlink: &Netlink, name: &str, index: u32) -> Result<Departure, Fault> {
        let goal = format!("listen for the end of {name}");
        let socket = own(goal, "socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE)", || {
            let mut socket = Socket::new(netlink_sys::protocols::NETLINK_ROUTE)?;
            set_socket_filter(&socket, &only(index))?;
            socket.bind_auto()?;
            socket.add_membership(RTNLGRP_LINK)?;
            Ok::<_, std::io::Error>(socket)
        })?;
        let mut departure = Departure { socket, name: name.to_owned(), index, is_over: false };
        departure.is_over = departure.has_happened(netlink)?;
        Ok(departure)
    }

    fn has_happened(&self, netlink: &Netlink) -> Result<bool, Fault> {
        Ok(link::find(netlink, &self.name)?.is_none_or(|link| link.index != self.index))
    }

    /// Waits until the link or the process behind `watched` has ended.
    pub fn wait(&self, netlink: &Netlink, watched: BorrowedFd<'_>) -> Result<(), Fault> {
        // Nothing else first: it would bring back the memory that the guardian has just given back.
        let mut is_over = self.is_over;
        while !is_over {
            wait_for_either(watched, self.socket.as_fd())?;
            if wait_readable(watched, Some(Duration::ZERO))? {
                break;
            }
            own(format!("listen for the end of {}", self.name), "recvfrom(netlink)", || self.socket.recv_from_full())?;
            // A port that only leaves its bridge is reported in the same way.
            is_over = self.has_happened(netlink)?;
        }
        Ok(())
    }
}

/// The program: the end of the link with this index, and nothing else. It loads numbers as big-endian.
fn only(index: u32) -> [(u16, u8, u8, u32); 6] {
    const LOAD_HALF: u16 = 0x28;
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        (LOAD_HALF, 0, 0, TYPE_AT),
        (JUMP_IF_EQUAL, 0, 3, u32::from(u16::from_be_bytes(RTM_DELLINK.to_ne_bytes()))),
        (LOAD_WORD, 0, 0, INDEX_AT),
        (JUMP_IF_EQUAL, 0, 1, u32::from_be_bytes(index.to_ne_bytes())),
        (RETURN, 0, 0, u32::MAX),
        (RETURN, 0, 0, 0),
    ]
}
