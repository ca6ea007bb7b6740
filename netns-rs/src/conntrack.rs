//! The tracked connections of an address: deleting them, so that the next container with this address does not get
//! what they let in. `nft(8)`; `enum ctattr_type` in the kernel's `nfnetlink_conntrack.h`.
//!
//! The surprise: an entry outlives the process, the interface and the network namespace that it was made for, by
//! minutes or days, and everything that belongs to it is "established". The entries of the host's other connections are
//! in the same table, so each entry is deleted by itself.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use nix::errno::Errno;
use plumbing::{Fault, narrate};

use crate::message::{attribute, attributes, nested};
use crate::netlink::Netlink;
use crate::nftables::message;
use crate::settings::Settings;

const NEW: u16 = 1 << 8; // NFNL_SUBSYS_CTNETLINK
const GET: u16 = NEW | 1;
const DELETE: u16 = NEW | 2;

/// The two directions of a connection: `CTA_TUPLE_ORIG` and `CTA_TUPLE_REPLY`.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
/// `CTA_TUPLE_IP`
const ADDRESSES: u16 = 1;
/// `CTA_ID` and `CTA_ZONE`: with them, only the entry that we saw is deleted.
const ID: u16 = 12;
const ZONE: u16 = 18;

/// A place of an address in an entry.
#[derive(Clone, Copy)]
struct Place {
    direction: u16,
    is_destination: bool,
}

/// What reaches an address belongs to a connection that it began, or whose answers it sends.
const PLACES: [Place; 2] =
    [Place { direction: ORIGINAL, is_destination: false }, Place { direction: REPLY, is_destination: false }];

/// Up to so many entries, all of them are read: each filter costs a walk through the whole table, which takes 10 ms with
/// 262144 buckets, however few of them are used.
const FEW: u32 = 4096;

/// Deletes the entries that let something reach one of the addresses, in the network namespace that we are in.
pub fn forget(addresses: impl IntoIterator<Item = IpAddr>) -> Result<(), Fault> {
    // Only CAP_NET_ADMIN may list them, and a dry run needs no privilege.
    if narrate::is_dry_run() {
        return Ok(());
    }
    let count = Settings::open()?.get("netfilter/nf_conntrack_count")?.and_then(|count| count.parse::<u32>().ok());
    if count == Some(0) {
        return Ok(());
    }
    let netlink = Netlink::open(netlink_sys::protocols::NETLINK_NETFILTER, "NETLINK_NETFILTER")?;
    let addresses: Vec<_> = addresses.into_iter().collect();
    let outcome = match count {
        Some(..=FEW) => forget_among_all(&netlink, &addresses),
        _ => addresses.iter().try_for_each(|ip| PLACES.iter().try_for_each(|place| forget_at(&netlink, *ip, *place))),
    };
    match outcome {
        // The subsystem is missing.
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => {
            narrate::warn(
                "the kernel cannot list tracked connections, so those of an earlier container with the same address are \
                 still let in; load nf_conntrack_netlink",
            );
            Ok(())
        }
        outcome => outcome,
    }
}

fn forget_among_all(netlink: &Netlink, addresses: &[IpAddr]) -> Result<(), Fault> {
    const ALL_FAMILIES: u8 = 0;
    let request = message(GET, NLM_F_REQUEST | NLM_F_DUMP, ALL_FAMILIES, 0, &[]);
    let found = list(netlink, "list the tracked connections".to_owned(), request)?;
    for entry in &found {
        let key = |address: &IpAddr| PLACES.iter().find_map(|place| key(entry, *address, *place));
        if let Some((address, key)) = addresses.iter().find_map(|address| Some((*address, key(address)?))) {
            delete(netlink, address, &key)?;
        }
    }
    Ok(())
}

fn forget_at(netlink: &Netlink, address: IpAddr, place: Place) -> Result<(), Fault> {
    let request = message(GET, NLM_F_REQUEST | NLM_F_DUMP, family(address), 0, &filter(address, place));
    let found = list(netlink, format!("list the tracked connections of {address}"), request)?;
    found.iter().filter_map(|entry| key(entry, address, place)).try_for_each(|key| delete(netlink, address, &key))
}

/// Returns the attributes of each entry.
fn list(netlink: &Netlink, goal: String, request: Vec<u8>) -> Result<Vec<Vec<u8>>, Fault> {
    let found = netlink.get(goal, "IPCTNL_MSG_CT_GET", request).map_err(crate::capability::needs_net_admin)?;
    let entries = found.into_iter().filter(|answer| answer.kind == NEW);
    Ok(entries.map(|answer| answer.payload.get(4..).unwrap_or_default().to_vec()).collect())
}

fn delete(netlink: &Netlink, address: IpAddr, key: &[u8]) -> Result<(), Fault> {
    let request = message(DELETE, NLM_F_REQUEST | NLM_F_ACK, family(address), 0, key);
    let outcome = netlink.change(
        format!("delete a tracked connection of {address}"),
        "IPCTNL_MSG_CT_DELETE",
        "its answers may not reach the next container with this address; nft(8)",
        request,
    );
    match outcome {
        // It has ended meanwhile.
        Err(fault) if fault.errno() == Some(Errno::ENOENT) => Ok(()),
        outcome => outcome,
    }
}

fn family(address: IpAddr) -> u8 {
    let (ipv4, ipv6) = (2, 10);
    if address.is_ipv4() { ipv4 } else { ipv6 }
}

/// Returns the attribute of the address: `CTA_IP_V4_SRC`, `CTA_IP_V4_DST`, `CTA_IP_V6_SRC` or `CTA_IP_V6_DST`.
fn written(address: IpAddr, place: Place) -> (u16, Vec<u8>) {
    let destination = u16::from(place.is_destination);
    match address {
        IpAddr::V4(ip) => (1 + destination, ip.octets().to_vec()),
        IpAddr::V6(ip) => (3 + destination, ip.octets().to_vec()),
    }
}

/// Describes the entries to list. Before Linux 5.8 the kernel ignores it, and lists all.
fn filter(address: IpAddr, place: Place) -> Vec<u8> {
    const CTA_FILTER: u16 = 25;
    let (kind, bytes) = written(address, place);
    let tuple = nested(place.direction, &[nested(ADDRESSES, &[attribute(kind, &bytes)])]);
    // CTA_FILTER_ORIG_FLAGS and CTA_FILTER_REPLY_FLAGS have the numbers of the directions, and are not big-endian.
    let compared: u32 = 1 << u32::from(place.is_destination);
    [tuple, nested(CTA_FILTER, &[attribute(place.direction, &compared.to_ne_bytes())])].concat()
}

/// Returns the attributes that identify an entry; `None` if it does not have the address at this place.
fn key(entry: &[u8], address: IpAddr, place: Place) -> Option<Vec<u8>> {
    let entry = attributes(entry);
    let value =
        |all: &[(u16, &[u8])], wanted| all.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| value.to_vec());
    let tuple = value(&entry, place.direction)?;
    let addresses = value(&attributes(&tuple), ADDRESSES)?;
    let (kind, bytes) = written(address, place);
    if value(&attributes(&addresses), kind)? != bytes {
        return None;
    }
    let mut key = nested(ORIGINAL, &[value(&entry, ORIGINAL)?]);
    key.extend(attribute(ID, &value(&entry, ID)?));
    key.extend(value(&entry, ZONE).map(|zone| attribute(ZONE, &zone)).unwrap_or_default());
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_entry_with_the_address_at_the_place_has_a_key() {
        let (own, other) = (IpAddr::from([10, 88, 0, 2]), IpAddr::from([192, 0, 2, 7]));
        let tuple = |direction, source, destination| {
            let from = written(source, PLACES[0]);
            let to = written(destination, Place { direction, is_destination: true });
            nested(direction, &[nested(ADDRESSES, &[attribute(from.0, &from.1), attribute(to.0, &to.1)])])
        };
        let host = IpAddr::from([198, 51, 100, 1]);
        let original = tuple(ORIGINAL, own, other);
        let id = attribute(ID, &[1, 2, 3, 4]);
        let entry = [original.clone(), tuple(REPLY, other, host), id.clone()].concat();
        assert_eq!(key(&entry, own, PLACES[0]), Some([original, id].concat()));
        let found = |ip| PLACES.map(|place| key(&entry, ip, place).is_some());
        assert_eq!(found(own), [true, false]);
        assert_eq!(found(other), [false, true]);
        assert_eq!(found(host), [false, false]);
        assert_eq!(found(IpAddr::from([10, 88, 0, 3])), [false; 2]);
    }
}
