//! Bridges that others made, such as one with the host's uplink as a port, for which we turned on forwarding: what their
//! hosts send to each other by way of the host is dropped. `nft(8)`.
//!
//! Pure. The surprise: with br_netfilter, frames that only pass from port to port run through the rules for forwarded
//! packets as well, and look the same there. But only frames for the host itself arrive at the bridge's own device.

use std::net::IpAddr;

use crate::fence::{Bridge, Closed};
use crate::forwarding;
use crate::guard::{IPV4, IPV6};
use crate::nftables::{Chain, Family, Place, Table};
use crate::rule::{AddressType, Header, Meta, Rule};

/// A frame for this host: with another one's hardware address, it is for an interface above the bridge, such as macvlan.
const PACKET_HOST: u8 = 0;
/// Where the type of a frame is in its header.
const TYPE_AT: u32 = 12;

/// Returns the table for these bridges, each with the packets that it did not forward before us; `None` if there are none.
///
/// What `containers` send, and answers to them, is left to the rules for forwarded packets.
pub fn table(name: &str, bridges: &[(&str, Vec<Closed>)], containers: &[&Bridge]) -> Option<Table> {
    let answers: Vec<_> = containers.iter().flat_map(|bridge| &bridge.addresses).map(|ip| at(*ip, true)).collect();
    let chain = |(bridge, closed): &(&str, Vec<Closed>)| {
        let own = containers.iter().filter(|known| known.name == *bridge).flat_map(|known| &known.addresses);
        let own = own.map(|ip| at(*ip, false));
        let rules = own.chain(answers.iter().cloned()).chain(closed.iter().flat_map(|closed| drops(*closed))).collect();
        Chain { name: (*bridge).to_owned(), place: Some(Place::ingress(bridge)), rules }
    };
    let chains: Vec<_> = bridges.iter().filter(|(_, closed)| !closed.is_empty()).map(chain).collect();
    (!chains.is_empty()).then(|| Table { family: Family::Netdev, name: name.to_owned(), comment: None, chains })
}

/// The rule that accepts packets with this destination, or with this source.
fn at(ip: IpAddr, is_destination: bool) -> Vec<Vec<u8>> {
    match (ip, is_destination) {
        (IpAddr::V4(ip), false) => untagged(IPV4).has(Header::Network, 12, &ip.octets()).accept(),
        (IpAddr::V4(ip), true) => untagged(IPV4).has(Header::Network, 16, &ip.octets()).accept(),
        (IpAddr::V6(ip), false) => untagged(IPV6).has(Header::Network, 8, &ip.octets()).accept(),
        (IpAddr::V6(ip), true) => untagged(IPV6).has(Header::Network, 24, &ip.octets()).accept(),
    }
}

/// The rules that drop what the host would have to forward.
fn drops(closed: Closed) -> Vec<Vec<Vec<u8>>> {
    let kinds = match closed {
        Closed::All => vec![IPV4, IPV6],
        Closed::One(forwarding::Family::V4) => vec![IPV4],
        Closed::One(forwarding::Family::V6) => vec![IPV6],
    };
    let drop = |kind| untagged(kind).is(Meta::PacketType, &[PACKET_HOST]).destination_is(AddressType::Unicast).drop();
    kinds.into_iter().map(drop).collect()
}

/// Matches frames without a VLAN tag: those with a tag are for an interface above the bridge.
fn untagged(kind: [u8; 2]) -> Rule {
    Rule::new().has(Header::Link, TYPE_AT, &kind)
}
