//! The rules for the containers of a host: where those behind NAT may be forwarded to, and which are kept apart.
//! `nft(8)`.
//!
//! Pure: the rules follow from what the links on the host say. The surprise: "accept" ends only one chain, while "drop"
//! is final, whatever other tables say. So nothing is dropped that was forwarded before we opened an interface.

use std::net::IpAddr;

use crate::forwarding::{self, Family, Opened};
use crate::link::Link;
use crate::mark::Mark;
use crate::nftables::{self, Chain, LONGEST_COMMENT, Place, Table};
use crate::publish::Published;
use crate::rule::{AddressType, Meta, NFPROTO_IPV4, NFPROTO_IPV6, Rule, Tracked};
use crate::survey::Survey;
use crate::uplink::{self, Watched};

/// The name of the table that all containers of a host share.
pub const FENCE: &str = "netns-rs";

/// The chain for what isolated containers send, and the one that drops what is for another of them.
const ISOLATED: &str = "isolated";
const APART: &str = "apart";

/// A bit of `enum ip_conntrack_status`: the destination was rewritten.
const IPS_DST_NAT: u32 = 1 << 5;

/// The containers on one bridge.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bridge {
    /// Its name.
    pub name: String,
    /// The addresses of all our containers on it.
    pub addresses: Vec<IpAddr>,
    /// The addresses of those behind NAT.
    behind_nat: Vec<IpAddr>,
    /// The addresses of those that are kept apart, if there are several.
    isolated: Vec<IpAddr>,
    /// The published ports, each with the address of the container.
    published: Vec<(Published, IpAddr)>,
    /// Which other packets that arrive on it are not forwarded.
    closed: Vec<Closed>,
}

/// The packets that an interface did not forward before us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
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

/// An interface that we opened and that is not a bridge with containers behind NAT.
struct Other<'a> {
    name: &'a str,
    is_bridge: bool,
    closed: Vec<Closed>,
}

/// Returns the tables for all containers of the host; none if none is behind NAT and no two have to be kept apart, or if
/// the note would be too long.
///
/// `opened` are the interfaces that forwarded nothing before us.
pub fn tables(survey: &Survey, opened: &[Opened]) -> Vec<Table> {
    let all = bridges(survey, opened);
    let (bridges, plain): (Vec<_>, Vec<_>) = all.into_iter().partition(|bridge| !bridge.behind_nat.is_empty());
    let others: Vec<_> = survey
        .links()
        .iter()
        .filter(|link| bridges.iter().all(|bridge| bridge.name != link.name))
        .map(|link| Other { name: &link.name, is_bridge: link.is("bridge"), closed: families(link, opened) })
        .filter(|other| !other.closed.is_empty())
        .collect();
    let comment = forwarding::note(opened);
    let apart: Vec<_> = bridges.iter().chain(&plain).filter(|bridge| !bridge.isolated.is_empty()).collect();
    let is_needed = !bridges.is_empty() || !apart.is_empty();
    if !is_needed || comment.as_ref().is_some_and(|comment| comment.len() > LONGEST_COMMENT) {
        return Vec::new();
    }
    let mut chains = if apart.is_empty() { Vec::new() } else { isolation(&apart) };
    let ours = survey.links().iter().filter(|link| link.is_our_bridge()).map(|link| link.name.as_str()).collect();
    chains.extend([postrouting(&bridges), forward(&bridges, &apart, ours, &others)]);
    if bridges.iter().any(|bridge| !bridge.published.is_empty()) {
        const NF_INET_PRE_ROUTING: u32 = 0;
        const NF_INET_LOCAL_OUT: u32 = 3;
        chains.push(raw());
        chains.push(destinations("prerouting", NF_INET_PRE_ROUTING, &bridges));
        chains.push(destinations("output", NF_INET_LOCAL_OUT, &bridges));
    }
    let table = Table { family: nftables::Family::Inet, name: FENCE.to_owned(), comment, chains };
    let known: Vec<_> = bridges.iter().chain(&plain).collect();
    let watched = |link| {
        let closed = if Link::is_our_bridge(link) { Vec::new() } else { families(link, opened) };
        Watched { name: &link.name, closed, is_apart: apart.iter().any(|bridge| bridge.name == link.name) }
    };
    let watched: Vec<_> = survey.links().iter().filter(|link| link.is("bridge")).map(watched).collect();
    [table].into_iter().chain(uplink::table(FENCE, &watched, &known)).collect()
}

/// Returns those of the interfaces that still have to forward: for a family in which a container is behind NAT, and of
/// the bridges with containers only those with such a container.
pub fn needed(survey: &Survey, opened: &[Opened]) -> Vec<Opened> {
    let bridges = bridges(survey, opened);
    let has = |bridge: &Bridge, family| bridge.behind_nat.iter().any(|ip| ip.is_ipv4() == (family == Family::V4));
    let needs = |Opened { index, family }: &Opened| {
        let Some(link) = survey.links().iter().find(|link| link.index == *index) else { return false };
        let own = bridges.iter().find(|bridge| bridge.name == link.name && !bridge.behind_nat.is_empty());
        match own {
            Some(own) => has(own, *family),
            None => !link.is_our_bridge() && bridges.iter().any(|bridge| has(bridge, *family)),
        }
    };
    opened.iter().filter(|known| needs(known)).copied().collect()
}

/// Returns the bridges with containers of ours.
fn bridges(survey: &Survey, opened: &[Opened]) -> Vec<Bridge> {
    let mut bridges = Vec::new();
    for link in survey.links() {
        let marks: Vec<Mark> = survey.ports(link.index).filter_map(|(_, mark)| mark).collect();
        if marks.is_empty() {
            continue;
        }
        let of = |wanted: fn(&Mark) -> bool| {
            let addresses = marks.iter().filter(|mark| wanted(mark)).flat_map(|mark| &mark.addresses);
            addresses.map(|address| address.ip).collect::<Vec<_>>()
        };
        let are_apart = marks.iter().filter(|mark| mark.isolate).count() > 1;
        bridges.push(Bridge {
            name: link.name.clone(),
            addresses: of(|_| true),
            behind_nat: of(|mark| mark.nat),
            isolated: if are_apart { of(|mark| mark.isolate) } else { Vec::new() },
            published: marks.iter().flat_map(leads).collect(),
            closed: if link.is_our_bridge() { vec![Closed::All] } else { families(link, opened) },
        });
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
fn destinations(name: &str, hook: u32, bridges: &[Bridge]) -> Chain {
    const NF_IP_PRI_NAT_DST: i32 = -100;
    let rule = |(published, to): &(Published, IpAddr)| {
        let rule = match published.ip {
            Some(ip) => Rule::new().destination(ip),
            None => {
                let family = if to.is_ipv4() { NFPROTO_IPV4 } else { NFPROTO_IPV6 };
                Rule::new().is(Meta::Family, &[family]).destination_is(AddressType::Local)
            }
        };
        rule.port(published.is_udp, published.host).redirect(*to, published.inside)
    };
    let rules = bridges.iter().flat_map(|bridge| bridge.published.iter().map(rule)).collect();
    chain(name, "nat", hook, NF_IP_PRI_NAT_DST, rules)
}

/// The rule `iifname != "lo" ip daddr 127.0.0.0/8 drop`. The kernel drops such packets from containers and from the networks
/// of the host itself, but later than a published 127.0.0.1 leads them to a container.
fn raw() -> Chain {
    const NF_INET_PRE_ROUTING: u32 = 0;
    const NF_IP_PRI_RAW: i32 = -300;
    let rules = vec![Rule::new().comes_not_by("lo").loopback_destination().drop()];
    chain("raw", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW, rules)
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
    chain("postrouting", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC, rules)
}

/// Isolated containers of one bridge: its ports exchange no frames, but the host would forward what one of them sends to
/// another by the gateway. The first chain selects the sender, the second one, to which it jumps, drops by destination.
fn isolation(bridges: &[&Bridge]) -> Vec<Chain> {
    let (mut senders, mut drops) = (Vec::new(), Vec::new());
    for Bridge { name, isolated, .. } in bridges {
        senders.extend(isolated.iter().map(|ip| Rule::new().comes_by(name).source(*ip).jump(APART)));
        drops.extend(isolated.iter().map(|ip| Rule::new().leaves_by(name).destination(*ip).drop()));
    }
    let chain = |name: &str, rules| Chain { name: name.to_owned(), place: None, rules };
    vec![chain(APART, drops), chain(ISOLATED, senders)]
}

/// A container may send to everything except another bridge of ours or another container behind NAT; to those only
/// answers are allowed, and what is published by rewriting its destination. On an interface that we opened, nothing
/// else is forwarded.
fn forward(bridges: &[Bridge], apart: &[&Bridge], ours: Vec<&str>, others: &[Other<'_>]) -> Chain {
    const NF_INET_FORWARD: u32 = 2;
    const ESTABLISHED: u32 = 2;
    const RELATED: u32 = 4;
    let mut rules = vec![
        Rule::new().tracked(Tracked::Status, IPS_DST_NAT).accept(),
        Rule::new().tracked(Tracked::State, ESTABLISHED).accept(),
    ];
    rules.extend(apart.iter().map(|own| Rule::new().comes_by(&own.name).leaves_by(&own.name).jump(ISOLATED)));
    for Bridge { name, .. } in bridges {
        let apart = ours.iter().filter(|other| *other != name);
        rules.extend(apart.map(|other| Rule::new().comes_by(name).leaves_by(other).drop()));
    }
    // Only now: the sender of an ICMP error chooses the connection to which it is related.
    rules.push(Rule::new().tracked(Tracked::State, RELATED).accept());
    // With br_netfilter, frames that stay on one bridge pass here as well.
    let bridge_names = bridges.iter().map(|bridge| bridge.name.as_str());
    for name in bridge_names.chain(others.iter().filter(|other| other.is_bridge).map(|other| other.name)) {
        rules.push(Rule::new().comes_by(name).leaves_by(name).accept());
    }
    for Bridge { name, behind_nat, .. } in bridges {
        rules.extend(behind_nat.iter().map(|ip| Rule::new().leaves_by(name).destination(*ip).drop()));
    }
    for Bridge { name, addresses, closed, .. } in bridges {
        rules.extend(addresses.iter().map(|ip| Rule::new().comes_by(name).source(*ip).accept()));
        rules.extend(closed.iter().map(|closed| closed.drop(name)));
    }
    for other in others {
        rules.extend(other.closed.iter().map(|closed| closed.drop(other.name)));
    }
    chain("forward", "filter", NF_INET_FORWARD, 0, rules)
}

fn chain(name: &str, kind: &'static str, hook: u32, priority: i32, rules: Vec<Vec<Vec<u8>>>) -> Chain {
    Chain { name: name.to_owned(), place: Some(Place { kind, hook, priority, device: None }), rules }
}
