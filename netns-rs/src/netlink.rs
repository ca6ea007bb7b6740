//! Netlink sockets: one datagram is sent, then the kernel's answers are read, synchronously. `netlink(7)`,
//! `rtnetlink(7)`.
//!
//! A socket belongs to the network namespace in which it was opened, for as long as it exists: that is how one process
//! configures two namespaces. An answer may contain a sentence about what was wrong (the extended ACK), which the bare
//! errno does not show.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Display};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use netlink_packet_core::{NLM_F_DUMP_INTR, NLM_F_MULTIPART};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use plumbing::Fault;
use plumbing::fault::IntoErrno;
use plumbing::kernel::{call, look, own};
use rustix::net::sockopt::{Timeout, set_socket_send_buffer_size_force, set_socket_timeout};

use crate::capability;
use crate::message::{HEADER, Header, NLMSG_DONE, NLMSG_ERROR, Refused, align};

/// More than the kernel ever puts into one answer (it fills at most 32 KiB of a dump at once).
const ANSWER: usize = 64 << 10;
/// How often a dump that changed while it was read is restarted.
const ATTEMPTS: u32 = 16;

/// An open netlink socket.
pub struct Netlink {
    socket: Socket,
    sequence: Cell<u32>,
}

/// How long a request waits for its answer. Some kernels do not answer every request, and a guardian that waited without
/// end could not be interrupted either.
const PATIENCE: Duration = Duration::from_secs(60);

/// One message of the kernel's answer.
pub struct Answer {
    /// Its type, such as `RTM_NEWLINK`.
    pub kind: u16,
    /// The bytes after the netlink header.
    pub payload: Vec<u8>,
}

impl Netlink {
    /// Opens a socket in the network namespace that we are in; `name` is the name of `protocol` in texts.
    pub fn open(protocol: isize, name: &str) -> Result<Netlink, Fault> {
        let text = format!("socket(AF_NETLINK, SOCK_DGRAM, {name})");
        let socket = own("open a socket to configure the network", text, || {
            let mut socket = Socket::new(protocol)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_ext_ack(true)?;
            socket.set_cap_ack(true)?;
            // Otherwise a dump ignores what it was asked for, and returns everything.
            socket.set_netlink_get_strict_chk(true)?;
            set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
            Ok::<_, std::io::Error>(socket)
        })?;
        Ok(Netlink { socket, sequence: Cell::new(1) })
    }

    /// Opens an rtnetlink socket in the network namespace that we are in.
    pub fn route() -> Result<Netlink, Fault> {
        Netlink::open(netlink_sys::protocols::NETLINK_ROUTE, "NETLINK_ROUTE")
    }

    /// Returns the descriptor, to be kept across a fork.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Requests a change: one narrated sendto(2), whose last message must ask for an acknowledgement.
    ///
    /// `goal` completes "cannot …", `text` is the message's type and its important attributes.
    pub fn change(&self, goal: impl Display, text: &str, why: &str, request: Vec<u8>) -> Result<(), Fault> {
        self.change_up_to(goal, text, why, request, 0)
    }

    /// Requests a change as [`Netlink::change`] does, for a batch with `trailers` messages at its end that are never
    /// answered.
    pub fn change_up_to(
        &self,
        goal: impl Display,
        text: &str,
        why: &str,
        mut request: Vec<u8>,
        trailers: u32,
    ) -> Result<(), Fault> {
        let sentence = RefCell::new(None);
        let described = Described { text: format!("sendto(netlink, {text})"), sentence: &sentence };
        call(goal, described, why, || {
            let (first, last) = self.number(&mut request);
            self.send(&request)?;
            self.collect(first, last.wrapping_sub(trailers), |_, _| {}).map_err(|refused| note(refused, &sentence))
        })
        .map_err(capability::needs_net_admin)
    }

    /// Requests information, and returns all messages of the answer.
    pub fn get(&self, goal: impl Display, text: &str, mut request: Vec<u8>) -> Result<Vec<Answer>, Fault> {
        let sentence = RefCell::new(None);
        let described = Described { text: format!("sendto(netlink, {text})"), sentence: &sentence };
        look(goal, described, || {
            for _ in 0..ATTEMPTS {
                let (first, last) = self.number(&mut request);
                self.send(&request)?;
                let mut answers = Vec::new();
                let mut torn = false;
                self.collect(first, last, |header, payload| {
                    torn |= header.flags & NLM_F_DUMP_INTR != 0;
                    if header.kind != NLMSG_DONE {
                        answers.push(Answer { kind: header.kind, payload: payload.to_vec() });
                    }
                })
                .map_err(|refused| note(refused, &sentence))?;
                if !torn {
                    return Ok(answers);
                }
            }
            Err(Errno::EINTR)
        })
    }

    /// Gives each message of a datagram its own number, so that answers can be distinguished; returns the first and the
    /// last.
    fn number(&self, request: &mut [u8]) -> (u32, u32) {
        let first = self.sequence.get();
        let mut next = first;
        let mut start = 0;
        while let Some(header) = Header::read(&request[start..]) {
            request[start + 8..start + 12].copy_from_slice(&next.to_ne_bytes());
            next = next.wrapping_add(1);
            start += align(header.length);
        }
        self.sequence.set(next);
        (first, next.wrapping_sub(1))
    }

    /// The rules of some eighty containers with a published port are longer than what a socket may send by default.
    fn send(&self, request: &[u8]) -> Result<(), Errno> {
        let sent = match retry(|| self.socket.send(request, 0)) {
            Err(Errno::EMSGSIZE) => {
                set_socket_send_buffer_size_force(&self.socket, request.len()).map_err(IntoErrno::into_errno)?;
                retry(|| self.socket.send(request, 0))?
            }
            sent => sent?,
        };
        if sent == request.len() { Ok(()) } else { Err(Errno::EMSGSIZE) }
    }

    /// Reads until the last message is answered, or the first one is refused: a refusal of a whole batch refers to the
    /// first.
    fn collect(&self, first: u32, last: u32, mut receive: impl FnMut(&Header, &[u8])) -> Result<(), Refused> {
        let mut refused = None;
        loop {
            let datagram = self.receive().map_err(|errno| Refused { errno, sentence: None })?;
            let mut rest = &datagram[..];
            while let Some(header) = Header::read(rest) {
                let payload = &rest[HEADER..header.length];
                rest = &rest[align(header.length).min(rest.len())..];
                if header.sequence.wrapping_sub(first) > last.wrapping_sub(first) {
                    continue; // Left over from a request that ended early.
                }
                if header.kind == NLMSG_ERROR {
                    refused = refused.or(Refused::read(&header, payload));
                    if header.sequence == last || refused.is_some() && header.sequence == first {
                        return refused.map_or(Ok(()), Err);
                    }
                    continue;
                }
                receive(&header, payload);
                let is_last = header.kind == NLMSG_DONE || header.flags & NLM_F_MULTIPART == 0;
                if header.sequence == last && is_last {
                    return match header.kind {
                        NLMSG_DONE => Refused::read(&header, payload).map_or(Ok(()), Err),
                        _ => Ok(()),
                    };
                }
            }
        }
    }

    fn receive(&self) -> Result<Vec<u8>, Errno> {
        let mut datagram = Vec::with_capacity(ANSWER);
        let length = retry(|| self.socket.recv(&mut datagram, 0))?;
        if length == 0 || length != datagram.len() { Err(Errno::EMSGSIZE) } else { Ok(datagram) }
    }
}

/// The text of a request, with the kernel's own sentence if there is one.
struct Described<'a> {
    text: String,
    sentence: &'a RefCell<Option<String>>,
}

impl Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.sentence.borrow() {
            Some(sentence) => f.pad(&format!("{}: {sentence}", self.text)),
            None => f.pad(&self.text),
        }
    }
}

/// Keeps the sentence for the error text, and returns the errno.
fn note(refused: Refused, sentence: &RefCell<Option<String>>) -> Errno {
    sentence.replace(refused.sentence);
    refused.errno
}

fn retry<T>(mut act: impl FnMut() -> std::io::Result<T>) -> Result<T, Errno> {
    loop {
        match act().map_err(IntoErrno::into_errno) {
            Err(Errno::EINTR) => {}
            answer => return answer,
        }
    }
}
