//! All network namespaces that can be found, what is in each, and which interfaces belong together: for `map`, `who` and `top`.
//! `proc(5)`, `rtnetlink(7)`, `network_namespaces(7)`.
//!
//! Reads only. A namespace is found by a process, a name, a mount or a descriptor; the kernel also lists the numbers that
//! our namespace uses for others. The surprise: a socket alone keeps a namespace alive, and then only that number shows
//! that it exists. Everything inside was chosen by someone else, and is escaped where it is printed.

mod finding;
mod listening;
mod peers;

use std::os::fd::AsFd;

use nix::errno::Errno;
use plumbing::process::missing_proc;
use plumbing::process::target::Target;
use plumbing::text::Text;
use plumbing::{Fault, find};
use serde::Serialize;

use crate::counters::Counters;
use crate::link::{self, Link};
use crate::mark::Mark;
use crate::netlink::Netlink;
use crate::see::Seen;
use crate::{nsid, see};
pub use listening::Listening;

/// A network namespace.
#[derive(Debug, Default, Serialize)]
pub struct Space {
    /// Its inode; absent if only its number is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
    /// Whether it is the one that we are in.
    pub own: bool,
    /// The number that ours uses for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nsid: Option<i32>,
    /// Its names in /run/netns.
    pub names: Vec<Text>,
    /// The containers in it.
    pub containers: Vec<Contained>,
    /// The first processes in it.
    pub processes: Vec<Process>,
    /// How many processes are in it.
    pub process_count: usize,
    /// What else keeps it alive: mounts and descriptors.
    pub kept_by: Vec<Text>,
    /// Its interfaces.
    pub interfaces: Vec<Port>,
    /// The ports of TCP on which its processes accept connections.
    pub listening: Vec<Listening>,
    /// Why its contents could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// A container.
#[derive(Debug, Serialize)]
pub struct Contained {
    /// Its name.
    pub name: Text,
    /// What runs it.
    pub runtime: String,
    /// The pid of its first process.
    pub pid: i32,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its pid.
    pub pid: i32,
    /// Its name.
    pub name: Text,
}

/// An interface.
#[derive(Debug, Default, Serialize)]
pub struct Port {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its kind, such as `veth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its state, as `ip link` shows it.
    pub state: String,
    /// The bridge of which it is a port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The ports of the host that lead to the container behind it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<String>,
    /// The other end of the pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<End>,
    /// For `top`: what has passed it.
    #[serde(skip)]
    pub counters: Option<Counters>,
    /// For `top`: whether what passes it passes other interfaces here, too, or never leaves.
    #[serde(skip)]
    pub is_repeated: bool,
}

/// The other end of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct End {
    /// The place of its namespace in the list.
    pub namespace: usize,
    /// Its name.
    pub interface: String,
}

/// What is read in a namespace.
type Read = fn(&Netlink) -> Result<Seen, Fault>;

/// The most processes of a namespace that are listed.
const PROCESSES: usize = 16;

/// Finds all network namespaces, and looks into them.
pub fn take() -> Result<Vec<Space>, Fault> {
    missing_proc::remark_hidden();
    let netlink = Netlink::route()?;
    let mut found = finding::by_process()?;
    finding::by_name(&mut found)?;
    finding::by_mount(&mut found)?;
    let wanted = listening::tables(&mut found);
    finding::by_descriptor(&mut found, &wanted);
    look_into(&netlink, found, see::through, false)
}

/// Finds all network namespaces, and reads what has passed their interfaces; their ports are left out. One that only a
/// descriptor keeps is found by the other end of a pair.
pub fn count() -> Result<Vec<Space>, Fault> {
    missing_proc::remark_hidden();
    let netlink = Netlink::route()?;
    let mut found = finding::by_process()?;
    finding::by_name(&mut found)?;
    finding::by_mount(&mut found)?;
    look_into(&netlink, found, see::counted, true)
}

fn look_into(netlink: &Netlink, found: finding::All, read: Read, is_counted: bool) -> Result<Vec<Space>, Fault> {
    let mut spaces = Vec::new();
    let mut links = Vec::new();
    for found in found.spaces {
        let (space, seen) = examine(netlink, found, read)?;
        spaces.push(space);
        links.push(seen.map_or_else(Vec::new, |seen| seen.links));
    }
    unseen(netlink, &mut spaces, &mut links, is_counted)?;
    for container in find::all(None)?.all {
        let inode = container.target.namespace_inode(plumbing::process::namespace::Kind::Net);
        if let Ok(Some(inode)) = inode
            && let Some(space) = spaces.iter_mut().find(|space| space.inode == Some(inode))
        {
            let (name, runtime) = (container.name(), container.runtime.name().to_owned());
            space.containers.push(Contained { name, runtime, pid: container.target.pid() });
        }
    }
    peers::connect(&mut spaces, &links);
    Ok(spaces)
}

/// Looks into a namespace. One that cannot be entered is listed with the reason.
fn examine(netlink: &Netlink, found: finding::Found, read: Read) -> Result<(Space, Option<Seen>), Fault> {
    let finding::Found { mut space, open, .. } = found;
    let target = space.processes.first().and_then(|process| Target::of_pid(process.pid).ok());
    let seen = match open() {
        _ if space.own => read(netlink).map(Some),
        Ok(namespace) => {
            space.nsid = nsid::of(netlink, namespace.as_fd())?;
            let whose = space.shown();
            see::from_inside(namespace.as_fd(), &whose, target.as_ref(), read)
        }
        Err(fault) => Err(fault),
    };
    let seen = seen.unwrap_or_else(|fault| {
        space.unreadable = Some(match fault.errno() {
            Some(Errno::EPERM | Errno::EACCES) => "it belongs to another user".to_owned(),
            _ => fault.to_string(),
        });
        None
    });
    if let Some(seen) = &seen {
        space.interfaces = ports(seen);
    }
    Ok((space, seen))
}

fn ports(seen: &Seen) -> Vec<Port> {
    let by_index = |index: u32| seen.links.iter().find(|link| link.index == index).map(|link| link.name.clone());
    let port = |link: &Link| {
        let addresses = seen.addresses.iter().filter(|(index, _)| *index == link.index);
        let mark = link.alias.as_deref().and_then(Mark::parse);
        Port {
            index: link.index,
            name: link.name.clone(),
            kind: link.kind.clone(),
            state: link.state.clone(),
            bridge: link.controller.and_then(by_index),
            addresses: addresses.map(|(_, address)| address.to_string()).collect(),
            published: mark.map_or_else(Vec::new, |mark| mark.published.iter().map(ToString::to_string).collect()),
            peer: None,
            counters: link.counters,
            is_repeated: is_repeated(link),
        }
    };
    seen.links.iter().map(port).collect()
}

/// The loopback, what has ports, and what is on top of another interface here.
fn is_repeated(link: &Link) -> bool {
    let is_stacked = link.peer.is_some_and(|below| below != 0) && link.peer_netnsid.is_none() && !link.is("veth");
    link.index == link::LOOPBACK || is_stacked || ["bridge", "bond", "team"].into_iter().any(|kind| link.is(kind))
}

/// Adds the namespaces of which only the number is known. Their interfaces can be listed from here, their addresses not.
fn unseen(
    netlink: &Netlink,
    spaces: &mut Vec<Space>,
    links: &mut Vec<Vec<Link>>,
    is_counted: bool,
) -> Result<(), Fault> {
    for known in nsid::known(netlink, None, None)? {
        if spaces.iter().any(|space| space.nsid == Some(known.id)) {
            continue;
        }
        let mut space = Space { nsid: Some(known.id), ..Space::default() };
        match link::list_in(netlink, known.id, is_counted) {
            Ok(seen) => {
                space.interfaces = ports(&Seen { links: seen.clone(), ..Seen::default() });
                links.push(seen);
            }
            // It has ended.
            Err(fault) if fault.errno() == Some(Errno::EINVAL) => continue,
            Err(fault) => {
                space.unreadable = Some(fault.to_string());
                links.push(Vec::new());
            }
        }
        spaces.push(space);
    }
    Ok(())
}

impl Space {
    /// Returns what to call it, safe on a terminal.
    pub fn shown(&self) -> String {
        let process =
            || self.processes.first().map(|process| format!("{} (pid {})", process.name.shown(), process.pid));
        let kept = || self.kept_by.first().map(Text::shown);
        let number = || self.nsid.map_or_else(String::new, |id| format!("id {id}"));
        match (self.own, self.containers.first(), self.names.first()) {
            (true, ..) => "this namespace".to_owned(),
            (_, Some(container), _) => container.name.shown(),
            (_, None, Some(name)) => name.shown(),
            _ => process().or_else(kept).unwrap_or_else(number),
        }
    }

    /// Returns why it exists.
    pub fn reason(&self) -> String {
        let names = self.names.iter().map(|name| format!("the name {}", name.shown()));
        let others = self.kept_by.iter().map(Text::shown);
        let reasons: Vec<_> = names.chain(others).take(4).collect();
        match self.process_count {
            0 if reasons.is_empty() => {
                "no process, name, mount or descriptor was found: a socket keeps it, or what cannot be seen from here"
                    .to_owned()
            }
            0 => format!("no process; kept by {}", reasons.join(", ")),
            1 => "1 process".to_owned(),
            count => format!("{count} processes"),
        }
    }
}
