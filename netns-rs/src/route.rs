//! Routes, by `RTM_*ROUTE` messages. `rtnetlink(7)`, `ip-route(8)`.
//!
//! The route to the container's own network comes with its address. The surprise: the kernel refuses a gateway
//! (ENETUNREACH) until the link is up and has an address.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use plumbing::Fault;

use crate::address::family;
use crate::link::parse;
use crate::message::{change_request, dump_request, get_request};
use crate::netlink::Netlink;
use crate::network::{Address, Route};

/// Sends everything without a better route to `gateway`, through the interface with this index.
pub fn add_default(netlink: &Netlink, gateway: IpAddr, index: u32) -> Result<(), Fault> {
    let mut message = message(gateway, index);
    message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
    netlink.change(
        format!("make {gateway} the default gateway"),
        &format!("RTM_NEWROUTE, RTA_GATEWAY \"{gateway}\""),
        "packets without another route go to the bridge; ip-route(8)",
        change_request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL),
    )
}

/// Adds a route through the interface with this index.
pub fn add(netlink: &Netlink, route: &Route, index: u32) -> Result<(), Fault> {
    let mut message = message(route.to.ip, index);
    message.header.destination_prefix_length = route.to.prefix;
    message.attributes.push(RouteAttribute::Destination(RouteAddress::from(route.to.ip)));
    match route.gateway {
        Some(gateway) => message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway))),
        None => message.header.scope = RouteScope::Link,
    }
    netlink.change(
        format!("add the route to {}", route.to),
        &format!("RTM_NEWROUTE, RTA_DST \"{}\"", route.to.ip),
        "more specific than the default route; ip-route(8)",
        change_request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL),
    )
}

fn message(family_of: IpAddr, index: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(family_of);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![RouteAttribute::Oif(index)];
    message
}

/// Refuses if the kernel would not send what is for `ip` to the interface with this index: a rule, another table or a
/// more specific route leads it elsewhere, and the container would be cut off in silence.
pub fn require_way(netlink: &Netlink, ip: IpAddr, index: u32, name: &str) -> Result<(), Fault> {
    let mut ask = RouteMessage::default();
    ask.header.address_family = family(ip);
    ask.header.destination_prefix_length = if ip.is_ipv4() { 32 } else { 128 };
    // IPv6 always reports the table, and refuses the flag.
    let table = if ip.is_ipv4() { RouteFlags::LookupTable } else { RouteFlags::empty() };
    ask.header.flags = RouteFlags::FibMatch | table;
    ask.attributes = vec![RouteAttribute::Destination(RouteAddress::from(ip))];
    let goal = format!("find the route to {ip}");
    let answers =
        netlink.get(&goal, &format!("RTM_GETROUTE, RTA_DST \"{ip}\""), get_request(RouteNetlinkMessage::GetRoute(ask)));
    let answers = answers.map_err(|fault| explain_refused(fault, ip))?;
    for answer in &answers {
        if let RouteNetlinkMessage::NewRoute(found) = parse(answer)?
            && out_by(&found) != [index]
        {
            let table = found.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Table(table) => Some(*table),
                _ => None,
            });
            let table = table.unwrap_or(u32::from(found.header.table));
            let network = destination(&found).map_or("default".to_owned(), |network| network.to_string());
            return Err(Fault::new(format!(
                "cannot reach {ip} by {name}: the route to {network} in table {table} leads elsewhere"
            ))
            .with_remedy(format!("see: ip route get {ip} fibmatch; ip rule")));
        }
    }
    Ok(())
}

/// Explains why the kernel refuses to name a route: each type of route that discards packets has an errno of its own.
fn explain_refused(fault: Fault, ip: IpAddr) -> Fault {
    let kind = match fault.errno() {
        Some(Errno::EINVAL) => "blackhole",
        Some(Errno::EHOSTUNREACH) => "unreachable",
        Some(Errno::ENETUNREACH) => {
            return fault.with_remedy("a rule of type unreachable discards what is sent there, or no rule leads to the main table; see: ip rule");
        }
        Some(Errno::EACCES) => "prohibit",
        _ => return fault,
    };
    fault.with_remedy(format!(
        "a route or rule of type {kind} discards what is sent there; see: ip rule; ip route get {ip}"
    ))
}

/// Returns the networks of the main table other than the default, each with the interface that leads there.
pub fn networks(netlink: &Netlink) -> Result<Vec<(u32, Address)>, Fault> {
    let mut found = Vec::new();
    for answer in &netlink.get(
        "list the routes",
        "RTM_GETROUTE",
        dump_request(RouteNetlinkMessage::GetRoute(RouteMessage::default())),
    )? {
        if let RouteNetlinkMessage::NewRoute(message) = parse(answer)?
            && message.header.table == RouteHeader::RT_TABLE_MAIN
            && message.header.kind == RouteType::Unicast
            && let Some(network) = destination(&message).filter(|network| !is_link_local(network.ip))
        {
            found.extend(out_by(&message).into_iter().map(|index| (index, network)));
        }
    }
    Ok(found)
}

/// Every interface with IPv6 has a route to the link-local network.
fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn destination(message: &RouteMessage) -> Option<Address> {
    let prefix = message.header.destination_prefix_length;
    message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(ip)) => Some(Address { ip: IpAddr::V4(*ip), prefix }),
        RouteAttribute::Destination(RouteAddress::Inet6(ip)) => Some(Address { ip: IpAddr::V6(*ip), prefix }),
        _ => None,
    })
}

/// Returns the interfaces that a route leads out by.
fn out_by(message: &RouteMessage) -> Vec<u32> {
    let mut found = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => found.push(*index),
            RouteAttribute::MultiPath(hops) => found.extend(hops.iter().map(|hop| hop.interface_index)),
            _ => {}
        }
    }
    found
}

/// Returns the gateway of the default route, IPv4 before IPv6; the one with the lowest metric if there are several.
pub fn default_gateway(netlink: &Netlink) -> Result<Option<IpAddr>, Fault> {
    let request = dump_request(RouteNetlinkMessage::GetRoute(RouteMessage::default()));
    let mut found: Vec<(bool, u32, IpAddr)> = Vec::new();
    for answer in &netlink.get("list the routes", "RTM_GETROUTE", request)? {
        if let RouteNetlinkMessage::NewRoute(message) = parse(answer)?
            && let Some((metric, gateway)) = as_default(&message)
        {
            found.push((gateway.is_ipv6(), metric, gateway));
        }
    }
    Ok(found.into_iter().min().map(|(_, _, gateway)| gateway))
}

/// Returns the indexes of the interfaces of outgoing routes of a family, in all tables.
pub fn outgoing(netlink: &Netlink, family: AddressFamily) -> Result<Vec<u32>, Fault> {
    let mut ask = RouteMessage::default();
    ask.header.address_family = family;
    let mut found = Vec::new();
    for answer in &netlink.get("list the routes", "RTM_GETROUTE", dump_request(RouteNetlinkMessage::GetRoute(ask)))? {
        if let RouteNetlinkMessage::NewRoute(message) = parse(answer)?
            && message.header.kind == RouteType::Unicast
        {
            found.extend(out_by(&message));
        }
    }
    Ok(found)
}

/// Returns the gateways of the default routes of the main table, each with the index of the interface and a prefix of 0;
/// without a gateway, the unspecified address. The kernel lists those with a lower metric first.
pub fn defaults(netlink: &Netlink) -> Result<Vec<(u32, Address)>, Fault> {
    let request = dump_request(RouteNetlinkMessage::GetRoute(RouteMessage::default()));
    let mut found = Vec::new();
    for answer in &netlink.get("list the routes", "RTM_GETROUTE", request)? {
        if let RouteNetlinkMessage::NewRoute(message) = parse(answer)?
            && is_default(&message)
        {
            let is_ipv4 = message.header.address_family == AddressFamily::Inet;
            let none = if is_ipv4 { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
            let ip = gateway(&message).unwrap_or(none);
            found.extend(out_by(&message).into_iter().map(|index| (index, Address { ip, prefix: 0 })));
        }
    }
    Ok(found)
}

fn as_default(message: &RouteMessage) -> Option<(u32, IpAddr)> {
    gateway(message).filter(|_| is_default(message)).map(|gateway| (metric(message), gateway))
}

fn is_default(message: &RouteMessage) -> bool {
    let header = &message.header;
    header.destination_prefix_length == 0
        && header.table == RouteHeader::RT_TABLE_MAIN
        && header.kind == RouteType::Unicast
}

fn gateway(message: &RouteMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
        RouteAttribute::Gateway(RouteAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    })
}

fn metric(message: &RouteMessage) -> u32 {
    let metric = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    });
    metric.unwrap_or(0)
}
