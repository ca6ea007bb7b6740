//! Rules of nf_tables: what nft(8) would compile them to, one expression after another over a register. `nft(8)`.
//!
//! A rule's expressions run until one does not match. The surprise: nearly all numbers in the messages are big-endian,
//! but a value that a rule loads into a register has the kernel's own order: the state of a connection that of the
//! processor, a protocol that of the wire.

use std::net::IpAddr;

use crate::message::{attribute, nested, number, string};

const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const REGISTER: u32 = 1;
const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;

/// The number of IPv4 among the families.
pub const NFPROTO_IPV4: u8 = 2;
/// The number of IPv6.
pub const NFPROTO_IPV6: u8 = 10;

/// A header of a packet.
#[derive(Clone, Copy)]
pub enum Header {
    /// `NFT_PAYLOAD_LL_HEADER`: with the type 0x8100 for a frame with a VLAN tag, whose `Meta::Protocol` is that inside.
    Link = 0,
    /// `NFT_PAYLOAD_NETWORK_HEADER`, which is also that of ARP.
    Network = 1,
    /// `NFT_PAYLOAD_TRANSPORT_HEADER`
    Transport = 2,
}

/// A property of a packet: `enum nft_meta_keys`.
#[derive(Clone, Copy)]
pub enum Meta {
    /// The type of the frame's content, as on the wire.
    Protocol = 1,
    /// The priority of the packet on this host, in the processor's own order; 0 when a packet arrives.
    Priority = 2,
    /// The name of the interface on which it arrived.
    InName = 6,
    /// The name of the interface on which it leaves.
    OutName = 7,
    /// The family: IPv4 or IPv6.
    Family = 15,
    /// The protocol above IP.
    Transport = 16,
    /// Whose frame it is: `PACKET_HOST`, another's…
    PacketType = 19,
}

/// A property known to connection tracking: `enum nft_ct_keys`.
#[derive(Clone, Copy)]
pub enum Tracked {
    /// The state: new, established…
    State = 0,
    /// What was done to the connection.
    Status = 2,
}

/// What an address is for the host: `RTN_*` of `rtnetlink(7)`.
#[derive(Clone, Copy)]
pub enum AddressType {
    /// That of another host.
    Unicast = 1,
    /// One of its own.
    Local = 2,
}

/// A rule that is being written.
#[derive(Default)]
pub struct Rule(Vec<Vec<u8>>);

impl Rule {
    /// Returns an empty rule, which matches every packet.
    pub fn new() -> Rule {
        Rule::default()
    }

    /// Adds `iifname INTERFACE`.
    pub fn comes_by(self, interface: &str) -> Rule {
        self.meta(Meta::InName, EQUAL, &interface_name(interface))
    }

    /// Adds `iifname != INTERFACE`.
    pub fn comes_not_by(self, interface: &str) -> Rule {
        self.meta(Meta::InName, UNEQUAL, &interface_name(interface))
    }

    /// Adds `oifname INTERFACE`.
    pub fn leaves_by(self, interface: &str) -> Rule {
        self.meta(Meta::OutName, EQUAL, &interface_name(interface))
    }

    /// Adds `oifname != INTERFACE`.
    pub fn leaves_not_by(self, interface: &str) -> Rule {
        self.meta(Meta::OutName, UNEQUAL, &interface_name(interface))
    }

    /// Adds `meta KEY VALUE`.
    pub fn is(self, key: Meta, value: &[u8]) -> Rule {
        self.meta(key, EQUAL, value)
    }

    /// Adds `ip saddr SOURCE` or `ip6 saddr SOURCE`, for hooks that see both families.
    pub fn source(self, source: IpAddr) -> Rule {
        self.address(source, 12, 8)
    }

    /// Adds `ip daddr DESTINATION` or `ip6 daddr DESTINATION`, for hooks that see both families.
    pub fn destination(self, destination: IpAddr) -> Rule {
        self.address(destination, 16, 24)
    }

    fn address(self, address: IpAddr, at_in_ipv4: u32, at_in_ipv6: u32) -> Rule {
        match address {
            IpAddr::V4(ip) => self.is(Meta::Family, &[NFPROTO_IPV4]).has(Header::Network, at_in_ipv4, &ip.octets()),
            IpAddr::V6(ip) => self.is(Meta::Family, &[NFPROTO_IPV6]).has(Header::Network, at_in_ipv6, &ip.octets()),
        }
    }

    /// Matches if these bytes are at this offset of a header.
    pub fn has(mut self, header: Header, at: u32, bytes: &[u8]) -> Rule {
        self.load(header, at, bytes.len() as u32);
        self.compare(EQUAL, bytes)
    }

    /// Matches if other bytes are at this offset of a header, as far as `mask` has bits.
    pub fn has_not(mut self, header: Header, at: u32, bytes: &[u8], mask: &[u8]) -> Rule {
        self.load(header, at, bytes.len() as u32);
        self.mask(mask);
        self.compare(UNEQUAL, bytes)
    }

    /// Adds `ip daddr 127.0.0.0/8`.
    pub fn loopback_destination(self) -> Rule {
        self.is(Meta::Family, &[NFPROTO_IPV4]).has_masked(Header::Network, 16, &[127, 0, 0, 0], &[255, 0, 0, 0])
    }

    /// Adds `ip saddr 127.0.0.0/8`.
    pub fn loopback_source(self) -> Rule {
        self.is(Meta::Family, &[NFPROTO_IPV4]).has_masked(Header::Network, 12, &[127, 0, 0, 0], &[255, 0, 0, 0])
    }

    /// Matches if the bytes at this offset of a header begin with some bits: those of `mask`.
    pub fn has_masked(mut self, header: Header, at: u32, bytes: &[u8], mask: &[u8]) -> Rule {
        self.load(header, at, bytes.len() as u32);
        self.mask(mask);
        self.compare(EQUAL, bytes)
    }

    /// Matches if one of these bits is set at this offset of a header.
    pub fn has_any(mut self, header: Header, at: u32, bits: &[u8]) -> Rule {
        self.load(header, at, bits.len() as u32);
        self.mask(bits);
        self.compare(UNEQUAL, &vec![0; bits.len()])
    }

    /// Matches if connection tracking has one of these bits.
    pub fn tracked(mut self, key: Tracked, bits: u32) -> Rule {
        self.0.push(expression("ct", &[number(1, REGISTER), number(2, key as u32)]));
        self.mask(&bits.to_ne_bytes());
        self.compare(UNEQUAL, &0u32.to_ne_bytes())
    }

    /// Adds `fib daddr type TYPE`: an address of the host, or of somewhere else.
    pub fn destination_is(mut self, kind: AddressType) -> Rule {
        let (destination, by_address_type) = (2, 3);
        self.0.push(expression("fib", &[number(1, REGISTER), number(2, by_address_type), number(3, destination)]));
        self.compare(EQUAL, &(kind as u32).to_ne_bytes())
    }

    /// Adds `tcp dport PORT` or `udp dport PORT`.
    pub fn port(self, is_udp: bool, port: u16) -> Rule {
        let protocol = if is_udp { IPPROTO_UDP } else { IPPROTO_TCP };
        self.is(Meta::Transport, &[protocol]).has(Header::Transport, 2, &port.to_be_bytes())
    }

    /// Ends the rule with `dnat to ADDRESS:PORT`.
    pub fn redirect(mut self, to: IpAddr, port: u16) -> Vec<Vec<u8>> {
        let (destination_nat, second_register) = (1, 2);
        let (family, address) = match to {
            IpAddr::V4(ip) => (NFPROTO_IPV4, ip.octets().to_vec()),
            IpAddr::V6(ip) => (NFPROTO_IPV6, ip.octets().to_vec()),
        };
        self.0.push(immediate(REGISTER, &address));
        self.0.push(immediate(second_register, &port.to_be_bytes()));
        let kind = [number(1, destination_nat), number(2, u32::from(family))];
        self.0.push(expression("nat", &[kind.concat(), number(3, REGISTER), number(5, second_register)]));
        self.0
    }

    /// Adds `limit rate over BYTES bytes/second burst BURST bytes`.
    pub fn over(mut self, bytes: u64, burst: u64) -> Rule {
        let (by_bytes, over, seconds) = (1, 1, 1u64);
        let wide = |kind, value: u64| attribute(kind, &value.to_be_bytes());
        let burst = number(3, u32::try_from(burst).unwrap_or(u32::MAX));
        self.0.push(expression(
            "limit",
            &[wide(1, bytes), wide(2, seconds), burst, number(4, by_bytes), number(5, over)],
        ));
        self
    }

    /// Adds `meta KEY set VALUE`.
    pub fn sets(mut self, key: Meta, value: &[u8]) -> Rule {
        self.0.push(immediate(REGISTER, value));
        self.0.push(expression("meta", &[number(2, key as u32), number(3, REGISTER)]));
        self
    }

    /// Ends the rule with `accept`: this table has finished with the packet; another one may still drop it.
    pub fn accept(self) -> Vec<Vec<u8>> {
        self.ends(1, None)
    }

    /// Ends the rule with `drop`, whatever other tables decide.
    pub fn drop(self) -> Vec<Vec<u8>> {
        self.ends(0, None)
    }

    /// Ends the rule without a verdict: the next rule continues.
    pub fn next(self) -> Vec<Vec<u8>> {
        self.0
    }

    /// Ends the rule with `jump CHAIN`: that chain's rules, then the next rule here.
    pub fn jump(self, chain: &str) -> Vec<Vec<u8>> {
        const NFT_JUMP: i32 = -3;
        self.ends(NFT_JUMP as u32, Some(chain))
    }

    /// Ends the rule with `masquerade`: the packet gets the address of the interface on which it leaves.
    pub fn masquerade(mut self) -> Vec<Vec<u8>> {
        self.0.push(expression("masq", &[]));
        self.0
    }

    fn ends(mut self, code: u32, chain: Option<&str>) -> Vec<Vec<u8>> {
        let (verdict_register, data_verdict, verdict_code, verdict_chain) = (0, 2, 1, 2);
        let mut parts = vec![number(verdict_code, code)];
        parts.extend(chain.map(|chain| string(verdict_chain, chain)));
        let data = nested(2, &[nested(data_verdict, &parts)]);
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

/// Pads the name: the kernel compares whole fields of IFNAMSIZ bytes.
fn interface_name(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

fn immediate(register: u32, bytes: &[u8]) -> Vec<u8> {
    expression("immediate", &[number(1, register), nested(2, &[attribute(1, bytes)])])
}

fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    let (element, expression_name, expression_data) = (1, 1, 2);
    nested(element, &[string(expression_name, name), nested(expression_data, data)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_one_expression_after_another() {
        let rule = Rule::new().comes_by("box0").source(IpAddr::from([10, 88, 0, 2])).accept();
        assert_eq!(rule.len(), 7, "meta cmp, meta cmp, payload cmp, immediate");
        assert!(rule.iter().all(|expression| expression.len() % 4 == 0));
    }
}
