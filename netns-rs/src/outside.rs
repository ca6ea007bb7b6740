//! The objects on the host that belong to one container: the bridge, and our end of the pair. They are made one after
//! the other, and each is removed only if it is still the one that we made. `veth(4)`, `bridge(8)`.
//!
//! The surprise: the kernel removes a namespace, and the pair with it, some milliseconds after its last process has
//! ended.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use plumbing::pipeline::name::random;
use plumbing::pipeline::record::Interface;
use plumbing::{Fault, narrate};

use crate::connection::Connection;
use crate::departure::Departure;
use crate::inside::made;
use crate::leftovers::Leftovers;
use crate::link::Link;
use crate::mark::{MARK, Mark, Owner};
use crate::netlink::Netlink;
use crate::nftables::Nftables;
use crate::pair::{self, Port, Veth};
use crate::publish::Reserved;
use crate::qdisc::At;
use crate::settings::Settings;
use crate::survey::Survey;
use crate::wiring::Sides;
use crate::{address, conntrack, link, namespace};

/// How long to wait for a carrier: the container may have taken it away.
const CARRIER: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_micros(200);

/// The objects on the host that have been made so far.
pub struct Outside {
    /// A socket in the network namespace of the host.
    pub netlink: Netlink,
    /// Our end of the pair.
    pub veth: HostEnd,
    alias: String,
    /// The inode of the container's network namespace.
    namespace: u64,
    /// The process with which the pair ends.
    owner: Option<Owner>,
    /// The connection, with the addresses that were chosen.
    asked: Connection,
    /// The addresses that were added to an existing bridge of ours.
    added: Vec<(u32, address::Given)>,
    /// The end of the pair, to be waited for; `None` if nobody waits.
    pub departure: Option<Departure>,
    /// The sockets that keep the published ports, for as long as the container exists.
    pub reserved: Reserved,
}

/// Our end of the pair: its name, and after it is made, its index, as soon as that is known.
pub struct HostEnd {
    /// Its name.
    pub name: String,
    exists: bool,
    index: Option<u32>,
}

impl Outside {
    /// Chooses the names of the objects to be made for a container in this network namespace.
    pub fn open(asked: &Connection, container: BorrowedFd<'_>, owner: Option<Owner>) -> Result<Outside, Fault> {
        Ok(Outside {
            netlink: Netlink::route()?,
            veth: HostEnd { name: format!("veth{:08x}", random()? as u32), exists: false, index: None },
            alias: String::new(),
            namespace: namespace::inode(container)?,
            owner,
            asked: asked.clone(),
            added: Vec::new(),
            departure: None,
            reserved: Vec::new(),
        })
    }

    /// Takes over the connection as it is to be made: with all addresses known.
    pub fn adopt(&mut self, asked: &Connection) {
        self.alias = Mark {
            addresses: asked.addresses.clone(),
            nat: asked.nat,
            isolate: asked.isolate,
            allow_spoofing: asked.allow_spoofing,
            published: asked.published.clone(),
            interface: asked.interface.clone(),
            namespace: Some(self.namespace),
            owner: self.owner,
        }
        .text();
        self.asked = asked.clone();
    }

    /// Returns the bridge's index; makes the bridge if it is missing.
    pub fn bridge(&mut self, survey: &Survey, asked: &Connection) -> Result<u32, Fault> {
        if let Some(bridge) = survey.bridge(&asked.bridge)? {
            for wanted in asked.bridge_addresses() {
                if survey.needs_address(bridge, wanted)? {
                    if wanted.ip.is_ipv6() {
                        Settings::open()?.allow_ipv6(&bridge.name)?;
                    }
                    self.add_address(&bridge.name, bridge.index, wanted)?;
                    self.added.push((bridge.index, address::Given { name: bridge.name.clone(), address: wanted }));
                }
            }
            return Ok(bridge.index);
        }
        pair::make_bridge(&self.netlink, &asked.bridge, pair::random_mac()?)?;
        let index = made(&self.netlink, &asked.bridge)?.index;
        link::set_alias(&self.netlink, &asked.bridge, index, MARK)?;
        let has_ipv6 = asked.bridge_addresses().any(|wanted| wanted.ip.is_ipv6());
        Settings::open()?.close(&asked.bridge, has_ipv6)?;
        link::set_up(
            &self.netlink,
            &asked.bridge,
            index,
            "after its settings: from here on it receives packets from its ports",
        )?;
        asked.bridge_addresses().try_for_each(|wanted| self.add_address(&asked.bridge, index, wanted))?;
        link::finish(&self.netlink, &asked.bridge, index)?;
        Ok(index)
    }

    fn add_address(&self, bridge: &str, index: u32, address: crate::network::Address) -> Result<(), Fault> {
        address::add(&self.netlink, bridge, index, address, "the default gateway of its containers")
    }

    /// Makes the pair, with our end down; returns the index of the end inside.
    pub fn pair(&mut self, bridge: u32, asked: &Connection, sides: &Sides<'_>) -> Result<u32, Fault> {
        let name = self.veth.name.clone();
        let veth = Veth {
            name: &name,
            bridge,
            peer: &asked.interface,
            peer_namespace: sides.container,
            peer_mac: asked.mac,
            mtu: asked.mtu,
        };
        pair::make_veth(&self.netlink, &veth)?;
        self.veth.exists = true;
        let ours = made(&self.netlink, &name)?;
        self.veth.index = Some(ours.index);
        pair::mark_port(
            &self.netlink,
            &name,
            ours.index,
            &self.alias,
            &Port { isolate: asked.isolate, hairpin: !asked.published.is_empty() },
        )?;
        asked.shape.apply(&At { netlink: &self.netlink, name: &name, index: ours.index }, asked.mtu)?;
        if let Some(container) = &asked.name {
            self.name_after(container, &asked.interface, ours.index)?;
        }
        Settings::open()?.close(&name, false)?;
        Ok(ours.peer.unwrap_or_default())
    }

    /// Brings our end up. Only after the rules for it: the container may bring its own end up at any time.
    pub fn raise(&self) -> Result<(), Fault> {
        let index = self.veth.index.unwrap_or_default();
        link::set_up(&self.netlink, &self.veth.name, index, "packets pass only if both ends are up")
    }

    /// Waits until both our end and the bridge pass frames on: the kernel learns in the background that they have a
    /// carrier, and until then it drops what they send. Then marks the connection as complete.
    /// Nothing that could fail follows.
    pub fn finish(&mut self) -> Result<(), Fault> {
        let deadline = Instant::now() + CARRIER;
        let is_up = |name: &str| link::find(&self.netlink, name).map(|link| link.is_none_or(|link| link.state == "up"));
        while !narrate::is_dry_run() && Instant::now() < deadline {
            if is_up(&self.veth.name)? && is_up(&self.asked.bridge)? {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        let index = self.veth.index.unwrap_or_default();
        if !narrate::is_dry_run() && self.owner.is_some() {
            self.departure = Some(Departure::of(&self.netlink, &self.veth.name, index, true)?);
        }
        link::finish(&self.netlink, &self.veth.name, index)
    }

    /// Names our end after the container, so that a person finds it. Two containers may have the same name.
    fn name_after(&self, container: &str, interface: &str, index: u32) -> Result<(), Fault> {
        let other = format!("{container}.{interface}");
        match link::add_name(&self.netlink, &self.veth.name, index, &other) {
            Err(fault) if fault.errno() == Some(Errno::EEXIST) => {
                narrate::remark(format_args!("another interface has the name {other}; ours is {}", self.veth.name));
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Describes what was made, for the record.
    pub fn description(&self) -> Interface {
        let asked = &self.asked;
        Interface {
            name: asked.interface.clone(),
            peer: Some(self.veth.name.clone()),
            bridge: Some(asked.bridge.clone()),
            addresses: asked.addresses.iter().map(ToString::to_string).collect(),
            published: asked.published.iter().map(ToString::to_string).collect(),
            gateway: asked.gateways.iter().copied().min(),
            ..Interface::default()
        }
    }

    /// Removes what an unfinished attempt has made.
    pub fn undo(&mut self) -> Result<(), Fault> {
        let mut address = Ok(());
        for (index, given) in std::mem::take(&mut self.added) {
            address = address.and(address::remove(&self.netlink, index, &given));
        }
        self.remove(true).and(address)
    }

    /// Removes what killed guardians left behind.
    pub fn clear(&self, bridge: &str) -> Result<(), Fault> {
        let survey = Survey::take(&self.netlink)?;
        let nft = if narrate::is_dry_run() { None } else { Nftables::open_if_there()? };
        Leftovers::find(survey, nft.as_ref(), Some(bridge))?.remove(&self.netlink, nft.as_ref())
    }

    /// Removes all our objects, each only if it is still the one that we made: the pair, what is left without it, and tracked connections.
    pub fn remove(&mut self, has_lock: bool) -> Result<(), Fault> {
        let had_pair = self.veth.exists;
        let pair = self.remove_pair();
        let rest = self.remove_the_rest(has_lock);
        // Only now: nothing of the container can make an entry any more.
        let tracked = if had_pair && self.asked.nat { self.forget_tracked() } else { Ok(()) };
        pair.and(rest).and(tracked)
    }

    /// Forgets the connections of its addresses, except of those that another container has got meanwhile.
    fn forget_tracked(&self) -> Result<(), Fault> {
        let survey = Survey::take(&self.netlink)?;
        let own = self.asked.addresses.iter().map(|own| own.ip);
        conntrack::forget(own.filter(|ip| !survey.is_of_container(*ip)))
    }

    fn remove_the_rest(&self, has_lock: bool) -> Result<(), Fault> {
        let survey = Survey::take(&self.netlink)?;
        let survey = if has_lock { survey } else { survey.without_lock() };
        let nft = Nftables::open_if_there()?;
        Leftovers::find(survey, nft.as_ref(), None)?.remove(&self.netlink, nft.as_ref())
    }

    fn remove_pair(&mut self) -> Result<(), Fault> {
        if !std::mem::take(&mut self.veth.exists) {
            return Ok(());
        }
        let ours = |link: &Link| {
            self.veth.index.is_none_or(|index| link.index == index)
                && link.alias.as_ref().is_none_or(|alias| *alias == self.alias)
        };
        let Some(link) = link::find(&self.netlink, &self.veth.name)?.filter(ours) else { return Ok(()) };
        match link::delete(
            &self.netlink,
            &link.name,
            link.index,
            "both ends are removed at once, even if the namespace is still in use",
        ) {
            // The namespace was removed first, and the pair with it.
            Err(fault) if fault.errno() == Some(Errno::ENODEV) => Ok(()),
            outcome => outcome,
        }
    }
}
