//! Addresses of interfaces, by `RTM_*ADDR` messages. `rtnetlink(7)`, `ip-address(8)`.
//!
//! An IPv6 address is tentative, which means unusable, for more than a second while the kernel looks for a duplicate of
//! it. On a veth pair that we have just made, the only possible duplicates are those that we know of, so that search is
//! left out.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use plumbing::Fault;

use crate::link::parse;
use crate::message::{change_request, dump_request};
use crate::netlink::Netlink;
use crate::network::Address;

/// Lists all addresses of the socket's namespace, each with the index of its interface.
pub fn list(netlink: &Netlink) -> Result<Vec<(u32, Address)>, Fault> {
    let request = dump_request(RouteNetlinkMessage::GetAddress(AddressMessage::default()));
    let mut addresses = Vec::new();
    for answer in &netlink.get("list the addresses", "RTM_GETADDR", request)? {
        if let RouteNetlinkMessage::NewAddress(message) = parse(answer)?
            && let Some(ip) = own_ip(&message)
        {
            addresses.push((message.header.index, Address { ip, prefix: message.header.prefix_len }));
        }
    }
    Ok(addresses)
}

/// Returns the interface's own address: on a point-to-point link `IFA_ADDRESS` is that of the other side.
fn own_ip(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })
}

/// Adds an address to the interface `name`.
pub fn add(netlink: &Netlink, name: &str, index: u32, address: Address, why: &str) -> Result<(), Fault> {
    let mut message = message(index, address);
    let mut flags = "";
    match address.ip {
        IpAddr::V4(ip) if address.prefix < 31 => {
            let host_bits = u32::MAX >> address.prefix;
            message.attributes.push(AddressAttribute::Broadcast((u32::from(ip) | host_bits).into()));
        }
        IpAddr::V4(_) => {}
        IpAddr::V6(_) => {
            message.header.flags = AddressHeaderFlags::Nodad;
            flags = ", IFA_F_NODAD";
        }
    }
    netlink.change(
        format!("assign {address} to {name}"),
        &format!("RTM_NEWADDR, IFA_LOCAL \"{}\"{flags}", address.ip),
        why,
        change_request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL),
    )
}

/// An address that was added to an interface.
pub struct Given {
    /// The interface.
    pub name: String,
    /// The address.
    pub address: Address,
}

/// Removes the address.
pub fn remove(netlink: &Netlink, index: u32, given: &Given) -> Result<(), Fault> {
    let Given { name, address } = given;
    netlink.change(
        format!("remove {address} from {name}"),
        &format!("RTM_DELADDR, IFA_LOCAL \"{}\"", address.ip),
        "the connection was not completed",
        change_request(RouteNetlinkMessage::DelAddress(message(index, *address)), 0),
    )
}

fn message(index: u32, address: Address) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.ip);
    message.header.prefix_len = address.prefix;
    message.header.index = index;
    message.attributes = vec![AddressAttribute::Local(address.ip), AddressAttribute::Address(address.ip)];
    message
}

/// Returns the family of an address, for message headers.
pub fn family(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// Returns whether the kernel makes such an address by itself: a link-local one.
pub fn is_automatic(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Returns whether an address is of those for private networks: RFC 1918, RFC 4193.
pub fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}
