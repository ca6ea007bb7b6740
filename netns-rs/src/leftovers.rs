//! What is left on the host of containers that have ended: of its own container, removed by the guardian; and of
//! guardians that were killed, removed by the next run or by `netns-rs gc`.
//!
//! Our objects are recognized by their alias or by the name of their table, which only a process that may change the
//! network can write, or by the group of what is being made. A table is removed when no port needs it any more, a pair when
//! its process is gone, a bridge when it has no port. All of that is examined under the lock, so what is half made was left
//! by a process that was killed.

use nix::errno::Errno;
use plumbing::Fault;
use serde::Serialize;

use crate::forwarding::Opened;
use crate::link::Link;
use crate::lock::Lock;
use crate::netlink::Netlink;
use crate::nftables::{Family, Known, Nftables, Table};
use crate::restored::Setting;
use crate::settings::Settings;
use crate::survey::Survey;
use crate::{cni, fence, forwarding, guard, link, moved, nat, restored};

/// The objects that are left.
#[derive(Default)]
pub struct Leftovers {
    /// Pairs without their process, and what was not finished.
    abandoned: Vec<Link>,
    guards: Vec<String>,
    fence: Fence,
    /// The interfaces that were opened for containers that are gone.
    opened: Vec<(Link, forwarding::Family)>,
    bridges: Vec<Link>,
    /// The settings of bridges that stay.
    settings: Vec<Setting>,
    /// The tables that exist.
    there: Vec<Known>,
}

/// The fate of the tables that all containers share.
#[derive(Default)]
enum Fence {
    #[default]
    Kept,
    /// Some of the containers in them are gone: replace them.
    Outdated(Vec<Table>),
    /// All of them are gone: remove them.
    Unused,
}

/// One object that is left, as `gc` reports it.
#[derive(Debug, Serialize)]
pub struct Item {
    /// `cni`, `link`, `veth`, `table`, `forwarding`, `setting` or `bridge`.
    pub kind: &'static str,
    /// Its name, or that of its interface.
    pub name: String,
}

/// Removes everything that is left in the network namespace that we are in, and returns what it was.
pub fn collect() -> Result<Vec<Item>, Fault> {
    let (netlink, nft) = (Netlink::route()?, Nftables::open_if_there()?);
    // Not under the lock: plugins of others take their time.
    let mut items = cni::remove_leftovers()?;
    Lock::open()?.with(|| {
        let left = Leftovers::find(Survey::take(&netlink)?, nft.as_ref(), None)?;
        items.extend(left.items()?);
        left.remove(&netlink, nft.as_ref())?;
        items.extend(moved::remove_leftovers()?);
        Ok(items)
    })
}

impl Leftovers {
    /// Finds what is left; in nf_tables only if `nft` is given. The bridge `spare` is about to be used.
    pub fn find(mut survey: Survey, nft: Option<&Nftables>, spare: Option<&str>) -> Result<Leftovers, Fault> {
        let abandoned = survey.take_abandoned()?;
        let mut left = Leftovers { abandoned, ..Leftovers::default() };
        left.bridges = survey.idle_bridges().filter(|bridge| Some(bridge.name.as_str()) != spare).cloned().collect();
        left.settings = restored::find(&survey)?;
        let Some(nft) = nft else { return Ok(left) };
        let tables = nft.tables()?;
        let ports = tables.iter().filter(|table| table.family == Some(Family::Netdev));
        let ports = ports.filter_map(|table| table.name.strip_prefix(guard::PREFIX));
        left.guards = ports.filter(|port| !survey.has_port(port)).map(str::to_owned).collect();
        let is_there = tables.iter().any(|table| table.family == Some(Family::Inet) && table.name == fence::FENCE);
        if is_there {
            let opened = nat::opened(&tables);
            let needed = fence::needed(&survey, &opened);
            let unneeded: Vec<_> = opened.into_iter().filter(|known| !needed.contains(known)).collect();
            left.opened = left.stay(survey.links(), &unneeded);
            let is_outdated = !left.abandoned.is_empty() || !left.guards.is_empty() || !unneeded.is_empty();
            left.fence = match fence::tables(&survey, &needed) {
                tables if tables.is_empty() => Fence::Unused,
                tables if is_outdated => Fence::Outdated(tables),
                _ => Fence::Kept,
            };
        }
        left.there = tables;
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
        for link in &self.abandoned {
            let why =
                if link.is_unfinished() { "it was not finished" } else { "the process that it was made for is gone" };
            outcome = outcome.and(delete(netlink, link, why));
        }
        if let Some(nft) = nft {
            outcome = outcome.and(self.remove_tables(nft));
        }
        outcome = outcome.and(restored::restore(&self.settings));
        for bridge in &self.bridges {
            outcome = outcome.and(delete(netlink, bridge, "no port is left on it"));
        }
        outcome
    }

    fn remove_tables(&self, nft: &Nftables) -> Result<(), Fault> {
        let mut outcome = Ok(());
        for port in &self.guards {
            let name = format!("{}{port}", guard::PREFIX);
            outcome = outcome.and(nft.delete(Family::Netdev, &name, "its port is gone"));
        }
        // The rules are changed last: without them, nothing may be forwarded.
        if !self.opened.is_empty() {
            close(&self.opened)?;
        }
        outcome.and(match &self.fence {
            Fence::Kept => Ok(()),
            Fence::Outdated(tables) => {
                nat::replace(nft, &self.there, tables, "they no longer contain the containers that are gone")
            }
            Fence::Unused => {
                self.shared().try_for_each(|(family, name)| nft.delete(family, name, "no container needs it"))
            }
        })
    }

    /// Returns the shared tables that exist.
    fn shared(&self) -> impl Iterator<Item = (Family, &str)> {
        let shared = self.there.iter().filter(|known| known.name == fence::FENCE);
        shared.filter_map(|known| Some((known.family?, known.name.as_str())))
    }

    /// Returns the objects, one by one.
    pub fn items(&self) -> Result<Vec<Item>, Fault> {
        let item = |kind, link: &Link| Item { kind, name: link.name.clone() };
        let kind = |link: &Link| if link.is("bridge") { "bridge" } else { "veth" };
        let mut items: Vec<_> = self.abandoned.iter().map(|link| item(kind(link), link)).collect();
        items.extend(self.guards.iter().map(|port| Item { kind: "table", name: format!("{}{port}", guard::PREFIX) }));
        if !self.opened.is_empty() {
            let open = still_open(&Settings::open()?, &self.opened)?;
            items.extend(open.into_iter().map(|(link, _)| Item { kind: "forwarding", name: link.name }));
        }
        if matches!(self.fence, Fence::Unused) {
            items.extend(self.shared().map(|(_, name)| Item { kind: "table", name: name.to_owned() }));
        }
        let setting = |setting: &Setting| Item { kind: "setting", name: format!("net/{}", setting.path) };
        items.extend(self.settings.iter().map(setting));
        items.extend(self.bridges.iter().map(|link| item("bridge", link)));
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
