//! NAT for a container: the table that all containers behind NAT share, and forwarding; and the guard of every
//! container's port. `nft(8)`.
//!
//! The shared table is rebuilt from what the links on the host say whenever that changes, so no record is needed of
//! which guardian wrote which rule, and it does not matter in which order guardians end or are killed. The table
//! outlives its guardians: without it the interfaces that were opened would forward every packet. Its comment lists
//! those interfaces.

use std::net::IpAddr;

use netlink_packet_route::AddressFamily;
use nix::errno::Errno;
use plumbing::{Fault, narrate};

use crate::connection::Connection;
use crate::forwarding::{Family, Opened};
use crate::link::Link;
use crate::mark::Mark;
use crate::netlink::Netlink;
use crate::nftables::{self, Known, LONGEST_COMMENT, Nftables, Table};
use crate::publish::Published;
use crate::rate::Rate;
use crate::settings::Settings;
use crate::survey::Survey;
use crate::{conntrack, fence, forwarding, guard, link, policies, route};

const GUARDED: &str = "only a container's own source addresses; nft(8)";
const WHY: &str = "only a container's own source addresses, masquerading, and only answers come in; nft(8)";

/// Puts a container behind NAT whose end of the pair, `port`, already exists.
pub fn establish(netlink: &Netlink, asked: &Connection, port: &str) -> Result<(), Fault> {
    let (nft, settings) = (Nftables::open()?, Settings::open()?);
    // For these the administrator has made the host a router, and it stays one.
    let routes = routed(&settings)?;
    let survey = Survey::take(netlink)?;
    let mut wanted = Vec::new();
    for family in [Family::V4, Family::V6] {
        if asked.masquerades(family == Family::V4) {
            wanted.extend(to_open(netlink, &survey, &settings, &asked.bridge, family)?);
        }
    }
    let there = known(&nft)?;
    let mut opened = opened(&there);
    opened.retain(|known| !routes.contains(&known.family));
    let index = |name: &str| survey.links().iter().find(|link| link.name == name).map(|link| link.index);
    opened.extend(wanted.iter().filter_map(|(name, family)| Some(Opened { index: index(name)?, family: *family })));
    opened.sort_unstable();
    opened.dedup();
    if forwarding::note(&opened).is_some_and(|note| note.len() > LONGEST_COMMENT) {
        return Err(Fault::new(format!(
            "cannot forward for {port}: {} interfaces would have to forward",
            opened.len()
        ))
        .with_remedy("make the host a router yourself: sysctl net.ipv4.ip_forward=1"));
    }
    let addresses: Vec<IpAddr> = asked.addresses.iter().map(|address| address.ip).collect();
    let mut tables = fence::tables(&survey, &opened);
    tables.push(guard::table(port, allowed(asked, &addresses), asked.shape.rate));
    replace(&nft, &there, &tables, WHY)?;
    // An earlier container with one of these addresses may have left some, and a killed guardian did not delete them.
    conntrack::forget(addresses)?;
    // Only now: nothing may be forwarded without the rules.
    wanted.iter().try_for_each(|(interface, family)| forwarding::open(&settings, interface, *family))?;
    if let Some(bridge) = survey.links().iter().find(|link| link.name == asked.bridge && asked.masquerades(true)) {
        lead_from_loopback(bridge, &asked.published)?;
    }
    policies::warn(&asked.bridge)
}

/// Lets 127.0.0.1 lead to published ports, if the bridge is ours.
pub fn lead_from_loopback(bridge: &Link, published: &[Published]) -> Result<(), Fault> {
    if !bridge.is_our_bridge() || !published.iter().any(Published::is_for_loopback) {
        return Ok(());
    }
    let path = format!("ipv4/conf/{}/route_localnet", bridge.name);
    let why = "127.0.0.1 leads to published ports, too; what containers send there is dropped";
    Settings::open()?.set(&path, "1", why)
}

/// Makes the shared tables again, from the aliases as they are now.
pub fn rebuild(netlink: &Netlink) -> Result<(), Fault> {
    let nft = Nftables::open()?;
    let there = known(&nft)?;
    replace(&nft, &there, &fence::tables(&Survey::take(netlink)?, &opened(&there)), WHY)
}

/// Replaces the tables, and deletes the shared ones of `there` that are no longer among them.
pub fn replace(nft: &Nftables, there: &[Known], tables: &[Table], why: &str) -> Result<(), Fault> {
    nft.replace(tables, why)?;
    for Known { family, name, .. } in there.iter().filter(|known| known.name == fence::FENCE) {
        if let Some(family) =
            family.filter(|family| tables.iter().all(|new| new.family != *family || new.name != *name))
        {
            nft.delete(family, name, "no interface needs it")?;
        }
    }
    Ok(())
}

/// Restricts a container without NAT to its own source addresses. If `has_nat`, containers behind NAT exist, and the
/// shared tables are rebuilt, since the new container may be on a bridge of its own; so are they for one that is kept
/// apart from others.
pub fn guard(netlink: &Netlink, asked: &Connection, port: &str, has_nat: bool) -> Result<(), Fault> {
    let addresses: Vec<IpAddr> = asked.addresses.iter().map(|address| address.ip).collect();
    let Some(nft) = Nftables::open_if_there()? else {
        warn(asked, port);
        return Ok(());
    };
    let there = if has_nat || asked.isolate { known(&nft)? } else { Vec::new() };
    let mut tables = Vec::new();
    if has_nat || asked.isolate {
        tables = fence::tables(&Survey::take(netlink)?, &opened(&there));
    }
    let has_shared = !tables.is_empty();
    tables.push(guard::table(port, allowed(asked, &addresses), asked.shape.rate));
    match replace(&nft, &there, &tables, GUARDED) {
        // The kernel has nf_tables, but not for the frames of one device.
        Err(fault) if !has_shared && fault.errno() == Some(Errno::EOPNOTSUPP) => {
            warn(asked, port);
            Ok(())
        }
        outcome => outcome,
    }
}

/// Replaces the rules of a container's port, for another rate.
pub fn guard_again(mark: &Mark, port: &str, rate: Option<Rate>) -> Result<(), Fault> {
    let Some(nft) = Nftables::open_if_there()? else { return Ok(()) };
    let own: Vec<IpAddr> = mark.addresses.iter().map(|address| address.ip).collect();
    nft.replace(&[guard::table(port, (!mark.allow_spoofing).then_some(&own), rate)], GUARDED)
}

/// Returns the addresses that the container may send from; `None`: all.
fn allowed<'a>(asked: &Connection, own: &'a [IpAddr]) -> Option<&'a [IpAddr]> {
    (!asked.allow_spoofing).then_some(own)
}

fn warn(asked: &Connection, port: &str) {
    if asked.allow_spoofing {
        return;
    }
    narrate::warn(format_args!(
        "the container behind {port} can send from any address: the kernel has no nf_tables for frames; load \
         nf_tables, or trust the container"
    ));
}

/// Returns the tables that exist. Only CAP_NET_ADMIN may list them, and a dry run needs no privilege.
fn known(nft: &Nftables) -> Result<Vec<Known>, Fault> {
    if narrate::is_dry_run() { Ok(Vec::new()) } else { nft.tables() }
}

/// Returns the interfaces that we opened, from the comment on the shared table.
pub fn opened(tables: &[Known]) -> Vec<Opened> {
    let fence = tables.iter().find(|table| table.family == Some(nftables::Family::Inet) && table.name == fence::FENCE);
    forwarding::opened(fence.and_then(|fence| fence.comment.as_deref()))
}

/// Returns the interfaces that must forward and do not: the bridge, and those of outgoing routes, since answers arrive
/// there. Not the bridges of other containers, which must stay separate.
fn to_open(
    netlink: &Netlink,
    survey: &Survey,
    settings: &Settings,
    bridge: &str,
    family: Family,
) -> Result<Vec<(String, Family)>, Fault> {
    if forwarding::is_on(settings, family)? {
        return Ok(Vec::new());
    }
    forwarding::require_single(settings, family)?;
    let outgoing =
        route::outgoing(netlink, if family == Family::V4 { AddressFamily::Inet } else { AddressFamily::Inet6 })?;
    let others = survey.links().iter().filter(|link| {
        link.index != link::LOOPBACK && outgoing.contains(&link.index) && link.name != bridge && !link.is_our_bridge()
    });
    let mut wanted = vec![bridge.to_owned()];
    wanted.extend(others.map(|link| link.name.clone()));
    let mut closed = Vec::new();
    for interface in wanted {
        if !forwarding::is_open(settings, &interface, family)? {
            closed.push((interface, family));
        }
    }
    Ok(closed)
}

/// Returns the families for which the host is a router.
fn routed(settings: &Settings) -> Result<Vec<Family>, Fault> {
    let mut routed = Vec::new();
    for family in [Family::V4, Family::V6] {
        if forwarding::is_on(settings, family)? {
            routed.push(family);
        }
    }
    Ok(routed)
}
