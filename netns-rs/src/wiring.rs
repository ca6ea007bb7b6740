//! A container's connection to the host: bridge, veth pair, addresses, default route and NAT, made by a guardian that
//! removes the objects on the host when the container ends. `veth(4)`, `bridge(8)`, `network_namespaces(7)`.
//!
//! Everything inside the container ends with its namespace. The surprise: the kernel removes a namespace some
//! milliseconds after its last process has ended, so until then its end of the pair, and its address, still exist.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use plumbing::pipeline::guardian;
use plumbing::process::target::wait_readable;
use plumbing::{Fault, narrate};
use serde::{Deserialize, Serialize};

use crate::leftovers::Leftovers;
use crate::link::{Link, Veth};
use crate::lock::Lock;
use crate::mark::{MARK, Mark, Owner};
use crate::netlink::Netlink;
use crate::network::Connection;
use crate::nftables::Nftables;
use crate::settings::Settings;
use crate::survey::{Survey, Taken};
use crate::{address, conntrack, link, namespace, nat, route};

/// How long to wait for the address of a container that has just ended.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

/// The container's side and the host's side of a connection to be made.
pub struct Sides<'a> {
    /// The network namespace of the host.
    pub host: BorrowedFd<'a>,
    /// The network namespace of the container.
    pub container: BorrowedFd<'a>,
    /// A socket inside it.
    pub inside: &'a Netlink,
    /// Whether this process is inside it.
    pub are_we_inside: bool,
}

/// The record's description of an interface that we made.
#[derive(Debug, Serialize, Deserialize)]
pub struct Interface {
    name: String,
    peer: String,
    bridge: String,
    addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
}

/// Connects the container until the process behind `watched`, which has the pid `pid`, ends.
pub fn connect(asked: &Connection, sides: &Sides<'_>, pid: i32, watched: BorrowedFd<'_>) -> Result<Interface, Fault> {
    let keep = [sides.host, sides.container, sides.inside.as_fd()];
    let owner = Owner::of(pid, watched)?;
    let answer = guardian::spawn_keeping(watched, &keep, || make(asked, sides, watched, owner))?;
    serde_json::from_str(&answer).map_err(|error| Fault::new(format!("cannot understand the guardian: {error}")))
}

fn make(
    asked: &Connection,
    sides: &Sides<'_>,
    watched: BorrowedFd<'_>,
    owner: Owner,
) -> Result<(String, impl FnOnce() -> Result<(), Fault>), Fault> {
    if sides.are_we_inside {
        namespace::enter(sides.host, "the host's", "the bridge and our end of the pair are made there")?;
    }
    let mut outside = Outside::open(asked, owner)?;
    let deadline = Instant::now() + PATIENCE;
    let lock = Lock::open()?;
    loop {
        if !narrate::is_dry_run() && wait_readable(watched, Some(Duration::ZERO))? {
            return Err(Fault::new(format!("cannot connect the container to {}: it has ended", asked.bridge)));
        }
        match lock.with(|| outside.attempt(asked, sides))? {
            Ok(()) => break,
            Err(taken) if narrate::is_dry_run() || Instant::now() >= deadline => return Err(taken),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
    let answer = serde_json::to_string(&outside.description(asked))
        .map_err(|error| Fault::new(format!("cannot describe what was made: {error}")))?;
    Ok((answer, move || lock.with_or_without(|| outside.remove())))
}

/// The objects on the host that have been made so far.
struct Outside {
    netlink: Netlink,
    /// The bridge's name.
    bridge: String,
    /// Our end of the pair.
    veth: HostEnd,
    alias: String,
    /// The container's addresses.
    addresses: Vec<IpAddr>,
    /// Whether the container is behind NAT.
    nat: bool,
    /// Whether the bridge was made and has no alias yet, so that only we know that it is ours.
    is_bridge_unmarked: bool,
    /// An address that was added to an existing bridge of ours.
    added: Option<(u32, address::Given)>,
}

/// Our end of the pair: its name, and after it is made, its index, as soon as that is known.
struct HostEnd {
    name: String,
    exists: bool,
    index: Option<u32>,
}

impl Outside {
    fn open(asked: &Connection, owner: Owner) -> Result<Outside, Fault> {
        Ok(Outside {
            netlink: Netlink::route()?,
            bridge: asked.bridge.clone(),
            veth: HostEnd { name: format!("veth{:08x}", link::random() as u32), exists: false, index: None },
            alias: Mark { addresses: asked.addresses.clone(), nat: asked.nat, owner: Some(owner) }.text(),
            addresses: asked.addresses.iter().map(|address| address.ip).collect(),
            nat: asked.nat,
            is_bridge_unmarked: false,
            added: None,
        })
    }

    /// Makes everything, or nothing. The inner fault: an address is taken, perhaps not for long.
    fn attempt(&mut self, asked: &Connection, sides: &Sides<'_>) -> Result<Result<(), Fault>, Fault> {
        self.clear(&asked.bridge)?;
        let survey = Survey::take(&self.netlink)?;
        match survey.taken(asked) {
            Some(Taken::ByPort(fault)) => return Ok(Err(fault)),
            Some(Taken::ByHost(fault)) => return Err(fault),
            None => {}
        }
        match self.build(&survey, asked, sides) {
            Ok(()) => Ok(Ok(())),
            Err(fault) => {
                if let Err(left) = self.undo() {
                    narrate::remark(format_args!("{left}; something is left on the host"));
                }
                Err(fault)
            }
        }
    }

    fn build(&mut self, survey: &Survey, asked: &Connection, sides: &Sides<'_>) -> Result<(), Fault> {
        if !narrate::is_dry_run() && link::find(sides.inside, &asked.interface)?.is_some() {
            let name = &asked.interface;
            return Err(Fault::new(format!("cannot make the interface {name}: the container has one of that name")));
        }
        let bridge = self.bridge(survey, asked)?;
        let peer = self.pair(bridge, asked, sides)?;
        // Before its end is up: what it sends and gets is restricted from the first packet.
        match asked.nat {
            true => nat::establish(&self.netlink, asked, &self.veth.name)?,
            false => nat::guard(&self.netlink, asked, &self.veth.name, survey.has_nat())?,
        }
        self.close_inside(asked, sides)?;
        link::set_up(sides.inside, &asked.interface, peer, "a route needs its link to be up")?;
        for own in &asked.addresses {
            address::add(sides.inside, &asked.interface, peer, *own, "the container's own address; ip-address(8)")?;
        }
        if let Some(gateway) = asked.gateway {
            route::add_default(sides.inside, gateway, peer)?;
        }
        Ok(())
    }

    /// Applies the settings of the end inside. They are those of the network that we are in when we open them.
    fn close_inside(&self, asked: &Connection, sides: &Sides<'_>) -> Result<(), Fault> {
        namespace::enter(
            sides.container,
            "the container's",
            "the settings of its interface can only be reached from inside",
        )?;
        let has_ipv6 = asked.addresses.iter().any(|address| address.ip.is_ipv6());
        let closed = Settings::open().and_then(|settings| {
            settings.close(&asked.interface, has_ipv6)?;
            settings.close_all()?;
            settings.allow_ping()
        });
        namespace::enter(sides.host, "the host's", "the other objects are made there")?;
        closed
    }

    /// Returns the bridge's index; makes the bridge if it is missing.
    fn bridge(&mut self, survey: &Survey, asked: &Connection) -> Result<u32, Fault> {
        let wanted = asked.bridge_address();
        if let Some(bridge) = survey.bridge(&asked.bridge)? {
            if let Some(wanted) = wanted
                && survey.needs_address(bridge, wanted)?
            {
                if wanted.ip.is_ipv6() {
                    Settings::open()?.allow_ipv6(&bridge.name)?;
                }
                address::add(
                    &self.netlink,
                    &bridge.name,
                    bridge.index,
                    wanted,
                    "the default gateway of its containers",
                )?;
                self.added = Some((bridge.index, address::Given { name: bridge.name.clone(), address: wanted }));
            }
            return Ok(bridge.index);
        }
        link::make_bridge(&self.netlink, &asked.bridge, link::random_mac())?;
        self.is_bridge_unmarked = true;
        let index = made(&self.netlink, &asked.bridge)?.index;
        link::set_alias(&self.netlink, &asked.bridge, index, MARK)?;
        self.is_bridge_unmarked = false;
        let has_ipv6 = wanted.is_some_and(|wanted| wanted.ip.is_ipv6());
        Settings::open()?.close(&asked.bridge, has_ipv6)?;
        link::set_up(
            &self.netlink,
            &asked.bridge,
            index,
            "after its settings: from here on it receives packets from its ports",
        )?;
        if let Some(wanted) = wanted {
            address::add(&self.netlink, &asked.bridge, index, wanted, "the default gateway of its containers")?;
        }
        Ok(index)
    }

    /// Makes the pair; returns the index of the end inside.
    fn pair(&mut self, bridge: u32, asked: &Connection, sides: &Sides<'_>) -> Result<u32, Fault> {
        let name = self.veth.name.clone();
        let veth = Veth { name: &name, bridge, peer: &asked.interface, peer_namespace: sides.container };
        link::make_veth(&self.netlink, &veth)?;
        self.veth.exists = true;
        let ours = made(&self.netlink, &name)?;
        self.veth.index = Some(ours.index);
        link::mark_port(&self.netlink, &name, ours.index, &self.alias)?;
        Settings::open()?.close(&name, false)?;
        link::set_up(&self.netlink, &name, ours.index, "packets pass only if both ends are up")?;
        Ok(ours.peer.unwrap_or_default())
    }

    fn description(&self, asked: &Connection) -> Interface {
        Interface {
            name: asked.interface.clone(),
            peer: self.veth.name.clone(),
            bridge: asked.bridge.clone(),
            addresses: asked.addresses.iter().map(ToString::to_string).collect(),
            gateway: asked.gateway,
        }
    }

    /// Removes what an unfinished attempt has made.
    fn undo(&mut self) -> Result<(), Fault> {
        let address = match self.added.take() {
            Some((index, given)) => address::remove(&self.netlink, index, &given),
            None => Ok(()),
        };
        let removed = self.remove();
        removed.and(address).and(self.remove_unmarked_bridge())
    }

    fn remove_unmarked_bridge(&mut self) -> Result<(), Fault> {
        if !std::mem::take(&mut self.is_bridge_unmarked) {
            return Ok(());
        }
        let bridge = link::find(&self.netlink, &self.bridge)?.filter(|found| found.alias.is_none());
        bridge.map_or(Ok(()), |found| {
            link::delete(&self.netlink, &self.bridge, found.index, "the connection was not completed")
        })
    }

    /// Removes what killed guardians left behind.
    fn clear(&self, bridge: &str) -> Result<(), Fault> {
        let survey = Survey::take(&self.netlink)?;
        let nft = if narrate::is_dry_run() { None } else { Nftables::open_if_there()? };
        Leftovers::find(survey, nft.as_ref(), Some(bridge))?.remove(&self.netlink, nft.as_ref())
    }

    /// Removes all our objects, each only if it is still the one that we made: the pair, what is left without it, and tracked connections.
    fn remove(&mut self) -> Result<(), Fault> {
        let had_pair = self.veth.exists;
        let pair = self.remove_pair();
        let rest = self.remove_the_rest();
        // Only now: nothing of the container can make an entry any more.
        let tracked = match had_pair && self.nat {
            true => conntrack::forget(self.addresses.iter().copied()),
            false => Ok(()),
        };
        pair.and(rest).and(tracked)
    }

    fn remove_the_rest(&self) -> Result<(), Fault> {
        let survey = Survey::take(&self.netlink)?;
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

/// Returns a link that was just made. A dry run made none.
fn made(netlink: &Netlink, name: &str) -> Result<Link, Fault> {
    if narrate::is_dry_run() {
        return Ok(Link::default());
    }
    link::find(netlink, name)?.ok_or_else(|| Fault::new(format!("cannot find {name}, which was just made")))
}
