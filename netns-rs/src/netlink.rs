//! Netlink sockets: one datagram out, the kernel's answers in, synchronously. `netlink(7)`, `rtnetlink(7)`.
//!
//! A socket belongs to the network namespace that it was opened in, for as long as it lives: that is how one process
//! configures two namespaces. An answer may carry a sentence about what was wrong (the extended ACK), which the bare
//! errno hides.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Display};
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_MULTIPART, NLM_F_REQUEST,
    NetlinkHeader, NetlinkMessage, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use plumbing::Fault;
use plumbing::fault::IntoErrno;
use plumbing::kernel::{call, look};

use crate::capability;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;
/// `NLMSGERR_ATTR_MSG`: the sentence in an extended ACK.
const SENTENCE: u16 = 1;
/// More than the kernel ever puts into one answer (it fills at most 32 KiB of a dump at once).
const ANSWER: usize = 64 << 10;
/// How often a dump that changed while it was read is started over.
const ATTEMPTS: u32 = 16;

/// An open netlink socket.
pub struct Netlink {
    socket: Socket,
    sequence: Cell<u32>,
}

/// One message of the kernel's answer.
pub struct Answer {
    /// Its type, such as `RTM_NEWLINK`.
    pub kind: u16,
    /// What follows the netlink header.
    pub payload: Vec<u8>,
}

impl Netlink {
    /// Opens a socket in the network namespace that we are in; `protocol` is named `name`.
    pub fn open(protocol: isize, name: &str) -> Result<Netlink, Fault> {
        let text = format!("socket(AF_NETLINK, SOCK_DGRAM, {name})");
        let socket = look("talk to the kernel about the network", text, || {
            let mut socket = Socket::new(protocol)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_ext_ack(true)?;
            socket.set_cap_ack(true)?;
            Ok::<_, std::io::Error>(socket)
        })?;
        Ok(Netlink { socket, sequence: Cell::new(1) })
    }

    /// Opens an rtnetlink socket in the network namespace that we are in.
    pub fn route() -> Result<Netlink, Fault> {
        Netlink::open(netlink_sys::protocols::NETLINK_ROUTE, "NETLINK_ROUTE")
    }

    /// The descriptor, to be kept across a fork.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Asks for a change: one narrated sendto(2), whose last message must ask for an acknowledgement.
    ///
    /// `goal` completes "cannot …", `text` tells the message's type and the attributes that matter.
    pub fn change(&self, goal: impl Display, text: &str, why: &str, request: Vec<u8>) -> Result<(), Fault> {
        self.change_up_to(goal, text, why, request, 0)
    }

    /// As [`Netlink::change`], for a batch with `trailers` messages at its end that are never answered.
    pub fn change_up_to(
        &self,
        goal: impl Display,
        text: &str,
        why: &str,
        mut request: Vec<u8>,
        trailers: u32,
    ) -> Result<(), Fault> {
        let sentence = RefCell::new(None);
        let told = Told { text: format!("sendto(netlink, {text})"), sentence: &sentence };
        call(goal, told, why, || {
            let (first, last) = self.number(&mut request);
            self.send(&request)?;
            self.collect(first, last.wrapping_sub(trailers), |_, _| {}).map_err(|refused| refused.note(&sentence))
        })
        .map_err(capability::needs_net_admin)
    }

    /// Asks for information: all messages of the answer.
    pub fn get(&self, goal: impl Display, text: &str, mut request: Vec<u8>) -> Result<Vec<Answer>, Fault> {
        let sentence = RefCell::new(None);
        let told = Told { text: format!("sendto(netlink, {text})"), sentence: &sentence };
        look(goal, told, || {
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
                .map_err(|refused| refused.note(&sentence))?;
                if !torn {
                    return Ok(answers);
                }
            }
            Err(Errno::EINTR)
        })
    }

    /// Gives each message of a datagram its own number, so that answers can be told apart; answers first and last.
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

    fn send(&self, request: &[u8]) -> Result<(), Errno> {
        let sent = retry(|| self.socket.send(request, 0))?;
        if sent == request.len() { Ok(()) } else { Err(Errno::EMSGSIZE) }
    }

    /// Reads until the last message is answered, or the first one refused: what refuses a whole batch refuses that.
    fn collect(&self, first: u32, last: u32, mut hear: impl FnMut(&Header, &[u8])) -> Result<(), Refused> {
        let mut refused = None;
        loop {
            let datagram = self.receive().map_err(Refused::plain)?;
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
                hear(&header, payload);
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

/// A request that changes something and is to be acknowledged, as bytes.
pub fn change_request<M: NetlinkSerializable>(message: M, flags: u16) -> Vec<u8> {
    serialize(message, NLM_F_REQUEST | NLM_F_ACK | flags)
}

/// A request for one object, as bytes.
pub fn get_request<M: NetlinkSerializable>(message: M) -> Vec<u8> {
    serialize(message, NLM_F_REQUEST)
}

/// A request for all objects, as bytes.
pub fn dump_request<M: NetlinkSerializable>(message: M) -> Vec<u8> {
    serialize(message, NLM_F_REQUEST | NLM_F_DUMP)
}

fn serialize<M: NetlinkSerializable>(message: M, flags: u16) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut packet = NetlinkMessage::new(header, netlink_packet_core::NetlinkPayload::InnerMessage(message));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    bytes
}

/// The head of a message: `struct nlmsghdr`.
struct Header {
    length: usize,
    kind: u16,
    flags: u16,
    sequence: u32,
}

impl Header {
    /// `None` at the end, and where a length leads out of the datagram.
    fn read(bytes: &[u8]) -> Option<Header> {
        let length = u32_at(bytes, 0)? as usize;
        let head = Header { length, kind: u16_at(bytes, 4)?, flags: u16_at(bytes, 6)?, sequence: u32_at(bytes, 8)? };
        (HEADER..=bytes.len()).contains(&length).then_some(head)
    }
}

/// What the kernel says when it refuses.
#[derive(Debug)]
struct Refused {
    errno: Errno,
    sentence: Option<String>,
}

impl Refused {
    fn plain(errno: Errno) -> Refused {
        Refused { errno, sentence: None }
    }

    /// Reads `struct nlmsgerr`, or the code that ends a dump; `None` when it says that all went well.
    fn read(header: &Header, payload: &[u8]) -> Option<Refused> {
        let code = u32_at(payload, 0).map_or(0, |code| code as i32);
        if code >= 0 {
            return None;
        }
        let request = match header.kind {
            NLMSG_ERROR if header.flags & NLM_F_CAPPED != 0 => HEADER,
            NLMSG_ERROR => align(u32_at(payload, 4).unwrap_or(0) as usize),
            _ => 0,
        };
        let sentence = (header.flags & NLM_F_ACK_TLVS != 0)
            .then(|| attributes(payload.get(4 + request..).unwrap_or_default()))
            .and_then(|all| all.into_iter().find(|(kind, _)| *kind == SENTENCE))
            .map(|(_, text)| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
        Some(Refused { errno: Errno::from_raw(-code), sentence })
    }

    fn note(self, sentence: &RefCell<Option<String>>) -> Errno {
        sentence.replace(self.sentence);
        self.errno
    }
}

/// The attributes that follow one another in `bytes`: type (without its flags) and value.
pub fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    const NLA_TYPE_MASK: u16 = 0x3fff;
    let mut found = Vec::new();
    while let (Some(length), Some(kind)) = (u16_at(bytes, 0), u16_at(bytes, 2)) {
        let length = usize::from(length);
        if !(4..=bytes.len()).contains(&length) {
            break;
        }
        found.push((kind & NLA_TYPE_MASK, &bytes[4..length]));
        bytes = &bytes[align(length).min(bytes.len())..];
    }
    found
}

/// The text of a request, with the kernel's own sentence once there is one.
struct Told<'a> {
    text: String,
    sentence: &'a RefCell<Option<String>>,
}

impl Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.sentence.borrow() {
            Some(sentence) => f.pad(&format!("{}: {sentence}", self.text)),
            None => f.pad(&self.text),
        }
    }
}

fn retry<T>(mut act: impl FnMut() -> std::io::Result<T>) -> Result<T, Errno> {
    loop {
        match act().map_err(IntoErrno::into_errno) {
            Err(Errno::EINTR) => {}
            answer => return answer,
        }
    }
}

/// Netlink pads messages and attributes to four bytes.
pub fn align(length: usize) -> usize {
    (length + 3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_with_its_sentence() {
        let sentence = b"Unknown device type\0";
        let mut payload = (-95i32).to_ne_bytes().to_vec();
        payload.extend_from_slice(&[0; HEADER]);
        payload.extend_from_slice(&(4 + sentence.len() as u16).to_ne_bytes());
        payload.extend_from_slice(&SENTENCE.to_ne_bytes());
        payload.extend_from_slice(sentence);
        let header = Header { length: 0, kind: NLMSG_ERROR, flags: NLM_F_CAPPED | NLM_F_ACK_TLVS, sequence: 1 };
        let refused = Refused::read(&header, &payload).unwrap();
        assert_eq!(refused.errno, Errno::EOPNOTSUPP);
        assert_eq!(refused.sentence.as_deref(), Some("Unknown device type"));
        assert!(Refused::read(&header, &0i32.to_ne_bytes()).is_none());
    }

    #[test]
    fn lengths_that_lead_astray_end_the_reading() {
        assert!(Header::read(&[255; 16]).is_none());
        assert!(Header::read(&[0; 16]).is_none());
        assert!(attributes(&[0, 0, 1, 0]).is_empty());
        assert_eq!(attributes(&[5, 0, 1, 0, 7, 0, 0]), [(1, &[7][..])]);
    }
}
