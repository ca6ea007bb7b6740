//! Rules of nf_tables: what nft(8) would compile them to, one expression after another over a register. `nft(8)`.
//!
//! A rule's expressions run until one does not match. The surprise: nearly all numbers in the messages are big-endian,
//! but what a rule loads into a register is as the kernel has it: the state of a connection in the processor's order,
//! a protocol as on the wire.

use std::net::IpAddr;

use crate::message::align;

const NESTED: u16 = 1 << 15;
const REGISTER: u32 = 1;
const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;

/// The number of IPv4 among the families.
pub const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

/// A header of a packet.
#[derive(Clone, Copy)]
pub enum Header {
    /// `NFT_PAYLOAD_NETWORK_HEADER`, that of ARP, too.
    Network = 1,
    /// `NFT_PAYLOAD_TRANSPORT_HEADER`
    Transport = 2,
}

/// What is known of a packet: `enum nft_meta_keys`.
#[derive(Clone, Copy)]
pub enum Meta {
    /// The type of the frame's content, as on the wire.
    Protocol = 1,
    /// The name of the interface that it came in by.
    InName = 6,
    /// The name of the interface that it leaves by.
    OutName = 7,
    /// The family: IPv4 or IPv6.
    Family = 15,
    /// The protocol above IP.
    Transport = 16,
}

/// What connection tracking knows: `enum nft_ct_keys`.
#[derive(Clone, Copy)]
pub enum Tracked {
    /// New, established…
    State = 0,
    /// What was done to it.
    Status = 2,
}

/// A rule that is being written.
#[derive(Default)]
pub struct Rule(Vec<Vec<u8>>);

impl Rule {
    /// An empty rule, which holds for every packet.
    pub fn new() -> Rule {
        Rule::default()
    }

    /// `iifname INTERFACE`
    pub fn comes_by(self, interface: &str) -> Rule {
        self.meta(Meta::InName, EQUAL, &interface_name(interface))
    }

    /// `oifname INTERFACE`
    pub fn leaves_by(self, interface: &str) -> Rule {
        self.meta(Meta::OutName, EQUAL, &interface_name(interface))
    }

    /// `oifname != INTERFACE`
    pub fn leaves_not_by(self, interface: &str) -> Rule {
        self.meta(Meta::OutName, UNEQUAL, &interface_name(interface))
    }

    /// `meta KEY VALUE`
    pub fn is(self, key: Meta, value: &[u8]) -> Rule {
        self.meta(key, EQUAL, value)
    }

    /// `ip saddr SOURCE` or `ip6 saddr SOURCE`, where both families may come.
    pub fn source(self, source: IpAddr) -> Rule {
        self.address(source, 12, 8)
    }

    /// `ip daddr DESTINATION` or `ip6 daddr DESTINATION`, where both families may come.
    pub fn destination(self, destination: IpAddr) -> Rule {
        self.address(destination, 16, 24)
    }

    fn address(self, address: IpAddr, at_in_ipv4: u32, at_in_ipv6: u32) -> Rule {
        match address {
            IpAddr::V4(ip) => self.is(Meta::Family, &[NFPROTO_IPV4]).has(Header::Network, at_in_ipv4, &ip.octets()),
            IpAddr::V6(ip) => self.is(Meta::Family, &[NFPROTO_IPV6]).has(Header::Network, at_in_ipv6, &ip.octets()),
        }
    }

    /// Whether these bytes are at this place of a header.
    pub fn has(mut self, header: Header, at: u32, bytes: &[u8]) -> Rule {
        self.load(header, at, bytes.len() as u32);
        self.compare(EQUAL, bytes)
    }

    /// Whether the bytes at this place of a header begin with some bits: those of `mask`.
    pub fn has_masked(mut self, header: Header, at: u32, bytes: &[u8], mask: &[u8]) -> Rule {
        self.load(header, at, bytes.len() as u32);
        self.mask(mask);
        self.compare(EQUAL, bytes)
    }

    /// Whether connection tracking knows one of these bits.
    pub fn tracked(mut self, key: Tracked, bits: u32) -> Rule {
        self.0.push(expression("ct", &[number(1, REGISTER), number(2, key as u32)]));
        self.mask(&bits.to_ne_bytes());
        self.compare(UNEQUAL, &0u32.to_ne_bytes())
    }

    /// `accept`: this table has no more to say of the packet; another one may still drop it.
    pub fn accept(self) -> Vec<Vec<u8>> {
        self.verdict(1)
    }

    /// `drop`: whatever any table says.
    pub fn drop(self) -> Vec<Vec<u8>> {
        self.verdict(0)
    }

    /// `masquerade`: the packet gets the address of the interface that it leaves by.
    pub fn masquerade(mut self) -> Vec<Vec<u8>> {
        self.0.push(expression("masq", &[]));
        self.0
    }

    fn verdict(mut self, code: u32) -> Vec<Vec<u8>> {
        let (verdict_register, data_verdict, verdict_code) = (0, 2, 1);
        let data = nested(2, &[nested(data_verdict, &[number(verdict_code, code)])]);
        self.0.push(expression("immediate", &[number(1, verdict_register), data]));
        self.0
    }

    fn meta(mut self, key: Meta, operator: u32, value: &[u8]) -> Rule {
        self.0.push(expression("meta", &[number(1, REGISTER), number(2, key as u32)]));
        self.compare(operator, value)
    }

    fn load(&mut self, header: Header, at: u32, length: u32) {
        let place = [number(1, REGISTER), number(2, header as u32), number(3, at), number(4, length)];
        self.0.push(expression("payload", &place));
    }

    fn mask(&mut self, mask: &[u8]) {
        let value = |kind, bytes: &[u8]| nested(kind, &[attribute(1, bytes)]);
        let registers = [number(1, REGISTER), number(2, REGISTER), number(3, mask.len() as u32)];
        let values = [value(4, mask), value(5, &vec![0; mask.len()])];
        self.0.push(expression("bitwise", &[registers.concat(), values.concat()]));
    }

    fn compare(mut self, operator: u32, value: &[u8]) -> Rule {
        let value = nested(3, &[attribute(1, value)]);
        self.0.push(expression("cmp", &[number(1, REGISTER), number(2, operator), value]));
        self
    }
}

/// The kernel compares whole fields of IFNAMSIZ bytes.
fn interface_name(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    let (element, expression_name, expression_data) = (1, 1, 2);
    nested(element, &[string(expression_name, name), nested(expression_data, data)])
}

/// An attribute: length, type, value, padded to four bytes.
pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len();
    let mut bytes = (length as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(align(length), 0);
    bytes
}

/// An attribute that holds attributes.
pub fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NESTED, &parts.concat())
}

/// An attribute that holds text.
pub fn string(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), b"\0"].concat())
}

/// An attribute that holds a number, big-endian.
pub fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_but_their_length_is_not() {
        assert_eq!(string(1, "ab"), [7, 0, 1, 0, b'a', b'b', 0, 0]);
        assert_eq!(number(2, 100), [8, 0, 2, 0, 0, 0, 0, 100]);
    }

    #[test]
    fn a_rule_is_one_expression_after_another() {
        let rule = Rule::new().comes_by("box0").source(IpAddr::from([10, 88, 0, 2])).accept();
        assert_eq!(rule.len(), 7, "meta cmp, meta cmp, payload cmp, immediate");
        assert!(rule.iter().all(|expression| expression.len() % 4 == 0));
    }
}
