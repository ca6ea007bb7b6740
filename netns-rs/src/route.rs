//! Routes, by `RTM_*ROUTE` messages. `rtnetlink(7)`, `ip-route(8)`.
//!
//! We only make the default route: the route to the container's own network comes with its address. The surprise: the
//! kernel refuses a gateway (ENETUNREACH) until the link is up and has an address.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use plumbing::Fault;

use crate::address::family;
use crate::link::parse;
use crate::message::{change_request, dump_request};
use crate::netlink::Netlink;

/// Sends everything without a better route to `gateway`, through the interface with this index.
pub fn add_default(netlink: &Netlink, gateway: IpAddr, index: u32) -> Result<(), Fault> {
    let mut message = RouteMessage::default();
    message.header.address_family = family(gateway);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![RouteAttribute::Gateway(RouteAddress::from(gateway)), RouteAttribute::Oif(index)];
    netlink.change(
        format!("make {gateway} the default gateway"),
        &format!("RTM_NEWROUTE, RTA_GATEWAY \"{gateway}\""),
        "packets without another route go to the bridge; ip-route(8)",
        change_request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL),
    )
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

/// Returns the indexes of the interfaces of outgoing IPv4 routes, in all tables.
pub fn outgoing(netlink: &Netlink) -> Result<Vec<u32>, Fault> {
    let mut ask = RouteMessage::default();
    ask.header.address_family = AddressFamily::Inet;
    let mut found = Vec::new();
    for answer in &netlink.get("list the routes", "RTM_GETROUTE", dump_request(RouteNetlinkMessage::GetRoute(ask)))? {
        if let RouteNetlinkMessage::NewRoute(message) = parse(answer)?
            && message.header.kind == RouteType::Unicast
        {
            for attribute in &message.attributes {
                match attribute {
                    RouteAttribute::Oif(index) => found.push(*index),
                    RouteAttribute::MultiPath(hops) => found.extend(hops.iter().map(|hop| hop.interface_index)),
                    _ => {}
                }
            }
        }
    }
    Ok(found)
}

fn as_default(message: &RouteMessage) -> Option<(u32, IpAddr)> {
    let header = &message.header;
    let is_default = header.destination_prefix_length == 0
        && header.table == RouteHeader::RT_TABLE_MAIN
        && header.kind == RouteType::Unicast;
    let gateway = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
        RouteAttribute::Gateway(RouteAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    });
    let metric = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    });
    gateway.filter(|_| is_default).map(|gateway| (metric.unwrap_or(0), gateway))
}
