//! What is in a network namespace and where its cables lead: interfaces, addresses, the default gateway, and for each
//! veth end the other one on our side, with its bridge. `rtnetlink(7)`, `veth(4)`.
//!
//! A link reports its peer as an index and the id of the peer's namespace, both as seen from its own side; the peer is
//! certain only if both ends agree. Reads only.

use std::os::fd::{AsFd, BorrowedFd};

use plumbing::Fault;
use plumbing::pipeline::record::{Interface, Network};
use plumbing::process::target::Target;
use plumbing::text::on_one_line;

use crate::link::Link;
use crate::netlink::Netlink;
use crate::{link, namespace, nsid, see};

/// Examines a network namespace; `whose` names it in texts, `target` is a process in it. A dry run does not go there,
/// and has nothing to report.
pub fn look_into(inspected: BorrowedFd<'_>, whose: &str, target: Option<&Target>) -> Result<Option<Network>, Fault> {
    let outside = Netlink::route()?;
    let is_home = namespace::is_same(inspected, namespace::own()?.as_fd())?;
    let seen =
        if is_home { Some(see::through(&outside)?) } else { see::from_inside(inspected, whose, target, see::through)? };
    let Some(seen) = seen else { return Ok(None) };
    let near = if is_home { seen.links.clone() } else { link::list(&outside)? };
    let id = if is_home { None } else { nsid::of(&outside, inspected)? };
    let side = Side { links: &near, is_home, id };
    let interface = |link: &Link| {
        let own = seen.addresses.iter().filter(|(index, _)| *index == link.index);
        side.interface(link, own.map(|(_, address)| address.to_string()).collect())
    };
    Ok(Some(Network { interfaces: seen.links.iter().map(interface).collect(), gateway: seen.gateway }))
}

/// Our side of the cables.
pub struct Side<'a> {
    /// The interfaces on our side.
    pub links: &'a [Link],
    /// Whether the examined namespace is ours.
    pub is_home: bool,
    /// Its id in our namespace.
    pub id: Option<i32>,
}

impl Side<'_> {
    fn interface(&self, link: &Link, addresses: Vec<String>) -> Interface {
        let peer = self.peer(link);
        let port = if self.is_home { Some(link) } else { peer };
        let bridge = port.and_then(|port| port.controller).and_then(|index| self.by_index(index));
        let mac: Vec<_> = link.mac.iter().map(|byte| format!("{byte:02x}")).collect();
        Interface {
            name: link.name.clone(),
            kind: link.kind.clone(),
            state: Some(link.state.clone()),
            mac: (link.index != link::LOOPBACK && !mac.is_empty()).then(|| mac.join(":")),
            mtu: Some(link.mtu),
            peer: peer.map(|peer| peer.name.clone()),
            bridge: bridge.map(|bridge| bridge.name.clone()),
            addresses,
            parent: None,
            published: Vec::new(),
            gateway: None,
        }
    }

    /// Returns the other end of a pair, if that is on our side.
    pub fn peer(&self, link: &Link) -> Option<&Link> {
        let peer = self.by_index(link.peer?)?;
        let leads_here = if self.is_home {
            link.peer_netnsid.is_none() && peer.peer_netnsid.is_none()
        } else {
            link.peer_netnsid.is_some() && self.id.is_some() && peer.peer_netnsid == self.id
        };
        (link.is("veth") && peer.is("veth") && peer.peer == Some(link.index) && leads_here).then_some(peer)
    }

    /// Returns the interface on our side with this index.
    pub fn by_index(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }
}

/// Formats a network for a person: one line for each interface, then the gateway.
pub fn text(network: &Network) -> String {
    let mut text = String::new();
    for interface in &network.interfaces {
        let Interface { name, state, mtu, mac, peer, bridge, .. } = interface;
        let mut line = format!("{name}: {} mtu {}", state.as_deref().unwrap_or_default(), mtu.unwrap_or_default());
        for (word, value) in [("mac", mac), ("peer", peer), ("bridge", bridge)] {
            line.extend(value.iter().map(|value| format!(" {word} {value}")));
        }
        line.extend(interface.addresses.iter().map(|address| format!(" {address}")));
        // The names were chosen by root inside.
        text.push_str(&on_one_line(&line));
        text.push('\n');
    }
    text.extend(network.gateway.map(|gateway| format!("default gateway {gateway}\n")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veth(index: u32, name: &str, peer: u32, peer_netnsid: Option<i32>) -> Link {
        let kind = Some("veth".to_owned());
        Link { index, name: name.into(), kind, peer: Some(peer), peer_netnsid, ..Link::default() }
    }

    #[test]
    fn a_peer_is_certain_only_if_both_ends_agree() {
        let near = [veth(5, "veth-web", 2, Some(7)), veth(6, "veth-db", 2, Some(8))];
        let side = Side { links: &near, is_home: false, id: Some(7) };
        assert_eq!(side.peer(&veth(2, "eth0", 5, Some(0))).map(|peer| peer.name.as_str()), Some("veth-web"));
        assert_eq!(side.peer(&veth(2, "eth0", 6, Some(0))), None);
        assert_eq!(side.peer(&veth(3, "eth1", 5, Some(0))), None);
        let unknown = Side { links: &near, is_home: false, id: None };
        assert_eq!(unknown.peer(&veth(2, "eth0", 5, Some(0))), None);
    }
}
