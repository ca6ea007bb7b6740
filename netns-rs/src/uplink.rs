//! What must not pass from one port of a bridge to another by way of the host. `nft(8)`.
//!
//! On bridges that others made, such as one with the host's uplink as a port, and for which we turned on forwarding: what
//! their hosts send to each other. On bridges with isolated containers: what is from or to a link-local address.
//!
//! Pure. The surprise: with br_netfilter, frames that only pass from port to port run through the rules for forwarded
//! packets as well, and look the same there. But only frames for the host itself arrive at the bridge's own device. By which
//! port they came is not known there any more, so the guard of a container's port leaves a mark on them: a neighbor can use
//! the container's address. It is no mark of `nft(8)`, which routing rules look at, but a priority.

use std::net::IpAddr;

use crate::fence::{Bridge, Closed};
use crate::forwarding;
use crate::guard::{IPV4, IPV6, LINK_LOCAL, LINK_LOCAL_MASK, OF_A_CONTAINER};
use crate::nftables::{Chain, Family, Place, Table};
use crate::rule::{AddressType, Header, Meta, Rule};

/// A frame for this host: with another one's hardware address, it is for an interface above the bridge, such as macvlan.
const PACKET_HOST: u8 = 0;
/// Where the type of a frame is in its header.
const TYPE_AT: u32 = 12;
/// The types of frames with a VLAN tag: 802.1Q and 802.1ad.
const TAGGED: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];

/// A bridge on whose device packets are examined.
pub struct Watched<'a> {
    /// Its name.
    pub name: &'a str,
    /// The packets that it did not forward before us.
    pub closed: Vec<Closed>,
    /// Whether containers on it are kept apart.
    pub is_apart: bool,
}

/// Returns the table for these bridges; `None` if none of them needs it.
///
/// What `containers` send, and answers to them, is left to the rules for forwarded packets.
pub fn table(name: &str, bridges: &[Watched<'_>], containers: &[&Bridge]) -> Option<Table> {
    let answers: Vec<_> = containers.iter().flat_map(|bridge| &bridge.addresses).map(|ip| to(*ip)).collect();
    let chain = |Watched { name, closed, is_apart }: &Watched<'_>| {
        let mut rules = tags();
        rules.extend(is_apart.then(link_local).into_iter().flatten());
        if !closed.is_empty() {
            let own = containers.iter().filter(|known| known.name == *name).flat_map(|known| &known.addresses);
            rules.extend(own.map(|ip| from(*ip)).chain(answers.iter().cloned()));
            rules.extend(closed.iter().flat_map(|closed| drops(*closed)));
        }
        Chain { name: (*name).to_owned(), place: Some(Place::ingress(name)), rules }
    };
    let chains: Vec<_> = bridges.iter().filter(|own| own.is_apart || !own.closed.is_empty()).map(chain).collect();
    (!chains.is_empty()).then(|| Table { family: Family::Netdev, name: name.to_owned(), comment: None, chains })
}

/// The rules for frames with a VLAN tag. Those of a VLAN are for an interface above the bridge; if there is none, the
/// kernel ignores them. VLAN 0 is none: the kernel removes each such tag and treats the frame as one without it. It has
/// removed only the first one by now, and a second one hides what the packet is.
fn tags() -> Vec<Vec<Vec<u8>>> {
    const TAG_AT: u32 = 14;
    const VLAN: [u8; 2] = [0x0f, 0xff];
    let of_a_vlan =
        |kind: [u8; 2]| Rule::new().has(Header::Link, TYPE_AT, &kind).has_any(Header::Link, TAG_AT, &VLAN).accept();
    let twice = |kind: [u8; 2]| Rule::new().is(Meta::Protocol, &kind).is(Meta::PacketType, &[PACKET_HOST]).drop();
    TAGGED.into_iter().map(of_a_vlan).chain(TAGGED.into_iter().map(twice)).collect()
}

/// The rules that drop what the host would route from or to a link-local address, or from none. The kernel does so if the
/// packet leaves by the interface on which it came; isolated containers would reach each other.
fn link_local() -> Vec<Vec<Vec<u8>>> {
    const SOURCE_AT: u32 = 8;
    const DESTINATION_AT: u32 = 24;
    let ipv6 = || Rule::new().is(Meta::Protocol, &IPV6);
    let matches = [
        ipv6().has_masked(Header::Network, SOURCE_AT, &LINK_LOCAL, &LINK_LOCAL_MASK),
        ipv6().has(Header::Network, SOURCE_AT, &[0; 16]),
        ipv6().has_masked(Header::Network, DESTINATION_AT, &LINK_LOCAL, &LINK_LOCAL_MASK),
    ];
    matches.into_iter().map(routed).collect()
}

/// Ends a rule so that it drops what the host would have to forward.
fn routed(rule: Rule) -> Vec<Vec<u8>> {
    rule.is(Meta::PacketType, &[PACKET_HOST]).destination_is(AddressType::Unicast).drop()
}

/// The rule that accepts packets with this destination.
fn to(ip: IpAddr) -> Vec<Vec<u8>> {
    at(ip, (16, 24)).accept()
}

/// The rule that accepts packets with this source that came by the port of a container, and makes them like others.
fn from(ip: IpAddr) -> Vec<Vec<u8>> {
    at(ip, (12, 8)).is(Meta::Priority, &OF_A_CONTAINER).sets(Meta::Priority, &[0; 4]).accept()
}

/// Matches packets with this address at one of two offsets: that for IPv4, that for IPv6.
fn at(ip: IpAddr, (in_ipv4, in_ipv6): (u32, u32)) -> Rule {
    match ip {
        IpAddr::V4(ip) => Rule::new().is(Meta::Protocol, &IPV4).has(Header::Network, in_ipv4, &ip.octets()),
        IpAddr::V6(ip) => Rule::new().is(Meta::Protocol, &IPV6).has(Header::Network, in_ipv6, &ip.octets()),
    }
}

/// The rules that drop what the host would have to forward.
fn drops(closed: Closed) -> Vec<Vec<Vec<u8>>> {
    let kinds = match closed {
        Closed::All => vec![IPV4, IPV6],
        Closed::One(forwarding::Family::V4) => vec![IPV4],
        Closed::One(forwarding::Family::V6) => vec![IPV6],
    };
    kinds.into_iter().map(|kind| routed(Rule::new().is(Meta::Protocol, &kind))).collect()
}
