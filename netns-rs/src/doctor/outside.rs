//! Our side of the cables: the other end of each pair, its bridge, what the host forwards, and by which packet size.
//! `veth(4)`, `bridge(8)`, `ip-sysctl` in the kernel's documentation.

use std::net::IpAddr;

use plumbing::Fault;

use super::inside::{made, of};
use super::{Report, firewall};
use crate::forwarding::{self, Family};
use crate::link::{self, Link};
use crate::neighbor::Neighbor;
use crate::netlink::Netlink;
use crate::network::Address;
use crate::see::Seen;
use crate::settings::Settings;
use crate::show::Side;
use crate::{address, neighbor, route};

/// A pair of which one end is inside, and the other one on our side.
pub struct Cable {
    /// The end inside.
    pub inside: Link,
    /// Our end.
    pub end: Link,
    /// The bridge of which it is a port.
    bridge: Option<Link>,
    /// What our side can answer with: the bridge, or our end if it has an address itself.
    pub port: Option<Link>,
    /// The addresses of that.
    pub addresses: Vec<Address>,
    /// The networks to which other interfaces of our side lead.
    elsewhere: Vec<Address>,
}

impl Cable {
    /// Returns the name of what answers on our side.
    pub fn port_name(&self) -> &str {
        &self.port.as_ref().unwrap_or(&self.end).name
    }

    /// Returns whether our side has this address.
    pub fn has(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.ip == ip)
    }

    /// Returns whether our side may get this address. The container chooses its gateway: one outside of the networks of our
    /// side, or in a network elsewhere, would draw traffic to the container.
    pub fn may_get(&self, address: &Address) -> bool {
        let is_known = self.addresses.iter().any(|own| own.reaches(address.ip));
        let is_free =
            address::is_private(address.ip) && !self.elsewhere.iter().any(|network| network.overlaps(address));
        is_known || (self.addresses.is_empty() && is_free)
    }
}

/// Finds the pairs that lead to us. `id` is the number of the namespace in ours.
pub fn cables(near: &Netlink, facts: &Seen, id: Option<i32>) -> Result<Vec<Cable>, Fault> {
    let (links, addresses, networks) = (link::list(near)?, address::list(near)?, route::networks(near)?);
    let side = Side { links: &links, is_home: false, id };
    let cable = |inside: &Link| {
        let end = side.peer(inside)?;
        let bridge = end.controller.and_then(|index| side.by_index(index)).cloned();
        let of = |index: u32| {
            addresses.iter().filter(move |(of, _)| *of == index).map(|(_, address)| *address).collect::<Vec<_>>()
        };
        let port = bridge.clone().or_else(|| (!of(end.index).is_empty()).then(|| end.clone()));
        let addresses = port.as_ref().map(|port| of(port.index)).unwrap_or_default();
        let at = port.as_ref().map(|port| port.index);
        let elsewhere = networks.iter().filter(|(index, _)| Some(*index) != at).map(|(_, network)| *network).collect();
        Some(Cable { inside: inside.clone(), end: end.clone(), bridge, port, addresses, elsewhere })
    };
    Ok(made(facts).into_iter().filter_map(cable).collect())
}

/// Checks our side of the cables.
pub fn check(
    near: &Netlink,
    facts: &Seen,
    cables: &[Cable],
    there: &[String],
    report: &mut Report,
) -> Result<(), Fault> {
    let uplinks = route::defaults(near)?;
    let links = link::list(near)?;
    let uplink = uplinks.iter().find_map(|(index, _)| links.iter().find(|link| link.index == *index));
    for cable in cables {
        ends(cable, report)?;
        sizes(cable, uplink, there, report);
        hardware_addresses(near, facts, cable, there, report)?;
        let Some(port) = &cable.port else { continue };
        for (index, gateway) in &facts.defaults {
            if *index == cable.inside.index && cable.has(gateway.ip) {
                forwards(port, uplink, gateway.ip, report)?;
                let mut own = of(facts, *index);
                own.retain(|own| own.ip.is_ipv4() == gateway.ip.is_ipv4());
                let outcome = firewall::check(port, uplink, &own, report);
                report.note("the firewall", outcome)?;
            }
        }
    }
    Ok(())
}

fn ends(cable: &Cable, report: &mut Report) -> Result<(), Fault> {
    for link in [Some(&cable.end), cable.bridge.as_ref()].into_iter().flatten().filter(|link| !link.is_up) {
        let what = if link.is("bridge") { "the bridge of" } else { "the other end of" };
        let problem = format!("{} is down, {what} {}", link.name, cable.inside.name);
        report.add("link", problem, &[], &["ip", "link", "set", "dev", &link.name, "up"]);
    }
    // A router without addresses, as some networks of clusters have it.
    let answers_for_all = Settings::open()?.get(&format!("ipv4/conf/{}/proxy_arp", cable.end.name))?;
    if cable.port.is_none() && answers_for_all.as_deref() != Some("1") {
        let (end, inside) = (&cable.end.name, &cable.inside.name);
        let problem = format!("{end}, the other end of {inside}, is on no bridge and has no address");
        report.add("link", problem, &[], &["ip", "link", "set", "dev", end, "master", "BRIDGE"]);
    }
    Ok(())
}

/// What is longer than the next interface can carry is lost if the message that says so is.
fn sizes(cable: &Cable, uplink: Option<&Link>, there: &[String], report: &mut Report) {
    let others = [Some(&cable.end), cable.bridge.as_ref(), uplink];
    let least = others.into_iter().flatten().min_by_key(|link| link.mtu);
    if let Some(least) = least.filter(|least| least.mtu < cable.inside.mtu) {
        let Link { name, mtu, .. } = &cable.inside;
        let problem = format!("{name} sends packets of {mtu} bytes, and {} carries {}", least.name, least.mtu);
        report.add("mtu", problem, there, &["ip", "link", "set", "dev", name, "mtu", &least.mtu.to_string()]);
    }
}

/// Compares what each side remembers about the other one with what is true.
fn hardware_addresses(
    near: &Netlink,
    facts: &Seen,
    cable: &Cable,
    there: &[String],
    report: &mut Report,
) -> Result<(), Fault> {
    let Some(port) = &cable.port else { return Ok(()) };
    let inside = &cable.inside;
    let own = of(facts, inside.index);
    let remembered = neighbor::list(near, |ip| own.iter().any(|own| own.ip == ip))?;
    let mut compare = |(index, ip, mac): &Neighbor, at: &Link, really: &Link, before: &[String]| {
        if *index == at.index && !mac.is_empty() && *mac != really.mac {
            let problem =
                format!("{} remembers another hardware address for {ip} than that of {}", at.name, really.name);
            report.add("neighbor", problem, before, &["ip", "neigh", "del", &ip.to_string(), "dev", &at.name]);
        }
    };
    for known in facts.gateways.iter().filter(|known| cable.has(known.1)) {
        compare(known, inside, port, there);
    }
    remembered.iter().for_each(|known| compare(known, port, inside, &[]));
    Ok(())
}

/// What arrives from the container, and the answers to it, must be forwarded.
fn forwards(port: &Link, uplink: Option<&Link>, gateway: IpAddr, report: &mut Report) -> Result<(), Fault> {
    let settings = Settings::open()?;
    let family = if gateway.is_ipv4() { Family::V4 } else { Family::V6 };
    for link in [Some(port), uplink].into_iter().flatten() {
        let is_open = forwarding::is_open(&settings, &link.name, family)?;
        // IPv4 has a setting for each interface, which the one for all of them sets.
        if !is_open && (family == Family::V4 || !forwarding::is_on(&settings, family)?) {
            let problem = format!("the host does not forward what arrives on {}", link.name);
            let setting = format!("net/{}=1", forwarding::path(&link.name, family));
            report.add("forwarding", problem, &[], &["sysctl", "-w", &setting]);
        }
    }
    Ok(())
}
