//! What is left on the host of containers that have ended: of its own container, removed by the guardian; and of
//! guardians that were killed, removed by the next run or by `netns-rs gc`.
//!
//! Our objects are recognized by their alias or by the name of their table, which only a process that may change the
//! network can write. A table is removed when no port needs it any more, a pair when its process is gone, a bridge when
//! it has no port. All of that is examined under the lock, so nothing is half made.

use nix::errno::Errno;
use plumbing::Fault;
use serde::Serialize;

use crate::forwarding::Opened;
use crate::link::Link;
use crate::lock::Lock;
use crate::netlink::Netlink;
use crate::nftables::{Family, Nftables, Table};
use crate::settings::Settings;
use crate::survey::Survey;
use crate::{fence, forwarding, link, nat};

/// The objects that are left.
#[derive(Default)]
pub struct Leftovers {
    pairs: Vec<Link>,
    guards: Vec<String>,
    fence: Fence,
    bridges: Vec<Link>,
}

/// The fate of the table that all containers behind NAT share.
#[derive(Default)]
enum Fence {
    #[default]
    Kept,
    /// Some of the containers in it are gone: replace it.
    Outdated(Table),
    /// All of them are gone: remove it, and close these interfaces, which were opened for them.
    Unused(Vec<(Link, forwarding::Family)>),
}

/// One object that is left, as `gc` reports it.
#[derive(Debug, Serialize)]
pub struct Item {
    /// `veth`, `table`, `forwarding` or `bridge`.
    pub kind: &'static str,
    /// Its name, or that of its interface.
    pub name: String,
}

/// Removes everything that is left in the network namespace that we are in, and returns what it was.
pub fn collect() -> Result<Vec<Item>, Fault> {
    let (netlink, nft) = (Netlink::route()?, Nftables::open_if_there()?);
    Lock::open()?.with(|| {
        let left = Leftovers::find(Survey::take(&netlink)?, nft.as_ref(), None)?;
        let items = left.items()?;
        left.remove(&netlink, nft.as_ref()).map(|()| items)
    })
}

impl Leftovers {
    /// Finds what is left; in nf_tables only if `nft` is given. The bridge `spare` is about to be used.
    pub fn find(mut survey: Survey, nft: Option<&Nftables>, spare: Option<&str>) -> Result<Leftovers, Fault> {
        let pairs = survey.take_ownerless()?;
        let mut left = Leftovers { pairs, ..Leftovers::default() };
        left.bridges = survey.idle_bridges().filter(|bridge| Some(bridge.name.as_str()) != spare).cloned().collect();
        let Some(nft) = nft else { return Ok(left) };
        let tables = nft.tables()?;
        let ports = tables.iter().filter(|table| table.family == Some(Family::Netdev));
        let ports = ports.filter_map(|table| table.name.strip_prefix(fence::GUARD));
        left.guards = ports.filter(|port| !survey.has_port(port)).map(str::to_owned).collect();
        let is_there = tables.iter().any(|table| table.family == Some(Family::Inet) && table.name == fence::FENCE);
        if is_there {
            let opened = nat::opened(&tables);
            left.fence = match fence::table(&survey, &opened) {
                None => Fence::Unused(left.stay(survey.links(), &opened)),
                Some(table) if !left.pairs.is_empty() || !left.guards.is_empty() => Fence::Outdated(table),
                Some(_) => Fence::Kept,
            };
        }
        Ok(left)
    }

    /// Returns the links that were opened, except those that are removed anyway.
    fn stay(&self, links: &[Link], opened: &[Opened]) -> Vec<(Link, forwarding::Family)> {
        let stays = |Opened { index, family }: &Opened| {
            let link = links.iter().find(|link| link.index == *index && !self.bridges.contains(link))?;
            Some((link.clone(), *family))
        };
        opened.iter().filter_map(stays).collect()
    }

    /// Removes what was found: each object even if another one cannot be removed.
    pub fn remove(&self, netlink: &Netlink, nft: Option<&Nftables>) -> Result<(), Fault> {
        let mut outcome = Ok(());
        for pair in &self.pairs {
            outcome = outcome.and(delete(netlink, pair, "the process that it was made for is gone"));
        }
        if let Some(nft) = nft {
            outcome = outcome.and(self.remove_tables(nft));
        }
        for bridge in &self.bridges {
            outcome = outcome.and(delete(netlink, bridge, "no port is left on it"));
        }
        outcome
    }

    fn remove_tables(&self, nft: &Nftables) -> Result<(), Fault> {
        let mut outcome = Ok(());
        for port in &self.guards {
            let name = format!("{}{port}", fence::GUARD);
            outcome = outcome.and(nft.delete(Family::Netdev, &name, "its port is gone"));
        }
        outcome.and(match &self.fence {
            Fence::Kept => Ok(()),
            Fence::Outdated(table) => {
                nft.replace(std::slice::from_ref(table), "the table no longer contains the containers that are gone")
            }
            // The rules are removed last: without them, nothing may be forwarded.
            Fence::Unused(opened) => {
                close(opened).and_then(|()| nft.delete(Family::Inet, fence::FENCE, "no container needs it"))
            }
        })
    }

    /// Returns the objects, one by one.
    pub fn items(&self) -> Result<Vec<Item>, Fault> {
        let named =
            |kind, links: &[Link]| links.iter().map(|link| Item { kind, name: link.name.clone() }).collect::<Vec<_>>();
        let mut items = named("veth", &self.pairs);
        items.extend(self.guards.iter().map(|port| Item { kind: "table", name: format!("{}{port}", fence::GUARD) }));
        if let Fence::Unused(opened) = &self.fence {
            let open = still_open(&Settings::open()?, opened)?;
            items.extend(open.into_iter().map(|(link, _)| Item { kind: "forwarding", name: link.name }));
            items.push(Item { kind: "table", name: fence::FENCE.to_owned() });
        }
        items.extend(named("bridge", &self.bridges));
        Ok(items)
    }
}

/// Returns the interfaces that still forward because of us. If the administrator has meanwhile set `ip_forward`, the
/// host is meant to be a router.
fn still_open(
    settings: &Settings,
    opened: &[(Link, forwarding::Family)],
) -> Result<Vec<(Link, forwarding::Family)>, Fault> {
    let mut still = Vec::new();
    for (link, family) in opened {
        if !forwarding::is_on(settings, *family)? && forwarding::is_open(settings, &link.name, *family)? {
            still.push((link.clone(), *family));
        }
    }
    Ok(still)
}

fn close(opened: &[(Link, forwarding::Family)]) -> Result<(), Fault> {
    let settings = Settings::open()?;
    let still = still_open(&settings, opened)?;
    still.iter().try_for_each(|(link, family)| forwarding::close(&settings, &link.name, *family))
}

/// Deletes a link, unless it is already gone.
pub fn delete(netlink: &Netlink, link: &Link, why: &str) -> Result<(), Fault> {
    match link::delete(netlink, &link.name, link.index, why) {
        // It is already gone: a pair is removed with the namespace of its other end.
        Err(fault) if fault.errno() == Some(Errno::ENODEV) => Ok(()),
        outcome => outcome,
    }
}
