//! What the host remembers about its neighbors: the hardware address for each address. `RTM_*NEIGH`, `ip-neighbour(8)`,
//! `arp(7)`.
//!
//! The surprise: an entry outlives the container that it was made for. A new container with the same address has
//! another hardware address, and is not reached until the kernel doubts the entry, which takes up to a minute.

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use nix::errno::Errno;
use plumbing::{Fault, narrate};

use crate::address::family;
use crate::link::parse;
use crate::message::{change_request, dump_request};
use crate::netlink::Netlink;
use crate::network::Address;

/// Forgets the hardware addresses of these addresses on the interface with this index.
pub fn forget(netlink: &Netlink, index: u32, addresses: &[Address]) -> Result<(), Fault> {
    if narrate::is_dry_run() {
        return Ok(());
    }
    let request = dump_request(RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()));
    for answer in &netlink.get("list the neighbors", "RTM_GETNEIGH", request)? {
        if let RouteNetlinkMessage::NewNeighbour(message) = parse(answer)?
            && message.header.ifindex == index
            && let Some(ip) = ip(&message)
            && addresses.iter().any(|address| address.ip == ip)
        {
            delete(netlink, index, ip)?;
        }
    }
    Ok(())
}

fn delete(netlink: &Netlink, index: u32, ip: IpAddr) -> Result<(), Fault> {
    let destination = match ip {
        IpAddr::V4(ip) => NeighbourAddress::Inet(ip),
        IpAddr::V6(ip) => NeighbourAddress::Inet6(ip),
    };
    let mut message = NeighbourMessage::default();
    message.header.family = family(ip);
    message.header.ifindex = index;
    message.attributes.push(NeighbourAttribute::Destination(destination));
    let outcome = netlink.change(
        format!("forget the hardware address of {ip}"),
        &format!("RTM_DELNEIGH, NDA_DST \"{ip}\""),
        "it is that of an earlier container with this address; ip-neighbour(8)",
        change_request(RouteNetlinkMessage::DelNeighbour(message), 0),
    );
    match outcome {
        // The kernel has forgotten it by itself.
        Err(fault) if fault.errno() == Some(Errno::ENOENT) => Ok(()),
        outcome => outcome,
    }
}

fn ip(message: &NeighbourMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    })
}
