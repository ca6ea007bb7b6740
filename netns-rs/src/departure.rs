//! The end of a link, as the kernel reports it: `RTM_DELLINK` to a group of listeners. `rtnetlink(7)`, `socket(7)`.
//!
//! Every change of every link is reported to the whole group. So a program in the kernel passes on only the end of this
//! one: with 200 containers, each change would wake 200 guardians.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use netlink_sys::Socket;
use nix::errno::Errno;
use plumbing::Fault;
use plumbing::fault::IntoErrno;
use plumbing::kernel::{own, set_socket_filter};
use plumbing::process::target::{wait_for_either, wait_readable};

use crate::link::{self, Link};
use crate::netlink::Netlink;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTNLGRP_LINK: u32 = 1;
/// Where a message has its type, and family and index of its link: after `struct nlmsghdr`, in `struct ifinfomsg`.
const TYPE_AT: u32 = 4;
const FAMILY_AT: u32 = 16;
const INDEX_AT: u32 = 16 + 4;

/// A listener for the end of one link.
pub struct Departure {
    socket: Socket,
    name: String,
    index: u32,
    /// Whether the link had ended before we listened.
    is_over: bool,
    /// How many ends of the link were reported.
    ends: Cell<usize>,
}

/// A listener that does not know its link yet: one that moves gets an index in its new namespace.
pub struct Listener(Socket);

impl Listener {
    /// Listens in the network namespace that we are in.
    pub fn open(name: &str) -> Result<Listener, Fault> {
        let goal = format!("listen for the end of {name}");
        own(goal, "socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE)", || {
            let mut socket = Socket::new(netlink_sys::protocols::NETLINK_ROUTE)?;
            set_socket_filter(&socket, &any())?;
            socket.bind_auto()?;
            socket.add_membership(RTNLGRP_LINK)?;
            Ok::<_, std::io::Error>(Listener(socket))
        })
    }

    /// Listens for the end of this link only, or also for its changes. What was reported of it before is not lost.
    pub fn only(self, netlink: &Netlink, (name, index): (&str, u32), follows: bool) -> Result<Departure, Fault> {
        let goal = format!("listen for the end of {name}");
        own(goal, "setsockopt(SO_ATTACH_FILTER)", || set_socket_filter(&self.0, &only(index, follows)))?;
        let name = name.to_owned();
        let mut departure = Departure { socket: self.0, name, index, is_over: false, ends: Cell::new(0) };
        departure.is_over = departure.rest(netlink)?.is_none();
        Ok(departure)
    }
}

impl Departure {
    /// Listens in the network namespace that we are in; also for changes of the link, if `follows`.
    pub fn of(netlink: &Netlink, name: &str, index: u32, follows: bool) -> Result<Departure, Fault> {
        Listener::open(name)?.only(netlink, (name, index), follows)
    }

    /// Returns how often the end of a link with this index was reported: by its removal, or by its move to another namespace.
    pub fn ends(&self) -> Result<usize, Fault> {
        while wait_readable(self.socket.as_fd(), Some(Duration::ZERO))? {
            self.receive()?;
        }
        Ok(self.ends.get())
    }

    fn receive(&self) -> Result<(), Fault> {
        let goal = format!("listen for the end of {}", self.name);
        let ends =
            own(goal, "recvfrom(netlink)", || match self.socket.recv_from_full().map_err(IntoErrno::into_errno) {
                Ok((message, _)) => Ok(usize::from(is_end(&message, self.index))),
                // Some were lost, so there were many.
                Err(Errno::ENOBUFS) => Ok(2),
                Err(errno) => Err(errno),
            })?;
        self.ends.set(self.ends.get() + ends);
        Ok(())
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
            self.receive()?;
            // A port that only leaves its bridge is reported in the same way.
            let rest = self.rest(netlink)?;
            rest.iter().for_each(&follow);
            is_over = rest.is_none();
        }
        Ok(())
    }
}

/// Returns whether the message reports the end of the link with this index. A port that leaves its bridge is reported in the
/// same way, but by the family of bridges.
fn is_end(message: &[u8], index: u32) -> bool {
    fn at<const N: usize>(message: &[u8], place: u32) -> Option<&[u8; N]> {
        message.get(place as usize..)?.first_chunk()
    }
    at(message, TYPE_AT) == Some(&RTM_DELLINK.to_ne_bytes())
        && at(message, FAMILY_AT) == Some(&[0])
        && at(message, INDEX_AT) == Some(&index.to_ne_bytes())
}

const LOAD_HALF: u16 = 0x28;
const LOAD_WORD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Returns the type of a message as a program loads it: as a big-endian number.
fn loaded(kind: u16) -> u32 {
    u32::from(u16::from_be_bytes(kind.to_ne_bytes()))
}

/// The program: the end of any link.
fn any() -> [(u16, u8, u8, u32); 4] {
    [
        (LOAD_HALF, 0, 0, TYPE_AT),
        (JUMP_IF_EQUAL, 0, 1, loaded(RTM_DELLINK)),
        (RETURN, 0, 0, u32::MAX),
        (RETURN, 0, 0, 0),
    ]
}

/// The program: the end of the link with this index, or also its changes, and nothing else.
fn only(index: u32, follows: bool) -> [(u16, u8, u8, u32); 7] {
    [
        (LOAD_HALF, 0, 0, TYPE_AT),
        (JUMP_IF_EQUAL, 1, 0, loaded(RTM_DELLINK)),
        (JUMP_IF_EQUAL, 0, 3, loaded(if follows { RTM_NEWLINK } else { RTM_DELLINK })),
        (LOAD_WORD, 0, 0, INDEX_AT),
        (JUMP_IF_EQUAL, 0, 1, u32::from_be_bytes(index.to_ne_bytes())),
        (RETURN, 0, 0, u32::MAX),
        (RETURN, 0, 0, 0),
    ]
}
