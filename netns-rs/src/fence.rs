//! The rules for containers: which addresses each may send from, and where those behind NAT may be forwarded to.
//! `nft(8)`.
//!
//! Pure: the rules follow from what the links on the host say. The surprise: "accept" ends only one chain, while "drop"
//! is final, whatever other tables say. So nothing is dropped that was forwarded before we opened an interface.

use std::net::IpAddr;

use crate::forwarding::{self, Family, Opened};
use crate::link::Link;
use crate::mark::Mark;
use crate::nftables::{self, Chain, LONGEST_COMMENT, Table};
use crate::publish::Published;
use crate::rate::Rate;
use crate::rule::{Header, Meta, NFPROTO_IPV4, NFPROTO_IPV6, Rule, Tracked};
use crate::survey::Survey;

/// What a container may send at once, in bytes: a packet that the kernel did not cut into frames yet, and its successor.
const UPLOAD_BURST: u64 = 2 << 16;
/// The name of the table that all containers of a host share.
pub const FENCE: &str = "netns-rs";
/// The prefix of the name of a table for one port; the name of the port follows.
pub const GUARD: &str = "netns-rs-";

/// A bit of `enum ip_conntrack_status`: the destination was rewritten.
const IPS_DST_NAT: u32 = 1 << 5;

/// The rules for one bridge with containers behind NAT.
#[derive(Debug, Default, PartialEq, Eq)]
struct Bridge {
    name: String,
    /// The addresses of all our containers on it.
    addresses: Vec<IpAddr>,
    /// The addresses of those behind NAT.
    behind_nat: Vec<IpAddr>,
    /// The published ports, each with the address of the container.
    published: Vec<(Published, IpAddr)>,
    /// Which other packets that arrive on it are not forwarded.
    closed: Vec<Closed>,
}

/// The packets that an interface did not forward before us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    /// All: we made the interface.
    All,
    /// Those of a family: we opened the interface for it. It may have forwarded the other one before.
    One(Family),
}

impl Closed {
    fn drop(self, interface: &str) -> Vec<Vec<u8>> {
        let comes = Rule::new().comes_by(interface);
        match self {
            Closed::All => comes.drop(),
            Closed::One(Family::V4) => comes.is(Meta::Family, &[NFPROTO_IPV4]).drop(),
            Closed::One(Family::V6) => comes.is(Meta::Family, &[NFPROTO_IPV6]).drop(),
        }
    }
}

/// Returns for which families an interface was opened.
fn families(link: &Link, opened: &[Opened]) -> Vec<Closed> {
    opened.iter().filter(|known| known.index == link.index).map(|known| Closed::One(known.family)).collect()
}

/// An interface that we opened and that is not a bridge of containers.
struct Other<'a> {
    name: &'a str,
    is_bridge: bool,
    closed: Vec<Closed>,
}

/// Returns the table for all containers of the host; `None` if none is behind NAT, or if the note would be too long.
///
/// `opened` are the interfaces that forwarded nothing before us.
pub fn table(survey: &Survey, opened: &[Opened]) -> Option<Table> {
    let bridges = bridges(survey, opened);
    let others: Vec<_> = survey
        .links()
        .iter()
        .filter(|link| bridges.iter().all(|bridge| bridge.name != link.name))
        .map(|link| Other { name: &link.name, is_bridge: link.is("bridge"), closed: families(link, opened) })
        .filter(|other| !other.closed.is_empty())
        .collect();
    let comment = forwarding::note(opened);
    if bridges.is_empty() || comment.as_ref().is_some_and(|comment| comment.len() > LONGEST_COMMENT) {
        return None;
    }
    let ours = survey.links().iter().filter(|link| link.is_our_bridge()).map(|link| link.name.as_str()).collect();
    let mut chains = vec![postrouting(&bridges), forward(&bridges, ours, &others)];
    if bridges.iter().any(|bridge| !bridge.published.is_empty()) {
        const NF_INET_PRE_ROUTING: u32 = 0;
        const NF_INET_LOCAL_OUT: u32 = 3;
        chains.push(raw());
        chains.push(destinations("prerouting", NF_INET_PRE_ROUTING, &bridges));
        chains.push(destinations("output", NF_INET_LOCAL_OUT, &bridges));
    }
    Some(Table { family: nftables::Family::Inet, name: FENCE.to_owned(), comment, chains })
}

fn bridges(survey: &Survey, opened: &[Opened]) -> Vec<Bridge> {
    let mut bridges = Vec::new();
    for link in survey.links() {
        let marks: Vec<Mark> = survey.ports(link.index).filter_map(|(_, mark)| mark).collect();
        let addresses = |mark: &Mark| mark.addresses.iter().map(|address| address.ip).collect::<Vec<_>>();
        let behind_nat: Vec<_> = marks.iter().filter(|mark| mark.nat).flat_map(addresses).collect();
        let closed = if link.is_our_bridge() { vec![Closed::All] } else { families(link, opened) };
        let published = marks.iter().flat_map(leads).collect();
        if !behind_nat.is_empty() {
            let (name, addresses) = (link.name.clone(), marks.iter().flat_map(addresses).collect());
            bridges.push(Bridge { name, addresses, behind_nat, published, closed });
        }
    }
    bridges
}

/// Returns where each published port leads: to the first address of each family.
fn leads(mark: &Mark) -> Vec<(Published, IpAddr)> {
    let first = |is_ipv4: bool| mark.addresses.iter().map(|own| own.ip).find(|ip| ip.is_ipv4() == is_ipv4);
    let lead = |published: &Published, is_ipv4: bool| {
        first(is_ipv4).filter(|_| published.is_for(is_ipv4)).map(|ip| (*published, ip))
    };
    mark.published.iter().flat_map(|published| [true, false].map(|family| lead(published, family))).flatten().collect()
}

/// The rules that rewrite the destination of what is for a published port. They are in two chains: what comes from
/// outside passes one, and what the host itself sends the other.
fn destinations(name: &'static str, hook: u32, bridges: &[Bridge]) -> Chain {
    const NF_IP_PRI_NAT_DST: i32 = -100;
    let rule = |(published, to): &(Published, IpAddr)| {
        let rule = match published.ip {
            Some(ip) => Rule::new().destination(ip),
            None if to.is_ipv4() => Rule::new().is(Meta::Family, &[NFPROTO_IPV4]).own_destination(),
            None => Rule::new().is(Meta::Family, &[NFPROTO_IPV6]).own_destination(),
        };
        rule.port(published.is_udp, published.host).redirect(*to, published.inside)
    };
    let rules = bridges.iter().flat_map(|bridge| bridge.published.iter().map(rule)).collect();
    Chain { name, kind: "nat", hook, priority: NF_IP_PRI_NAT_DST, device: None, rules }
}

/// The rule `iifname != "lo" ip daddr 127.0.0.0/8 drop`. The kernel drops such packets from containers and from the networks
/// of the host itself, but later than a published 127.0.0.1 leads them to a container.
fn raw() -> Chain {
    const NF_INET_PRE_ROUTING: u32 = 0;
    const NF_IP_PRI_RAW: i32 = -300;
    let rules = vec![Rule::new().comes_not_by("lo").loopback_destination().drop()];
    let (hook, priority) = (NF_INET_PRE_ROUTING, NF_IP_PRI_RAW);
    Chain { name: "raw", kind: "filter", hook, priority, device: None, rules }
}

/// The rule `ip saddr CONTAINER oifname != BRIDGE masquerade`.
fn postrouting(bridges: &[Bridge]) -> Chain {
    const NF_INET_POST_ROUTING: u32 = 4;
    const NF_IP_PRI_NAT_SRC: i32 = 100;
    let masquerade = |bridge: &Bridge| {
        let rule = |ip: &IpAddr| Rule::new().source(*ip).leaves_not_by(&bridge.name).masquerade();
        let mut rules: Vec<_> = bridge.behind_nat.iter().map(rule).collect();
        if !bridge.published.is_empty() {
            // By a published port to its own bridge: the answer would not come back this way otherwise.
            let own = |ip: &IpAddr| {
                Rule::new().source(*ip).leaves_by(&bridge.name).tracked(Tracked::Status, IPS_DST_NAT).masquerade()
            };
            rules.extend(bridge.addresses.iter().map(own));
            rules.push(Rule::new().loopback_source().leaves_by(&bridge.name).masquerade());
        }
        rules
    };
    let rules = bridges.iter().flat_map(masquerade).collect();
    let (hook, priority) = (NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC);
    Chain { name: "postrouting", kind: "nat", hook, priority, device: None, rules }
}

/// A container may send to everything except another bridge of ours or another container behind NAT; to those only
/// answers are allowed, and what is published by rewriting its destination. On an interface that we opened, nothing
/// else is forwarded.
fn forward(bridges: &[Bridge], ours: Vec<&str>, others: &[Other<'_>]) -> Chain {
    const NF_INET_FORWARD: u32 = 2;
    const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
    let mut rules = vec![
        Rule::new().tracked(Tracked::State, ESTABLISHED_OR_RELATED).accept(),
        Rule::new().tracked(Tracked::Status, IPS_DST_NAT).accept(),
    ];
    // With br_netfilter, frames that stay on one bridge pass here as well.
    let bridge_names = bridges.iter().map(|bridge| bridge.name.as_str());
    for name in bridge_names.chain(others.iter().filter(|other| other.is_bridge).map(|other| other.name)) {
        rules.push(Rule::new().comes_by(name).leaves_by(name).accept());
    }
    for Bridge { name, behind_nat, .. } in bridges {
        rules.extend(behind_nat.iter().map(|ip| Rule::new().leaves_by(name).destination(*ip).drop()));
    }
    for Bridge { name, addresses, closed, .. } in bridges {
        let apart = ours.iter().filter(|other| *other != name);
        rules.extend(apart.map(|other| Rule::new().comes_by(name).leaves_by(other).drop()));
        rules.extend(addresses.iter().map(|ip| Rule::new().comes_by(name).source(*ip).accept()));
        rules.extend(closed.iter().map(|closed| closed.drop(name)));
    }
    for other in others {
        rules.extend(other.closed.iter().map(|closed| closed.drop(other.name)));
    }
    Chain { name: "forward", kind: "filter", hook: NF_INET_FORWARD, priority: 0, device: None, rules }
}

/// Returns the table for one port: what comes from the container must have one of its own addresses as source, or is
/// dropped before the bridge sees it.
pub fn guard(port: &str, addresses: &[IpAddr], rate: Option<Rate>) -> Table {
    const NF_NETDEV_INGRESS: u32 = 0;
    let loopback = vec![
        Rule::new().is(Meta::Protocol, &IPV4).has_masked(Header::Network, 16, &[127, 0, 0, 0], &[255, 0, 0, 0]).drop(),
    ];
    let limit = rate.map(|rate| Rule::new().over(rate.bytes(), UPLOAD_BURST.max(rate.bytes() / 100)).drop());
    let rules =
        [limit.into_iter().collect(), loopback, internet(addresses), internet6(addresses), resolution(addresses)]
            .concat();
    let rules = [rules, vec![Rule::new().drop()]].concat();
    let device = Some(port.to_owned());
    let chain = Chain { name: "ingress", kind: "filter", hook: NF_NETDEV_INGRESS, priority: 0, device, rules };
    Table { family: nftables::Family::Netdev, name: format!("{GUARD}{port}"), comment: None, chains: vec![chain] }
}

const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];

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
/// for a duplicate; but no router advertisement, and no redirect.
fn internet6(addresses: &[IpAddr]) -> Vec<Vec<Vec<u8>>> {
    const SOURCE_AT: u32 = 8;
    const IPPROTO_ICMPV6: u8 = 58;
    const ADVERTISEMENT: u8 = 134;
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
    let mut link_local = [0; 16];
    (link_local[0], link_local[1]) = (0xfe, 0x80);
    let mut ten_bits = [0; 16];
    (ten_bits[0], ten_bits[1]) = (0xff, 0xc0);
    own.push(ipv6().has_masked(Header::Network, SOURCE_AT, &link_local, &ten_bits).accept());
    own.push(ipv6().has(Header::Network, SOURCE_AT, &[0; 16]).accept());
    let no = |kind: u8| ipv6().is(Meta::Transport, &[IPPROTO_ICMPV6]).has(Header::Transport, 0, &[kind]).drop();
    [vec![no(ADVERTISEMENT), no(REDIRECT)], own].concat()
}
