//! `--link NAME`: an interface of the host moves into a container, and comes back when the container ends. `ip-link(8)`,
//! `network_namespaces(7)`.
//!
//! The kernel returns only hardware to the first network namespace; another interface, such as one of WireGuard, ends with
//! the namespace that it is in. So a name in /run/netns keeps that namespace until the interface is back, also if the
//! guardian is killed, and says where the interface belongs. The surprise: an interface that moves loses its addresses, its
//! routes and its state, but a socket that it uses stays in the network where it was made.
//!
//! Root inside may delete the interface, and give its name, its alias and its index to another one. So the guardian listens
//! for the end of the interface from before the move on: once that was reported, nothing is brought back.

mod pin;

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use plumbing::pipeline::guardian::{self, Kept};
use plumbing::pipeline::record::Interface;
use plumbing::process::pid_namespaces::PidNamespaces;
use plumbing::{Fault, narrate};

use crate::attributes::{self, Attributes};
use crate::connection::Connection;
use crate::departure::{Departure, Listener};
use crate::leftovers::Item;
use crate::link::{self, Link};
use crate::lock::Lock;
use crate::mark::Owner;
use crate::name;
use crate::netlink::Netlink;
use crate::network::Address;
use crate::wiring::Sides;
use crate::{address, directory, inside, namespace};
use pin::Pin;

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
        let listener = if narrate::is_dry_run() { None } else { Some(listen(asked, sides)?) };
        let (away, departure) = lock.with(|| make(asked, moved, (sides, listener), owner))?;
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
    attributes: Attributes,
    was_up: bool,
    addresses: Vec<Address>,
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
        let departure = self.departure.as_ref().map(|(_, departure)| departure);
        self.lock.with_or_without(|_| self.away.bring_back(departure))
    }
}

/// A socket in the container, and what listens there.
type Heard<L> = Option<(Netlink, L)>;

fn make(
    asked: &Connection,
    moved: &str,
    (sides, listener): (&Sides<'_>, Heard<Listener>),
    owner: Owner,
) -> Result<(Away, Heard<Departure>), Fault> {
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
    let had =
        address::list(&host)?.into_iter().filter(|(index, own)| *index == link.index && !address::is_automatic(own.ip));
    let mut away = Away {
        name: moved.to_owned(),
        pin: Pin::new(moved, owner, namespace::inode(sides.host)?)?,
        index: 0,
        kind: link.kind.clone(),
        alias: link.alias.clone(),
        attributes: Attributes::of(&link),
        was_up: link.is_up,
        addresses: had.map(|(_, own)| own).collect(),
    };
    directory::keep(&away.pin.name, sides.container)?;
    let sent = send(asked, &host, &link, sides, &mut away);
    let of = |(inside, listener): (Netlink, Listener)| {
        let departure = listener.only(&inside, (&asked.interface, away.index), false)?;
        Ok((inside, departure))
    };
    let departure = listener.map(of).transpose();
    let heard = departure.as_ref().ok().and_then(Option::as_ref).map(|(_, departure)| departure);
    let done = sent.and_then(|()| inside::furnish(asked, sides, away.index));
    if (done.is_err() || departure.is_err())
        && let Err(left) = away.bring_back(heard)
    {
        narrate::remark(format_args!("{left}; netns-rs gc brings {moved} back when the container has ended"));
    }
    done.and(departure).map(|departure| (away, departure))
}

/// Listens for the end of interfaces inside.
fn listen(asked: &Connection, sides: &Sides<'_>) -> Result<(Netlink, Listener), Fault> {
    let inside = namespace::socket_inside(sides.container, "the container's")?;
    namespace::enter(sides.container, "the container's", "to notice when the interface leaves it")?;
    let listener = Listener::open(&asked.interface);
    namespace::enter(sides.host, "the host's", "the interface comes back there")?;
    listener.map(|listener| (inside, listener))
}

fn send(asked: &Connection, host: &Netlink, link: &Link, sides: &Sides<'_>, away: &mut Away) -> Result<(), Fault> {
    let alias = pin::alias(&away.name, link.alias.as_deref());
    link::set_alias(host, &link.name, link.index, &alias)?;
    link::move_to(host, &link.name, link.index, (sides.container, &asked.interface), "the container gets it")?;
    away.index = inside::made(sides.inside, &asked.interface)?.index;
    inside::close(asked, sides)
}

impl Away {
    /// Brings the interface back as it was, with the name, the alias, the addresses and the state that it had.
    /// `departure` was listening before it moved.
    fn bring_back(&self, departure: Option<&Departure>) -> Result<(), Fault> {
        if narrate::is_dry_run() {
            return Ok(());
        }
        let host = Netlink::route()?;
        let ends = || departure.map_or(Ok(0), Departure::ends);
        let is_ours_to_move = self.pin.name.exists();
        if is_ours_to_move {
            if ends()? > 0 {
                return directory::delete(&self.pin.name);
            }
            self.pin.bring_back(&host, Some(self.index).filter(|index| *index != 0), Some(&self.attributes))?;
        }
        // The only end may be the move back, by us, or by `disconnect` or `gc`, which were faster.
        if ends()? > 1 {
            // Another one was put in its place at the last moment.
            let moved = if is_ours_to_move { link::find(&host, &self.pin.interface)? } else { None };
            return moved.map_or(Ok(()), |link| {
                link::delete(&host, &link.name, link.index, "it is not the one that was moved")
            });
        }
        let Some(link) = link::find(&host, &self.name)?.filter(|link| link.kind == self.kind) else { return Ok(()) };
        attributes::remove_names(&host, &link, Some(&self.attributes))?;
        self.attributes.restore(&host, &link)?;
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
        match pin.bring_back(&Netlink::route()?, None, None) {
            Ok(()) => items.push(Item { kind: "link", name: pin.interface }),
            // It does not keep the others from coming back.
            Err(fault) => narrate::remark(fault),
        }
    }
    Ok(items)
}

/// Moves the interface of a namespace back before its container ends; returns whether there is one.
///
/// Only the guardian knows which interface it has moved: root inside can give the name, the alias and the index to another one.
pub fn disconnect(container: BorrowedFd<'_>, interface: &str) -> Result<bool, Fault> {
    let here = namespace::inode(namespace::own()?.as_fd())?;
    let inside = namespace::socket_inside(container, "the container's")?;
    let Some(link) = link::find(&inside, interface)? else { return Ok(false) };
    let Some(home) = pin::name_at_home(&link) else { return Ok(false) };
    let mut fitting = Vec::new();
    for pin in name::all()?.iter().filter_map(Pin::parse).filter(|pin| pin.home == here && pin.interface == home) {
        if let Some(kept) = pin.open()?
            && namespace::is_same(kept.as_fd(), container)?
        {
            fitting.push(pin);
        }
    }
    let refused = |why| Err(Fault::new(format!("cannot bring {home} back before its container ends: {why}")));
    match &fitting[..] {
        [] => Ok(false),
        _ if !pin::is_of_our_user_namespace(container) => {
            refused("root of another user namespace may have put another interface in its place")
        }
        [pin] => pin.bring_back(&Netlink::route()?, Some(link.index), None).map(|()| true),
        _ => refused("several names in /run/netns keep its namespace"),
    }
}
