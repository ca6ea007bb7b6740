//! Netlink messages as bytes: a header, then attributes, each padded to four bytes. `netlink(7)`.
//!
//! A refused request is answered with its header, and the sentence that explains the refusal is an attribute after
//! that. The sender chooses the lengths: none of them is followed beyond the datagram.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use nix::errno::Errno;

/// An acknowledgement or a refusal.
pub const NLMSG_ERROR: u16 = 2;
/// The end of a dump.
pub const NLMSG_DONE: u16 = 3;
/// The length of `struct nlmsghdr`.
pub const HEADER: usize = 16;
/// `NLA_F_NESTED`
const NESTED: u16 = 1 << 15;
/// `NLMSGERR_ATTR_MSG`: the sentence in an extended ACK.
const SENTENCE: u16 = 1;

/// Returns a request for a change with acknowledgement, as bytes.
pub fn change_request<M: NetlinkSerializable>(message: M, flags: u16) -> Vec<u8> {
    serialize(message, NLM_F_REQUEST | NLM_F_ACK | flags)
}

/// Returns a request for one object, as bytes.
pub fn get_request<M: NetlinkSerializable>(message: M) -> Vec<u8> {
    serialize(message, NLM_F_REQUEST)
}

/// Returns a request for all objects, as bytes.
pub fn dump_request<M: NetlinkSerializable>(message: M) -> Vec<u8> {
    serialize(message, NLM_F_REQUEST | NLM_F_DUMP)
}

fn serialize<M: NetlinkSerializable>(message: M, flags: u16) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    bytes
}

/// Makes a message of bytes; the socket numbers it.
pub fn plain(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = ((HEADER + payload.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(payload);
    bytes
}

/// The header of a message: `struct nlmsghdr`.
pub struct Header {
    /// The length of the whole message.
    pub length: usize,
    /// Its type, such as `RTM_NEWLINK`.
    pub kind: u16,
    /// Its flags: `NLM_F_*`.
    pub flags: u16,
    /// The number of the request that it answers.
    pub sequence: u32,
}

impl Header {
    /// Reads a header; `None` at the end, and if a length leads out of the datagram.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let length = u32_at(bytes, 0)? as usize;
        let head = Header { length, kind: u16_at(bytes, 4)?, flags: u16_at(bytes, 6)?, sequence: u32_at(bytes, 8)? };
        (HEADER..=bytes.len()).contains(&length).then_some(head)
    }
}

/// The kernel's answer to a refused request.
#[derive(Debug)]
pub struct Refused {
    /// The code of the refusal.
    pub errno: Errno,
    /// The kernel's explanation, if there is one.
    pub sentence: Option<String>,
}

impl Refused {
    /// Reads `struct nlmsgerr`, or the code that ends a dump; `None` if it reports success.
    pub fn read(header: &Header, payload: &[u8]) -> Option<Refused> {
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
}

/// Returns the consecutive attributes in `bytes`: type (without its flags) and value.
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

/// Makes an attribute: length, type, value, padded to four bytes.
pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len();
    let mut bytes = (length as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(align(length), 0);
    bytes
}

/// Makes an attribute that contains attributes.
pub fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NESTED, &parts.concat())
}

/// Makes an attribute that contains text.
pub fn string(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), b"\0"].concat())
}

/// Makes an attribute that contains a number, big-endian.
pub fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

/// Rounds up: netlink pads messages and attributes to four bytes.
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
    fn attributes_are_padded_but_their_length_is_not() {
        assert_eq!(string(1, "ab"), [7, 0, 1, 0, b'a', b'b', 0, 0]);
        assert_eq!(number(2, 100), [8, 0, 2, 0, 0, 0, 0, 100]);
    }

    #[test]
    fn an_invalid_length_ends_the_reading() {
        assert!(Header::read(&[255; 16]).is_none());
        assert!(Header::read(&[0; 16]).is_none());
        assert!(attributes(&[0, 0, 1, 0]).is_empty());
        assert_eq!(attributes(&[5, 0, 1, 0, 7, 0, 0]), [(1, &[7][..])]);
    }
}
