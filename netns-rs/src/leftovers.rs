//! What is left on the host of containers that have ended: by the guardian, of its own container; and of guardians that
//! were killed, by whoever comes next or by `netns-rs gc`.
//!
//! What is ours is told by its alias or by its place in a table's name, which only who may change the network can write.
//! A table outlives its use when no port is left that needs it, a pair when its process is gone, a bridge when it has no
//! port. All of that is looked at under the lock, so nothing is half made.

use nix::errno::Errno;
use plumbing::Fault;
use serde::Serialize;

use crate::link::Link;
use crate::netlink::Netlink;
use crate::nftables::{Family, Nftables, Table};
use crate::settings::Settings;
use crate::survey::Survey;
use crate::{fence, forwarding, link, nat};

/// What is left.
#[derive(Default)]
pub struct Leftovers {
    pairs: Vec<Link>,
    guards: Vec<String>,
    fence: Fence,
    bridges: Vec<Link>,
}

/// What becomes of the table that all containers behind NAT share.
#[derive(Default)]
enum Fence {
    #[default]
    Kept,
    /// Some of the containers that it names are gone.
    Outdated(Table),
    /// All are; these interfaces were opened for them.
    Unused(Vec<Link>),
}

/// One thing that is left, as `gc` reports it.
#[derive(Debug, Serialize)]
pub struct Item {
    /// `veth`, `table`, `forwarding` or `bridge`.
    pub kind: &'static str,
    /// Its name, or that of its interface.
    pub name: String,
}

impl Leftovers {
    /// Looks what is left; in nf_tables only where `nft` is given. The bridge `spare` is about to be used.
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

    /// The links of these indexes, less those that go anyway.
    fn stay(&self, links: &[Link], indexes: &[u32]) -> Vec<Link> {
        let stays = |link: &&Link| indexes.contains(&link.index) && !self.bridges.contains(link);
        links.iter().filter(stays).cloned().collect()
    }

    /// Removes it: each thing even when another one resists.
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
            Fence::Outdated(table) => nft.replace(std::slice::from_ref(table), "without the containers that are gone"),
            // The rules go last: nothing is forwarded without them.
            Fence::Unused(opened) => {
                close(opened).and_then(|()| nft.delete(Family::Inet, fence::FENCE, "no container needs it"))
            }
        })
    }

    /// What it is, one by one.
    pub fn items(&self) -> Result<Vec<Item>, Fault> {
        let named =
            |kind, links: &[Link]| links.iter().map(|link| Item { kind, name: link.name.clone() }).collect::<Vec<_>>();
        let mut items = named("veth", &self.pairs);
        items.extend(self.guards.iter().map(|port| Item { kind: "table", name: format!("{}{port}", fence::GUARD) }));
        if let Fence::Unused(opened) = &self.fence {
            items.extend(named("forwarding", &still_open(&Settings::open()?, opened)?));
            items.push(Item { kind: "table", name: fence::FENCE.to_owned() });
        }
        items.extend(named("bridge", &self.bridges));
        Ok(items)
    }
}

/// Those that still forward because of us. Who made the host a router meanwhile, by `ip_forward`, wants it to be one.
fn still_open(settings: &Settings, opened: &[Link]) -> Result<Vec<Link>, Fault> {
    let mut still = Vec::new();
    if !forwarding::is_on(settings)? {
        for link in opened {
            if forwarding::is_open(settings, &link.name)? {
                still.push(link.clone());
            }
        }
    }
    Ok(still)
}

fn close(opened: &[Link]) -> Result<(), Fault> {
    let settings = Settings::open()?;
    still_open(&settings, opened)?.iter().try_for_each(|link| forwarding::close(&settings, &link.name))
}

fn delete(netlink: &Netlink, link: &Link, why: &str) -> Result<(), Fault> {
    match link::delete(netlink, &link.name, link.index, why) {
        // It went by itself: a pair goes with the namespace of its other end.
        Err(fault) if fault.errno() == Some(Errno::ENODEV) => Ok(()),
        outcome => outcome,
    }
}
