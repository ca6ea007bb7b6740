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

use crate::link::{self, Link};
use crate::netlink::Netlink;

const RTM_NEWLINK: u16 = 16;
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
    /// Listens in the network namespace that we are in; also for changes of the link, if `follows`.
    pub fn of(netlink: &Netlink, name: &str, index: u32, follows: bool) -> Result<Departure, Fault> {
        let goal = format!("listen for the end of {name}");
        let socket = own(goal, "socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE)", || {
            let mut socket = Socket::new(netlink_sys::protocols::NETLINK_ROUTE)?;
            set_socket_filter(&socket, &only(index, follows))?;
            socket.bind_auto()?;
            socket.add_membership(RTNLGRP_LINK)?;
            Ok::<_, std::io::Error>(socket)
        })?;
        let mut departure = Departure { socket, name: name.to_owned(), index, is_over: false };
        departure.is_over = departure.rest(netlink)?.is_none();
        Ok(departure)
    }

    /// Returns the link, if it is still there.
    fn rest(&self, netlink: &Netlink) -> Result<Option<Link>, Fault> {
        Ok(link::find(netlink, &self.name)?.filter(|link| link.index == self.index))
    }

    /// Waits until the link or the process behind `watched` has ended; passes each change of the link to `follow`.
    pub fn wait(&self, netlink: &Netlink, watched: BorrowedFd<'_>, follow: impl Fn(&Link)) -> Result<(), Fault> {
        // Nothing else first: it would bring back the memory that the guardian has just given back.
        let mut is_over = self.is_over;
        while !is_over {
            wait_for_either(watched, self.socket.as_fd())?;
            if wait_readable(watched, Some(Duration::ZERO))? {
                break;
            }
            own(format!("listen for the end of {}", self.name), "recvfrom(netlink)", || self.socket.recv_from_full())?;
            // A port that only leaves its bridge is reported in the same way.
            let rest = self.rest(netlink)?;
            rest.iter().for_each(&follow);
            is_over = rest.is_none();
        }
        Ok(())
    }
}

/// The program: the end of the link with this index, or also its changes, and nothing else. It loads numbers as big-endian.
fn only(index: u32, follows: bool) -> [(u16, u8, u8, u32); 7] {
    const LOAD_HALF: u16 = 0x28;
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let kind = |kind: u16| u32::from(u16::from_be_bytes(kind.to_ne_bytes()));
    [
        (LOAD_HALF, 0, 0, TYPE_AT),
        (JUMP_IF_EQUAL, 1, 0, kind(RTM_DELLINK)),
        (JUMP_IF_EQUAL, 0, 3, kind(if follows { RTM_NEWLINK } else { RTM_DELLINK })),
        (LOAD_WORD, 0, 0, INDEX_AT),
        (JUMP_IF_EQUAL, 0, 1, u32::from_be_bytes(index.to_ne_bytes())),
        (RETURN, 0, 0, u32::MAX),
        (RETURN, 0, 0, 0),
    ]
}
