//! Which interfaces are the two ends of one pair. `veth(4)`.
//!
//! An end reports the index of the other one, and the number that its own namespace uses for the other namespace; only
//! our own numbers are known. The surprise: between two other namespaces the indexes may fit more than one pair. Such a
//! pair is left out.

use super::{End, Space};
use crate::link::Link;

/// Notes the other end of each pair. `links` are those of each namespace.
pub fn connect(spaces: &mut [Space], links: &[Vec<Link>]) {
    // Ours first: the numbers say where these lead, and their ends need not be looked for any more.
    for ours in [true, false] {
        let ends = (0..links.len()).flat_map(|at| (0..links[at].len()).map(move |port| (at, port)));
        for (at, port) in ends {
            if spaces[at].own == ours && is_open(spaces, links, at, port) {
                let found: Vec<_> = candidates(spaces, links, at, port).collect();
                if let [(other, peer)] = found[..] {
                    note(spaces, links, (at, port), (other, peer));
                    note(spaces, links, (other, peer), (at, port));
                }
            }
        }
    }
}

/// Returns whether this is one end of a pair whose other end is not known yet.
fn is_open(spaces: &[Space], links: &[Vec<Link>], at: usize, port: usize) -> bool {
    links[at][port].is("veth") && spaces[at].interfaces.get(port).is_some_and(|port| port.peer.is_none())
}

fn candidates(spaces: &[Space], links: &[Vec<Link>], at: usize, port: usize) -> impl Iterator<Item = (usize, usize)> {
    let link = &links[at][port];
    let all = links.iter().enumerate().filter(move |(other, _)| may_lead(spaces, (at, link), *other));
    all.filter_map(move |(other, there)| {
        let peer = there.iter().position(|peer| Some(peer.index) == link.peer)?;
        let agrees = there[peer].peer == Some(link.index) && may_lead(spaces, (other, &there[peer]), at);
        (agrees && is_open(spaces, links, other, peer)).then_some((other, peer))
    })
}

fn note(spaces: &mut [Space], links: &[Vec<Link>], (at, port): (usize, usize), (namespace, peer): (usize, usize)) {
    let interface = links[namespace][peer].name.clone();
    spaces[at].interfaces[port].peer = Some(End { namespace, interface });
}

/// Returns whether the other end of this link may be in that namespace.
fn may_lead(spaces: &[Space], (at, link): (usize, &Link), other: usize) -> bool {
    match link.peer_netnsid {
        None => other == at,
        Some(id) if spaces[at].own => spaces[other].nsid == Some(id) && other != at,
        // Another namespace's number says nothing here.
        Some(_) => other != at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veth(index: u32, name: &str, peer: u32, peer_netnsid: Option<i32>) -> Link {
        let kind = Some("veth".to_owned());
        Link { index, name: name.into(), kind, peer: Some(peer), peer_netnsid, ..Link::default() }
    }

    #[test]
    fn both_ends_of_a_pair_must_agree() {
        let port = || super::super::Port::default();
        let space = |own, nsid, count: usize| Space {
            own,
            nsid,
            interfaces: std::iter::repeat_with(port).take(count).collect(),
            ..Space::default()
        };
        let mut spaces = [space(true, None, 2), space(false, Some(7), 1), space(false, Some(8), 1)];
        let links = [
            vec![veth(5, "veth-web", 2, Some(7)), veth(6, "veth-db", 2, Some(8))],
            vec![veth(2, "eth0", 5, Some(0))],
            vec![veth(2, "eth0", 9, Some(0))],
        ];
        connect(&mut spaces, &links);
        let end = |at: usize, port: usize| spaces[at].interfaces[port].peer.as_ref().map(|end| end.namespace);
        assert_eq!((end(0, 0), end(0, 1), end(1, 0), end(2, 0)), (Some(1), None, Some(0), None));
    }
}
