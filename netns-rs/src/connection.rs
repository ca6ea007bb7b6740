//! The wanted connection of a container, and which combinations of options make sense. Pure. `bridge(8)`, `veth(4)`.
//!
//! The surprise: the kernel itself accepts many combinations that can never carry a packet, such as a gateway outside
//! every subnet of a link that has one.

use std::net::IpAddr;

use plumbing::Fault;

use crate::cni;
use crate::direct::{Direct, Kind, Macvlan};
use crate::mark::{LONGEST_ALIAS, LONGEST_REST, Mark};
use crate::network::{Address, Route, Subnet};
use crate::publish::Published;
use crate::shape::Shape;

/// The connection of a container: a veth pair, one end inside, one as a port of a bridge on the host; or without a bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// The bridge on the host; empty for a connection without one.
    pub bridge: String,
    /// The link inside, if it is on top of an interface of the host, without a bridge.
    pub direct: Option<Direct>,
    /// The network of a CNI configuration, if that is the connection.
    pub cni: Option<cni::Wanted>,
    /// The interface of the host that moves inside, if that is the connection.
    pub moved: Option<String>,
    /// The interface inside.
    pub interface: String,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// A further address, which is chosen when the host's network is known: of this subnet, or of that of the bridge.
    pub auto: Option<Option<Subnet>>,
    /// The default gateways, at most one of each family: the bridge's own addresses.
    pub gateways: Vec<IpAddr>,
    /// Whether packets to the outside are masqueraded with the host's address.
    pub nat: bool,
    /// The ports of the host that lead to it.
    pub published: Vec<Published>,
    /// More routes inside.
    pub routes: Vec<Route>,
    /// The longest packet that the pair carries.
    pub mtu: Option<u32>,
    /// The bandwidth and the impairment in each direction.
    pub shape: Shape,
    /// The hardware address inside.
    pub mac: Option<[u8; 6]>,
    /// Whether it is kept apart from the other isolated ports of the bridge.
    pub isolate: bool,
    /// Whether it may send from other addresses, too.
    pub allow_spoofing: bool,
    /// The name of the container.
    pub name: Option<String>,
}

impl Connection {
    /// Refuses combinations that could not work; the error names the option.
    pub fn check(self) -> Result<Connection, Fault> {
        for (at, address) in self.addresses.iter().enumerate() {
            if self.addresses[..at].iter().any(|earlier| earlier.ip == address.ip) {
                return Err(Fault::usage(format!("--address {address}: the address is given twice")));
            }
        }
        self.check_direct()?;
        self.check_published()?;
        if self.cni.is_some() {
            return cni::check(&self).map(|()| self);
        }
        if self.auto.is_some() {
            // The rest is checked when the address is known.
            return Ok(self);
        }
        if self.addresses.is_empty() && self.direct.is_none() && self.moved.is_none() {
            return Err(Fault::usage("--bridge needs --address, such as --address 10.88.0.2/24"));
        }
        let (addresses, published) = (self.addresses.clone(), self.published.clone());
        let alias = Mark { addresses, published, ..Mark::default() }.text();
        if alias.len() + LONGEST_REST > LONGEST_ALIAS {
            return Err(Fault::usage("--address, --publish: too many addresses and ports for one interface"));
        }
        for (at, gateway) in self.gateways.iter().enumerate() {
            if self.gateways[..at].iter().any(|earlier| earlier.is_ipv4() == gateway.is_ipv4()) {
                return Err(Fault::usage(format!("--gateway {gateway}: a second one of the same family")));
            }
            self.check_gateway(*gateway)?;
        }
        if self.nat && self.gateways.is_empty() {
            return Err(Fault::usage("--nat needs --gateway: without it no packet leaves the bridge"));
        }
        for published in &self.published {
            if ![true, false].into_iter().any(|is_ipv4| self.masquerades(is_ipv4) && published.is_for(is_ipv4)) {
                return Err(Fault::usage(format!("--publish {published}: there is no --gateway of that family")));
            }
        }
        self.routes.iter().try_for_each(|route| self.check_route(route))?;
        Ok(self)
    }

    fn check_published(&self) -> Result<(), Fault> {
        for (at, published) in self.published.iter().enumerate() {
            if self.published[..at].iter().any(|earlier| earlier.conflicts_with(published)) {
                return Err(Fault::usage(format!("--publish {published}: the port is published twice")));
            }
        }
        Ok(())
    }

    fn check_direct(&self) -> Result<(), Fault> {
        if self.allow_spoofing && self.isolate {
            return Err(Fault::usage(
                "--allow-spoofing and --isolate: what keeps containers apart are their addresses",
            ));
        }
        if self.auto.is_some() && (self.direct.is_some() || self.moved.is_some()) {
            return Err(Fault::usage("--address auto needs --bridge: which addresses are free elsewhere is not known"));
        }
        if self.moved.is_some() && (self.mac.is_some() || self.mtu.is_some()) {
            return Err(Fault::usage("--mac, --mtu: not with --link, whose interface comes back as it was"));
        }
        let Some(direct) = &self.direct else { return Ok(()) };
        let is_fixed = matches!(direct.kind, Kind::Ipvlan(_) | Kind::Macvlan(Macvlan::Passthru));
        if self.mac.is_some() && is_fixed {
            return Err(Fault::usage("--mac: this interface has the hardware address of its parent"));
        }
        Ok(())
    }

    fn check_gateway(&self, gateway: IpAddr) -> Result<(), Fault> {
        if self.addresses.iter().any(|address| address.ip == gateway) {
            return Err(Fault::usage(format!("--gateway {gateway}: it is the container's own --address")));
        }
        let Some(own) = self.on_bridge(gateway) else {
            return Err(Fault::usage(format!(
                "--gateway {gateway}: it is not in the network of any --address ({}), so it could not be reached",
                self.networks()
            )));
        };
        own.require_host().map_err(|why| Fault::usage(format!("--gateway {gateway}: {why}")))
    }

    fn check_route(&self, route: &Route) -> Result<(), Fault> {
        match route.gateway {
            Some(gateway) if self.on_bridge(gateway).is_none() => Err(Fault::usage(format!(
                "--route {},{gateway}: the router is not in the network of any --address ({})",
                route.to,
                self.networks()
            ))),
            None if !self.addresses.iter().any(|address| address.ip.is_ipv4() == route.to.ip.is_ipv4()) => {
                Err(Fault::usage(format!("--route {}: there is no --address of its family", route.to)))
            }
            _ => Ok(()),
        }
    }

    fn networks(&self) -> String {
        self.addresses.iter().map(Address::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Returns an address with the prefix of its network.
    fn on_bridge(&self, ip: IpAddr) -> Option<Address> {
        let subnet = self.addresses.iter().find(|address| address.reaches(ip))?;
        Some(Address { ip, prefix: subnet.prefix })
    }

    /// Returns the addresses for the bridge, each with the prefix of its network.
    pub fn bridge_addresses(&self) -> impl Iterator<Item = Address> {
        self.gateways.iter().filter_map(|gateway| self.on_bridge(*gateway))
    }

    /// Returns whether it has this address.
    pub fn has(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|address| address.ip == ip)
    }

    /// Returns whether one of the addresses is of IPv6.
    pub fn has_ipv6(&self) -> bool {
        self.addresses.iter().any(|address| address.ip.is_ipv6())
    }

    /// Returns whether packets of this family are masqueraded: those that leave by a gateway.
    pub fn masquerades(&self, is_ipv4: bool) -> bool {
        self.nat && self.gateways.iter().any(|gateway| gateway.is_ipv4() == is_ipv4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(addresses: &[&str], gateways: &[&str], nat: bool) -> Connection {
        Connection {
            addresses: addresses.iter().map(|text| Address::parse(text).unwrap()).collect(),
            gateways: gateways.iter().map(|text| crate::network::gateway(text).unwrap()).collect(),
            nat,
            ..Connection::default()
        }
    }

    fn direct(parent: &str, mac: Option<[u8; 6]>) -> Connection {
        Connection { direct: Direct::ipvlan(parent).ok(), mac, ..Connection::default() }
    }

    #[test]
    fn combinations_that_could_not_work_are_refused() {
        for (asked, said) in [
            (connection(&[], &[], false), "--address"),
            (connection(&["10.88.0.2/24"], &["10.89.0.1"], false), "--gateway 10.89.0.1"),
            (connection(&["10.88.0.2/24"], &["10.88.0.2"], false), "own --address"),
            (connection(&["10.88.0.2/24"], &["10.88.0.255"], false), "broadcast"),
            (connection(&["10.88.0.2/24", "10.88.0.2/16"], &[], false), "twice"),
            (connection(&["10.88.0.2/24"], &[], true), "--nat needs --gateway"),
            (connection(&["10.88.0.2/24"], &["10.88.0.1", "10.88.0.3"], false), "same family"),
            (
                Connection { allow_spoofing: true, isolate: true, ..connection(&["10.88.0.2/24"], &[], false) },
                "--isolate",
            ),
            (direct("p", Some([2; 6])), "--mac"),
            (Connection { auto: Some(None), ..direct("p", None) }, "--address auto needs --bridge"),
        ] {
            let fault = asked.check().unwrap_err().to_string();
            assert!(fault.contains(said), "{fault}");
        }
        assert!(connection(&["10.88.0.2/24", "fd00::2/64"], &["10.88.0.1"], true).check().is_ok());
        assert!(direct("p", None).check().is_ok(), "an address can come by DHCP");
    }

    #[test]
    fn the_bridge_gets_the_gateway_with_the_prefix_of_its_network() {
        let asked = connection(&["fd00::2/64", "10.88.0.2/24"], &["10.88.0.1"], false);
        assert_eq!(asked.bridge_addresses().map(|own| own.to_string()).collect::<Vec<_>>(), ["10.88.0.1/24"]);
    }
}
