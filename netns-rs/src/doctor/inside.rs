//! What a network namespace needs by itself: interfaces that are up, addresses, a default route, a gateway that answers.
//! `rtnetlink(7)`.

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use plumbing::Fault;

use super::Report;
use super::outside::Cable;
use crate::address;
use crate::link::{self, Link};
use crate::message::dump_request;
use crate::neighbor;
use crate::netlink::Netlink;
use crate::network::Address;
use crate::route;
use crate::see::Seen;

/// Reads the contents of the socket's namespace.
pub fn read(netlink: &Netlink) -> Result<Seen, Fault> {
    let defaults = route::defaults(netlink)?;
    let gateways = neighbor::list(netlink, |ip| defaults.iter().any(|(_, gateway)| gateway.ip == ip))?;
    let (links, addresses) = (link::list(netlink)?, address::list(netlink)?);
    Ok(Seen { links, addresses, gateway: None, defaults, duplicates: duplicates(netlink)?, gateways })
}

/// Returns the addresses of an interface; those that IPv6 chose for the link alone are left out.
pub fn of(facts: &Seen, index: u32) -> Vec<Address> {
    let own = facts.addresses.iter().filter(|(of, _)| *of == index).map(|(_, address)| *address);
    own.filter(|address| !matches!(address.ip, IpAddr::V6(ip) if ip.is_unicast_link_local())).collect()
}

/// Returns the interfaces that someone made: not the loopback, nor the tunnels that the kernel makes everywhere.
pub fn made(facts: &Seen) -> Vec<&Link> {
    let is_everywhere = |link: &Link| link.peer == Some(0) && !link.is("veth");
    facts.links.iter().filter(|link| link.index != link::LOOPBACK && !is_everywhere(link)).collect()
}

fn duplicates(netlink: &Netlink) -> Result<Vec<(u32, Address)>, Fault> {
    let request = dump_request(RouteNetlinkMessage::GetAddress(AddressMessage::default()));
    let mut found = Vec::new();
    for answer in &netlink.get("list the addresses", "RTM_GETADDR", request)? {
        let RouteNetlinkMessage::NewAddress(message) = link::parse(answer)? else { continue };
        let failed = |flags: &AddressAttribute| matches!(flags, AddressAttribute::Flags(flags) if flags.contains(AddressFlags::Dadfailed));
        let ip = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        });
        found.extend(
            ip.filter(|_| message.attributes.iter().any(failed))
                .map(|ip| (message.header.index, Address { ip, prefix: message.header.prefix_len })),
        );
    }
    Ok(found)
}

/// Checks what is inside; `there` is the beginning of a command in the namespace.
pub fn check(facts: &Seen, cables: &[Cable], there: &[String], report: &mut Report) {
    let mut ip = |check, problem, words: &[&str]| report.add(check, problem, there, words);
    let links = made(facts);
    if let Some(lo) = facts.links.iter().find(|link| link.index == link::LOOPBACK && !link.is_up) {
        let problem = format!("{} is down: not even 127.0.0.1 answers", lo.name);
        ip("link", problem, &["ip", "link", "set", "dev", &lo.name, "up"]);
    }
    if links.is_empty() {
        let problem = "there is no interface but the loopback: it is connected to nothing".to_owned();
        report.add(
            "link",
            problem,
            &[],
            &["netns-rs", "connect", "NAMESPACE", "--bridge", "BRIDGE", "--address", "auto:SUBNET"],
        );
        return;
    }
    for link in &links {
        let is_known = cables.iter().any(|cable| cable.inside.index == link.index);
        let is_dark = matches!(link.state.as_str(), "down" | "lowerlayerdown") && !link.is("bridge");
        if !link.is_up {
            ip("link", format!("{} is down", link.name), &["ip", "link", "set", "dev", &link.name, "up"]);
        } else if is_dark && !is_known {
            let problem = format!("{} has no carrier: its other end is down or gone", link.name);
            ip("link", problem, &["ip", "-d", "link", "show", "dev", &link.name]);
        }
        let is_below = link.controller.is_some()
            || links.iter().any(|other| other.kind.is_some() && !other.is("veth") && other.peer == Some(link.index));
        if link.is_up && !is_below && of(facts, link.index).is_empty() {
            let problem = format!("{} has no address", link.name);
            ip("address", problem, &["ip", "address", "add", "ADDRESS/PREFIX", "dev", &link.name]);
        }
    }
    for (index, duplicate) in &facts.duplicates {
        let problem = format!("another host has {duplicate} of {}, too: it is not used", name(facts, *index));
        ip("address", problem, &["ip", "address", "del", &duplicate.to_string(), "dev", name(facts, *index)]);
    }
    routes(facts, cables, there, report);
}

fn name(facts: &Seen, index: u32) -> &str {
    facts.links.iter().find(|link| link.index == index).map_or("?", |link| &link.name)
}

/// A gateway is suggested if our side of the cable has an address of the same network.
fn routes(facts: &Seen, cables: &[Cable], there: &[String], report: &mut Report) {
    let with_address = made(facts).into_iter().find_map(|link| Some((link, *of(facts, link.index).first()?)));
    if let Some((link, own)) = with_address.filter(|_| facts.defaults.is_empty()) {
        let known = cables.iter().filter(|cable| cable.inside.index == link.index).flat_map(|cable| &cable.addresses);
        let gateway = known.map(|known| known.ip).find(|ip| own.reaches(*ip));
        let gateway = gateway.map_or("GATEWAY".to_owned(), |ip| ip.to_string());
        let problem = "there is no default route: only its own networks are reached".to_owned();
        report.add("route", problem, there, &["ip", "route", "add", "default", "via", &gateway, "dev", &link.name]);
    }
    for (index, ip, _) in facts.gateways.iter().filter(|known| known.2.is_empty()) {
        let cable = cables.iter().find(|cable| cable.inside.index == *index && cable.port.is_some());
        silent_gateway(facts, *ip, name(facts, *index), (*index, cable), there, report);
    }
}

fn silent_gateway(
    facts: &Seen,
    ip: IpAddr,
    name: &str,
    (index, cable): (u32, Option<&Cable>),
    there: &[String],
    report: &mut Report,
) {
    let problem = format!("the gateway {ip} does not answer");
    let Some(cable) = cable.filter(|cable| !cable.has(ip)) else {
        return report.add("gateway", problem, there, &["ip", "neigh", "del", &ip.to_string(), "dev", name]);
    };
    let own = of(facts, index).into_iter().find(|own| own.reaches(ip));
    let at = Address { ip, prefix: own.map_or(if ip.is_ipv4() { 32 } else { 128 }, |own| own.prefix) };
    let problem = format!("{problem}: {} does not have that address", cable.port_name());
    if cable.may_get(&at) {
        report.add("gateway", problem, &[], &["ip", "address", "add", &at.to_string(), "dev", cable.port_name()]);
    } else {
        let gateway = cable.addresses.iter().find(|known| known.ip.is_ipv4() == ip.is_ipv4());
        let gateway = gateway.map_or("GATEWAY".to_owned(), |known| known.ip.to_string());
        report.add("gateway", problem, there, &["ip", "route", "replace", "default", "via", &gateway, "dev", name]);
    }
}
