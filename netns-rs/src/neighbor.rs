//! What the host remembers about its neighbors: the hardware address for each address. `RTM_*NEIGH`, `ip-neighbour(8)`,
//! `arp(7)`.
//!
//! The surprise: an entry outlives the container that it was made for. A new container with the same address has
//! another hardware address, and is not reached until the kernel doubts the entry, which takes up to a minute.

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use nix::errno::Errno;
use plumbing::{Fault, narrate};

use crate::address::family;
use crate::link::parse;
use crate::message::{change_request, dump_request};
use crate::netlink::Netlink;
use crate::network::Address;

/// An entry: the index of the interface behind which it is, its address, and its hardware address; that is empty if it did
/// not answer.
pub type Neighbor = (u32, IpAddr, Vec<u8>);

/// Lists the entries of those addresses that are wanted. One that is being looked for is left out.
pub fn list(netlink: &Netlink, is_wanted: impl Fn(IpAddr) -> bool) -> Result<Vec<Neighbor>, Fault> {
    let request = dump_request(RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()));
    let mut found = Vec::new();
    for answer in &netlink.get("list the neighbors", "RTM_GETNEIGH", request)? {
        if let RouteNetlinkMessage::NewNeighbour(message) = parse(answer)?
            && let Some(ip) = ip(&message).filter(|ip| is_wanted(*ip))
        {
            let mac = message.attributes.iter().find_map(|attribute| match attribute {
                NeighbourAttribute::LinkLayerAddress(mac) => Some(mac.clone()),
                _ => None,
            });
            if message.header.state == NeighbourState::Failed {
                found.push((message.header.ifindex, ip, Vec::new()));
            } else {
                found.extend(mac.map(|mac| (message.header.ifindex, ip, mac)));
            }
        }
    }
    Ok(found)
}

/// Forgets the hardware addresses of these addresses on the interface with this index.
pub fn forget(netlink: &Netlink, index: u32, addresses: &[Address]) -> Result<(), Fault> {
    if narrate::is_dry_run() {
        return Ok(());
    }
    let known = list(netlink, |ip| addresses.iter().any(|address| address.ip == ip))?;
    known.iter().filter(|known| known.0 == index).try_for_each(|known| delete(netlink, index, known.1))
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
