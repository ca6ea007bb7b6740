//! The host's network before we change it: the bridge that was asked for, and which address belongs to which interface.
//!
//! `bridge(8)`. The kernel allows two containers with the same address, and then delivers the packets of both
//! unreliably; so the alias of the host's end of each pair records which addresses are taken, and it is read before
//! anything is made.

use std::net::IpAddr;

use plumbing::Fault;
use plumbing::process::pid_namespaces::PidNamespaces;

use crate::connection::Connection;
use crate::link::Link;
use crate::mark::Mark;
use crate::netlink::Netlink;
use crate::network::{Address, Subnet};
use crate::publish::Published;
use crate::{address, link, route};

/// The links and addresses of the host.
pub struct Survey {
    links: Vec<Link>,
    addresses: Vec<(u32, Address)>,
    /// Whether it was taken under the lock, so that nobody is making anything.
    is_locked: bool,
}

/// The reason why an address cannot be added.
pub enum Taken {
    /// Another container has it, or had it until a moment ago: the kernel takes a while to remove a namespace.
    ByPort(Fault),
    /// The host has it.
    ByHost(Fault),
}

impl Survey {
    /// Reads the state of the socket's namespace.
    pub fn take(netlink: &Netlink) -> Result<Survey, Fault> {
        Ok(Survey { links: link::list(netlink)?, addresses: address::list(netlink)?, is_locked: true })
    }

    /// Notes that the lock could not be obtained: what is unfinished may belong to a process that is making it.
    pub fn without_lock(self) -> Survey {
        Survey { is_locked: false, ..self }
    }

    /// Returns the bridge of this name, if there is one; a fault if the name belongs to something else.
    pub fn bridge(&self, name: &str) -> Result<Option<&Link>, Fault> {
        let Some(found) = self.links.iter().find(|link| link.name == name) else { return Ok(None) };
        if !found.is("bridge") {
            let kind = found.kind.as_deref().map_or("not a bridge".to_owned(), |kind| format!("of kind {kind}"));
            return Err(Fault::new(format!("cannot connect to the bridge {name}: the interface {name} is {kind}")));
        }
        Ok(Some(found))
    }

    /// Returns whether the bridge needs its address to be added. A bridge that we did not make is used unchanged, or
    /// not at all.
    pub fn needs_address(&self, bridge: &Link, wanted: Address) -> Result<bool, Fault> {
        let mut own = self.addresses.iter().filter(|(index, _)| *index == bridge.index);
        if own.any(|(_, address)| address.ip == wanted.ip) {
            return Ok(false);
        }
        if bridge.is_our_bridge() {
            return Ok(true);
        }
        Err(Fault::new(format!(
            "cannot make {} the gateway on {}: the bridge was not made by netns-rs and has no such address",
            wanted.ip, bridge.name
        ))
        .with_remedy(format!("give it the address yourself: ip address add {wanted} dev {}", bridge.name)))
    }

    /// Chooses the address that was asked for as `auto`, and then the gateway if none was given; checks the result.
    pub fn choose(&self, asked: &Connection) -> Result<Connection, Fault> {
        let Some(subnet) = asked.auto else { return Ok(asked.clone()) };
        let bridge = self.links.iter().find(|link| link.name == asked.bridge);
        let own: Vec<Address> = bridge.map_or_else(Vec::new, |bridge| self.addresses_of(bridge.index));
        let of_bridge = || own.iter().filter(|own| own.ip.is_ipv4()).find_map(|own| Subnet::of(*own).ok());
        let subnet = subnet.or_else(of_bridge).ok_or_else(|| {
            Fault::new(format!("cannot choose an address: {} has no IPv4 address", asked.bridge))
                .with_remedy("give the subnet: --address auto:10.88.0.0/24")
        })?;
        let mut chosen = Connection { auto: None, ..asked.clone() };
        if !asked.gateways.iter().any(|gateway| subnet.has(*gateway)) {
            let known = own.iter().map(|own| own.ip).find(|ip| subnet.has(*ip));
            chosen.gateways.extend(known.or_else(|| subnet.hosts().next().map(|first| first.ip)));
        }
        let is_free = |ip: IpAddr| {
            let taken = bridge.is_some_and(|bridge| self.port_with(bridge.index, ip).is_some());
            !taken && self.interface_with(ip).is_none() && !chosen.gateways.contains(&ip) && !chosen.has(ip)
        };
        let free = subnet.hosts().find(|host| is_free(host.ip));
        chosen
            .addresses
            .push(free.ok_or_else(|| Fault::new(format!("cannot choose an address of {subnet}: none is free")))?);
        chosen.check()
    }

    fn addresses_of(&self, index: u32) -> Vec<Address> {
        self.addresses.iter().filter(|(of, _)| *of == index).map(|(_, address)| *address).collect()
    }

    /// Refuses a subnet of the bridge that another route already leads to.
    pub fn require_free(&self, netlink: &Netlink, asked: &Connection) -> Result<(), Fault> {
        let bridge = self.links.iter().find(|link| link.name == asked.bridge).map(|link| link.index);
        let networks: Vec<_> = route::networks(netlink)?;
        for own in asked.bridge_addresses() {
            let other = networks.iter().find(|(index, network)| Some(*index) != bridge && network.overlaps(&own));
            if let Some((index, network)) = other {
                let name = self.links.iter().find(|link| link.index == *index).map_or("?", |link| &link.name);
                return Err(Fault::new(format!(
                    "cannot make {own} the gateway on {}: its network overlaps the route to {network} by {name}",
                    asked.bridge
                )));
            }
        }
        Ok(())
    }

    /// Returns who has one of the addresses asked for.
    pub fn taken(&self, asked: &Connection) -> Option<Taken> {
        let bridge = self.links.iter().find(|link| link.name == asked.bridge);
        let wanted = asked.addresses.iter().map(|address| (address.ip, address.to_string(), asked.interface.as_str()));
        let own = asked.bridge_addresses();
        let gateway = own.map(|address| (address.ip, address.to_string(), asked.bridge.as_str()));
        for (ip, address, taker) in wanted.chain(gateway) {
            let refusal = |holder: String| Fault::new(format!("cannot assign {address} to {taker}: {holder} has it"));
            if let Some(port) = bridge.and_then(|bridge| self.port_with(bridge.index, ip)) {
                return Some(Taken::ByPort(refusal(format!("{} on {}", port.name, asked.bridge))));
            }
            if let Some(holder) = self.interface_with(ip).filter(|holder| holder.name != taker) {
                return Some(Taken::ByHost(refusal(format!("the host's own {}", holder.name))));
            }
        }
        None
    }

    /// Refuses a port of the host that leads to another container than that of the link `except`.
    pub fn require_unpublished(&self, wanted: &[Published], except: Option<u32>) -> Result<(), Fault> {
        for link in self.links.iter().filter(|link| Some(link.index) != except) {
            let taken = mark(link).map(|mark| mark.published).unwrap_or_default();
            let conflict = wanted.iter().find(|wanted| taken.iter().any(|other| other.conflicts_with(wanted)));
            if let Some(wanted) = conflict {
                return Err(Fault::new(format!("cannot publish {wanted}: the port leads to {} already", link.name)));
            }
        }
        Ok(())
    }

    /// Returns whether a container of ours has this address, on whichever bridge.
    pub fn is_of_container(&self, ip: IpAddr) -> bool {
        self.links.iter().filter_map(mark).any(|mark| mark.has(ip))
    }

    fn port_with(&self, bridge: u32, ip: IpAddr) -> Option<&Link> {
        let has = |mark: Option<Mark>| mark.is_some_and(|mark| mark.has(ip));
        self.ports(bridge).find_map(|(link, mark)| has(mark).then_some(link))
    }

    fn interface_with(&self, ip: IpAddr) -> Option<&Link> {
        let (index, _) = self.addresses.iter().find(|(_, address)| address.ip == ip)?;
        self.links.iter().find(|link| link.index == *index)
    }

    /// Returns all links.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Returns the ports of a bridge, each with the contents of its alias if it is ours.
    pub fn ports(&self, bridge: u32) -> impl Iterator<Item = (&Link, Option<Mark>)> {
        self.links.iter().filter(move |link| link.controller == Some(bridge)).map(|link| (link, mark(link)))
    }

    /// Returns whether there is a port of ours of this name.
    pub fn has_port(&self, name: &str) -> bool {
        self.links.iter().any(|link| link.name == name && mark(link).is_some())
    }

    /// Returns whether a container is behind NAT.
    pub fn has_nat(&self) -> bool {
        self.links.iter().filter_map(mark).any(|mark| mark.nat)
    }

    /// Removes the pairs whose process is gone, and what was not finished, from the survey; returns them.
    pub fn take_abandoned(&mut self) -> Result<Vec<Link>, Fault> {
        let (mut gone, mut known) = (Vec::new(), PidNamespaces::default());
        for link in &self.links {
            let owner = mark(link).and_then(|mark| mark.owner);
            if self.is_locked && link.is_unfinished() || owner.map_or(Ok(false), |owner| owner.is_gone(&mut known))? {
                gone.push(link.clone());
            }
        }
        self.links.retain(|link| !gone.contains(link));
        Ok(gone)
    }

    /// Returns the bridges that are ours and to which nothing is connected.
    pub fn idle_bridges(&self) -> impl Iterator<Item = &Link> {
        let is_used = |bridge: &Link| self.links.iter().any(|link| link.controller == Some(bridge.index));
        self.links.iter().filter(move |link| link.is_our_bridge() && !is_used(link))
    }
}

/// Returns the contents of the alias of our end of a pair.
fn mark(link: &Link) -> Option<Mark> {
    link.alias.as_deref().filter(|_| link.is("veth")).and_then(Mark::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Survey {
        let bridge = Link { index: 2, name: "box0".into(), kind: Some("bridge".into()), ..Link::default() };
        let port = Link {
            index: 3,
            name: "veth1".into(),
            kind: Some("veth".into()),
            alias: Some("netns-rs 10.88.0.2/24".into()),
            controller: Some(2),
            ..Link::default()
        };
        let uplink = Link { index: 4, name: "eth0".into(), ..Link::default() };
        let addresses = [(2, "10.88.0.1/24"), (4, "192.0.2.7/24")];
        Survey {
            links: vec![bridge, port, uplink],
            addresses: addresses.map(|(index, text)| (index, Address::parse(text).unwrap())).to_vec(),
            is_locked: true,
        }
    }

    fn asked(address: &str, gateway: Option<&str>) -> Connection {
        Connection {
            bridge: "box0".into(),
            interface: "eth0".into(),
            addresses: vec![Address::parse(address).unwrap()],
            gateways: gateway.into_iter().map(|text| text.parse().unwrap()).collect(),
            ..Connection::default()
        }
    }

    #[test]
    fn the_refusal_of_an_address_names_the_interface_that_has_it() {
        let refusal = |asked: &Connection| match host().taken(asked) {
            Some(Taken::ByPort(fault) | Taken::ByHost(fault)) => fault.to_string(),
            None => String::new(),
        };
        assert_eq!(refusal(&asked("10.88.0.2/24", None)), "cannot assign 10.88.0.2/24 to eth0: veth1 on box0 has it");
        assert_eq!(
            refusal(&asked("10.88.0.1/24", None)),
            "cannot assign 10.88.0.1/24 to eth0: the host's own box0 has it"
        );
        assert_eq!(
            refusal(&asked("192.0.2.8/24", Some("192.0.2.7"))),
            "cannot assign 192.0.2.7/24 to box0: the host's own eth0 has it"
        );
        assert_eq!(refusal(&asked("10.88.0.3/24", Some("10.88.0.1"))), "");
    }

    #[test]
    fn a_bridge_that_we_did_not_make_is_not_changed() {
        let host = host();
        let bridge = host.bridge("box0").unwrap().unwrap();
        assert!(!host.needs_address(bridge, Address::parse("10.88.0.1/24").unwrap()).unwrap());
        assert!(host.needs_address(bridge, Address::parse("10.89.0.1/24").unwrap()).is_err());
        assert_eq!(host.idle_bridges().count(), 0);
    }

    #[test]
    fn a_name_of_something_else_is_refused() {
        assert!(host().bridge("eth0").unwrap_err().to_string().contains("not a bridge"));
        assert!(host().bridge("veth1").unwrap_err().to_string().contains("kind veth"));
        assert!(host().bridge("box9").unwrap().is_none());
    }
}
