//! `--link NAME`: an interface of the host moves into a container, and comes back when the container ends. `ip-link(8)`,
//! `network_namespaces(7)`.
//!
//! The kernel returns only hardware to the first network namespace; another interface, such as one of WireGuard, ends with
//! the namespace that it is in. So a name in /run/netns keeps that namespace until the interface is back, also if the
//! guardian is killed, and says where the interface belongs. The surprise: an interface that moves loses its addresses, its
//! routes and its state, but a socket that it uses stays in the network where it was made.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use plumbing::pipeline::guardian::{self, Kept};
use plumbing::pipeline::record::Interface;
use plumbing::process::pid_namespaces::PidNamespaces;
use plumbing::{Fault, narrate};

use crate::connection::Connection;
use crate::departure::Departure;
use crate::leftovers::Item;
use crate::link::{self, Link};
use crate::lock::Lock;
use crate::mark::Owner;
use crate::name::{self, Name};
use crate::netlink::Netlink;
use crate::network::Address;
use crate::wiring::Sides;
use crate::{address, directory, inside, namespace};

/// The first word of the alias of an interface that is away; its own alias follows.
const AWAY: &str = "netns-rs-link";
/// The first part of the name that keeps the namespace.
const PREFIX: &str = "netns-rs-link:";

/// Moves the interface until the process behind `watched`, which has the pid `pid`, ends.
pub fn connect(
    asked: &Connection,
    moved: &str,
    sides: &Sides<'_>,
    (pid, watched): (i32, BorrowedFd<'_>),
) -> Result<Interface, Fault> {
    let keep = [sides.host, sides.container, sides.inside.as_fd()];
    let owner = Owner::of(pid, watched)?;
    guardian::spawn_keeping(watched, &keep, || {
        if sides.are_we_inside {
            namespace::enter(sides.host, "the host's", "the interface is there")?;
        }
        let lock = Lock::open()?;
        let away = lock.with(|| make(asked, moved, sides, owner))?;
        let departure = if narrate::is_dry_run() { Ok(None) } else { listen(asked, sides, away.index).map(Some) };
        let departure = departure.or_else(|fault| lock.with(|| away.bring_back()).and(Err(fault)))?;
        Ok((String::new(), Guarded { lock, away, departure }))
    })?;
    Ok(Interface {
        name: asked.interface.clone(),
        parent: Some(moved.to_owned()),
        addresses: asked.addresses.iter().map(ToString::to_string).collect(),
        gateway: asked.gateways.iter().copied().min(),
        ..Interface::default()
    })
}

/// An interface that is away, and what it had at home.
struct Away {
    name: String,
    pin: Pin,
    /// Its index in the container.
    index: u32,
    kind: Option<String>,
    alias: Option<String>,
    was_up: bool,
    addresses: Vec<Address>,
}

/// The name that keeps the namespace: which interface is in it, and for which process.
struct Pin {
    name: Name,
    /// The interface, by its name at home.
    interface: String,
    owner: Owner,
    /// The inode of the network namespace where it is at home.
    home: u64,
}

struct Guarded {
    lock: Lock,
    away: Away,
    /// A socket in the container, and the end of the interface there, to be waited for; `None` in a dry run.
    departure: Option<(Netlink, Departure)>,
}

impl Kept for Guarded {
    fn wait(&self, watched: BorrowedFd<'_>) -> Result<(), Fault> {
        self.departure.as_ref().map_or(Ok(()), |(inside, departure)| departure.wait(inside, watched, |_| ()))
    }

    fn remove(self) -> Result<(), Fault> {
        self.lock.with_or_without(|_| self.away.bring_back())
    }
}

fn make(asked: &Connection, moved: &str, sides: &Sides<'_>, owner: Owner) -> Result<Away, Fault> {
    let host = Netlink::route()?;
    remove_leftovers()?;
    let link = link::find(&host, moved)?
        .ok_or_else(|| Fault::new(format!("cannot move {moved}: there is no interface of that name")))?;
    if link.alias.as_deref().is_some_and(|alias| alias.starts_with(crate::mark::MARK)) {
        return Err(Fault::new(format!(
            "cannot move {moved}: it belongs to another container, or is a bridge of netns-rs"
        )));
    }
    inside::require_unused(asked, sides)?;
    let had = address::list(&host)?.into_iter().filter(|(index, own)| *index == link.index && !is_automatic(*own));
    let mut away = Away {
        name: moved.to_owned(),
        pin: Pin::new(moved, owner, namespace::inode(sides.host)?)?,
        index: 0,
        kind: link.kind.clone(),
        alias: link.alias.clone(),
        was_up: link.is_up,
        addresses: had.map(|(_, own)| own).collect(),
    };
    directory::keep(&away.pin.name, sides.container)?;
    let done = send(asked, &host, &link, sides, &mut away);
    if done.is_err()
        && let Err(left) = away.bring_back()
    {
        narrate::remark(format_args!("{left}; netns-rs gc brings {moved} back when the container has ended"));
    }
    done.map(|()| away)
}

/// Listens for the end of the interface inside.
fn listen(asked: &Connection, sides: &Sides<'_>, index: u32) -> Result<(Netlink, Departure), Fault> {
    let inside = namespace::socket_inside(sides.container, "the container's")?;
    namespace::enter(sides.container, "the container's", "to notice when the interface leaves it")?;
    let departure = Departure::of(&inside, &asked.interface, index, false);
    namespace::enter(sides.host, "the host's", "the interface comes back there")?;
    departure.map(|departure| (inside, departure))
}

/// The kernel makes link-local addresses by itself.
fn is_automatic(own: Address) -> bool {
    matches!(own.ip, std::net::IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn send(asked: &Connection, host: &Netlink, link: &Link, sides: &Sides<'_>, away: &mut Away) -> Result<(), Fault> {
    let alias = link.alias.as_deref().map_or_else(|| AWAY.to_owned(), |alias| format!("{AWAY} {alias}"));
    link::set_alias(host, &link.name, link.index, &alias)?;
    link::move_to(host, &link.name, link.index, (sides.container, &asked.interface), "the container gets it")?;
    away.index = inside::made(sides.inside, &asked.interface)?.index;
    inside::close(asked, sides)?;
    inside::furnish(asked, sides, away.index)
}

impl Away {
    /// Brings the interface back as it was, with the name, the alias, the addresses and the state that it had.
    fn bring_back(&self) -> Result<(), Fault> {
        if narrate::is_dry_run() {
            return Ok(());
        }
        let host = Netlink::route()?;
        // Else `disconnect` or `gc` was faster.
        if self.pin.name.exists() {
            self.pin.bring_back(&host, |link| link.index == self.index && link.kind == self.kind)?;
        }
        let Some(link) = link::find(&host, &self.name)?.filter(|link| link.kind == self.kind) else { return Ok(()) };
        if let Some(alias) = &self.alias {
            link::set_alias(&host, &link.name, link.index, alias)?;
        }
        for own in &self.addresses {
            match address::add(&host, &link.name, link.index, *own, "the address that it had") {
                Err(fault) if fault.errno() == Some(Errno::EEXIST) => {}
                outcome => outcome?,
            }
        }
        if self.was_up && !link.is_up { link::set_up(&host, &link.name, link.index, "it was up") } else { Ok(()) }
    }
}

impl Pin {
    fn new(interface: &str, owner: Owner, home: u64) -> Result<Pin, Fault> {
        let name = Name::parse(OsStr::new(&format!("{PREFIX}{interface}:{home}:{}", owner.text())));
        let name = name.map_err(|why| Fault::new(format!("cannot name the namespace of {interface}: {why}")))?;
        Ok(Pin { name, interface: interface.to_owned(), owner, home })
    }

    fn parse(name: &Name) -> Option<Pin> {
        let mut parts = name.as_os_str().to_str()?.strip_prefix(PREFIX)?.splitn(3, ':');
        let (interface, home, owner) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?, parts.next()?);
        Some(Pin { name: name.clone(), interface, owner: Owner::parse(owner)?, home })
    }

    /// Moves the interface that `is_it` recognizes back, if it is there, or else that with our alias; then lets the
    /// namespace go.
    fn bring_back(&self, host: &Netlink, is_it: impl Fn(&Link) -> bool) -> Result<(), Fault> {
        let (home, container) = (namespace::own()?, self.name.open()?);
        let inside = namespace::socket_inside(container.as_fd(), &format!("{}'s", self.interface))?;
        let links = link::list(&inside)?;
        if let Some(link) = links.iter().find(|link| is_it(link)).or_else(|| links.iter().find(|link| is_away(link))) {
            link::move_to(&inside, &link.name, link.index, (home.as_fd(), &self.interface), "it belongs there")?;
        }
        // It may not have left yet; and its alias is no longer true.
        if let Some(link) = link::find(host, &self.interface)?.filter(is_away) {
            let own = link.alias.as_deref().and_then(|alias| alias.strip_prefix(AWAY)).unwrap_or_default();
            link::set_alias(host, &link.name, link.index, own.trim_start())?;
        }
        directory::delete(&self.name)
    }
}

fn is_away(link: &Link) -> bool {
    link.alias.as_deref().is_some_and(|alias| alias == AWAY || alias.starts_with(&format!("{AWAY} ")))
}

/// Returns the interfaces whose process and guardian are gone, by their names at home: here.
fn leftovers() -> Result<Vec<Pin>, Fault> {
    let here = namespace::inode(namespace::own()?.as_fd())?;
    let (mut found, mut known) = (Vec::new(), PidNamespaces::default());
    for pin in name::all()?.iter().filter_map(Pin::parse).filter(|pin| pin.home == here) {
        if pin.owner.is_gone(&mut known)? {
            found.push(pin);
        }
    }
    Ok(found)
}

/// Brings back what killed guardians left, under the lock. Such an interface stays down, without addresses.
pub fn remove_leftovers() -> Result<Vec<Item>, Fault> {
    let mut items = Vec::new();
    for pin in leftovers()? {
        pin.bring_back(&Netlink::route()?, |_| false)?;
        items.push(Item { kind: "link", name: pin.interface });
    }
    Ok(items)
}

/// Moves the interface of a namespace back before its container ends; returns whether there is one.
pub fn disconnect(container: BorrowedFd<'_>, interface: &str) -> Result<bool, Fault> {
    let here = namespace::inode(namespace::own()?.as_fd())?;
    let inside = namespace::socket_inside(container, "the container's")?;
    let Some(link) = link::find(&inside, interface)?.filter(is_away) else { return Ok(false) };
    for pin in name::all()?.iter().filter_map(Pin::parse).filter(|pin| pin.home == here) {
        if namespace::is_same(pin.name.open()?.as_fd(), container)? {
            pin.bring_back(&Netlink::route()?, |other| other.index == link.index)?;
            return Ok(true);
        }
    }
    Ok(false)
}
