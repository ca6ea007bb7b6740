//! The guard of a container's port: a table that passes only what comes from the container's own addresses. `nft(8)`.
//!
//! Pure. The surprise: a table of family netdev sees a frame before the bridge does, so it also keeps apart what never
//! reaches the host's own IP.

use std::net::IpAddr;

use crate::nftables::{Chain, Family, Place, Table};
use crate::rate::Rate;
use crate::rule::{Header, Meta, Rule};

/// What a container may send at once, in bytes: a packet that the kernel did not cut into frames yet, and its successor.
const UPLOAD_BURST: u64 = 2 << 16;
/// The prefix of the name of the table for one port; the name of the port follows.
pub const PREFIX: &str = "netns-rs-";
/// The priority of a packet that came by the port of a container: the letters "nr". A packet that arrives has 0, whatever its
/// sender had. Where priorities are looked at, one that ends with zeros counts as 0; forwarding IPv4 sets it once more.
pub const OF_A_CONTAINER: [u8; 4] = 0x6e72_0000u32.to_ne_bytes();

/// Returns the table for one port: what comes from the container must have one of its own addresses as source, or is
/// dropped before the bridge sees it. Without `addresses` all sources pass.
pub fn table(port: &str, addresses: Option<&[IpAddr]>, rate: Option<Rate>) -> Table {
    let loopback = vec![
        Rule::new().is(Meta::Protocol, &IPV4).has_masked(Header::Network, 16, &[127, 0, 0, 0], &[255, 0, 0, 0]).drop(),
    ];
    let mark = Rule::new().sets(Meta::Priority, &OF_A_CONTAINER).next();
    let limit = rate.map(|rate| Rule::new().over(rate.bytes(), UPLOAD_BURST.max(rate.bytes() / 100)).drop());
    let own = addresses.map_or_else(Vec::new, |own| {
        [internet(own), internet6(own), resolution(own), vec![Rule::new().drop()]].concat()
    });
    let rules = [vec![mark], limit.into_iter().collect(), loopback, own].concat();
    let chain = Chain { name: "ingress".to_owned(), place: Some(Place::ingress(port)), rules };
    Table { family: Family::Netdev, name: format!("{PREFIX}{port}"), comment: None, chains: vec![chain] }
}

/// The type of a frame of IPv4, on the wire.
pub const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
/// The type of a frame of IPv6.
pub const IPV6: [u8; 2] = [0x86, 0xdd];
/// The first of the link-local addresses, fe80::/10.
pub const LINK_LOCAL: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// The mask of `LINK_LOCAL`.
pub const LINK_LOCAL_MASK: [u8; 16] = [0xff, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn internet(addresses: &[IpAddr]) -> Vec<Vec<Vec<u8>>> {
    let own = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => Some(Rule::new().is(Meta::Protocol, &IPV4).has(Header::Network, 12, &ip.octets()).accept()),
        IpAddr::V6(_) => None,
    };
    addresses.iter().filter_map(own).collect()
}

/// Address resolution: a request or an answer contains the sender's address; a probe for a duplicate contains none.
fn resolution(addresses: &[IpAddr]) -> Vec<Vec<Vec<u8>>> {
    const SENDER_AT: u32 = 14;
    let sender = |bytes: [u8; 4]| Rule::new().is(Meta::Protocol, &ARP).has(Header::Network, SENDER_AT, &bytes).accept();
    let own = addresses.iter().filter_map(|ip| match ip {
        IpAddr::V4(ip) => Some(sender(ip.octets())),
        IpAddr::V6(_) => None,
    });
    own.chain([sender([0; 4])]).collect()
}

/// IPv6, if the container has such an address: also from the link-local address, or from none while the kernel looks
/// for a duplicate; but no router advertisement, no redirect, and no claim to have another address. The neighbors, and the host
/// when it forwards, send to the container that advertises an address.
fn internet6(addresses: &[IpAddr]) -> Vec<Vec<Vec<u8>>> {
    const SOURCE_AT: u32 = 8;
    const IPPROTO_ICMPV6: u8 = 58;
    const ADVERTISEMENT: u8 = 134;
    const NEIGHBOR_ADVERTISEMENT: u8 = 136;
    const TARGET_AT: u32 = 8;
    const REDIRECT: u8 = 137;
    let ipv6 = || Rule::new().is(Meta::Protocol, &IPV6);
    let mut own: Vec<_> = addresses
        .iter()
        .filter_map(|ip| match ip {
            IpAddr::V6(ip) => Some(ipv6().has(Header::Network, SOURCE_AT, &ip.octets()).accept()),
            IpAddr::V4(_) => None,
        })
        .collect();
    if own.is_empty() {
        return own;
    }
    own.push(ipv6().has_masked(Header::Network, SOURCE_AT, &LINK_LOCAL, &LINK_LOCAL_MASK).accept());
    own.push(ipv6().has(Header::Network, SOURCE_AT, &[0; 16]).accept());
    let kind = |kind: u8| ipv6().is(Meta::Transport, &[IPPROTO_ICMPV6]).has(Header::Transport, 0, &[kind]);
    let claims = addresses.iter().fold(kind(NEIGHBOR_ADVERTISEMENT), |rule, ip| match ip {
        IpAddr::V6(ip) => rule.has_not(Header::Transport, TARGET_AT, &ip.octets(), &[0xff; 16]),
        IpAddr::V4(_) => rule,
    });
    let claims = claims.has_not(Header::Transport, TARGET_AT, &LINK_LOCAL, &LINK_LOCAL_MASK);
    [vec![kind(ADVERTISEMENT).drop(), kind(REDIRECT).drop(), claims.drop()], own].concat()
}
