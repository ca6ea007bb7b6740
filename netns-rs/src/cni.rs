//! `--cni NETWORK`: a network of an existing CNI configuration, whose plugins are programs of others: they connect the
//! container (ADD), examine its connection (CHECK) and remove it (DEL). `containernetworking/cni SPEC.md`.
//!
//! DEL is executed whatever fails or ends: by the guardian, or after its death by `gc`. Plugins know a network namespace by a
//! path. That of a process leads elsewhere as soon as its pid has been reused, so the namespace gets a name in /run/netns
//! until DEL is done. The surprise: DEL must find the namespace, or the connection of another process in it would stay, so
//! the name keeps it for that long.

mod attachment;
mod cache;
mod network;
mod output;
mod plugin;
mod result;
mod wanted;

use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use plumbing::kernel::own;
use plumbing::pipeline::guardian::{self, Kept};
use plumbing::pipeline::record::Interface;
use plumbing::process::pid_namespaces::PidNamespaces;
use plumbing::process::target::{wait_for_either, wait_readable};
use plumbing::{Fault, narrate};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::connection::Connection;
use crate::leftovers::Item;
use crate::mark::Owner;
use crate::name::Name;
use crate::wiring::Sides;
use crate::{directory, inside, namespace, publish};
use attachment::Attachment;
use cache::{Entry, Known};
use network::Network;

pub use attachment::{Problems, problems};
pub use wanted::{Wanted, check, name as network_name, patience};

/// The first part of the ids of our containers, and of the name that keeps a namespace.
const PREFIX: &str = "netns-rs-cni-";

/// Connects the container until the process behind `watched`, which has the pid `pid`, ends.
pub fn connect(
    asked: &Connection,
    wanted: &Wanted,
    sides: &Sides<'_>,
    (pid, watched): (i32, BorrowedFd<'_>),
) -> Result<Interface, Fault> {
    let network = find(asked, wanted)?;
    let keep = [sides.host, sides.container, sides.inside.as_fd()];
    let owner = Owner::of(pid, watched)?;
    let answer = guardian::spawn_keeping(watched, &keep, || {
        if sides.are_we_inside {
            namespace::enter(sides.host, "the host's", "the plugins are executed there")?;
        }
        make(asked, wanted, network, sides, owner)
    })?;
    plumbing::json::of_text(&answer).map_err(|error| Fault::new(format!("cannot read the guardian's answer: {error}")))
}

/// Connects a namespace that is known by its file only: until `disconnect`, or until `gc` finds that it is gone.
pub fn connect_lasting(asked: &Connection, wanted: &Wanted, sides: &Sides<'_>, path: &Path) -> Result<(), Fault> {
    let known = known(asked, find(asked, wanted)?, sides, path, None)?;
    remove_leftovers()?;
    // Its lock ends with us, but not the file.
    begin(asked, wanted, sides, known).map(drop)
}

fn find(asked: &Connection, wanted: &Wanted) -> Result<Network, Fault> {
    let network = Network::find(wanted)?;
    network.require_capabilities(&wanted::arguments(asked))?;
    network.plugins.iter().try_for_each(|plugin| plugin::require(network::kind(plugin), &network.name))?;
    Ok(network)
}

fn known(
    asked: &Connection,
    network: Network,
    sides: &Sides<'_>,
    path: &Path,
    owner: Option<Owner>,
) -> Result<Known, Fault> {
    let namespace = namespace::inode(sides.container)?;
    let id = owner.map_or_else(|| format!("{PREFIX}{namespace}"), |owner| id(&owner));
    let arguments = wanted::arguments(asked).into_iter().map(|one| (one.capability.to_owned(), one.value)).collect();
    Ok(Known {
        network,
        container: id,
        interface: asked.interface.clone(),
        path: path.to_owned(),
        arguments,
        result: None,
        namespace,
        home: namespace::inode(sides.host)?,
        owner,
    })
}

fn id(owner: &Owner) -> String {
    format!("{PREFIX}{}", owner.text().replace(':', "-"))
}

fn make(
    asked: &Connection,
    wanted: &Wanted,
    network: Network,
    sides: &Sides<'_>,
    owner: Owner,
) -> Result<(String, Guarded), Fault> {
    remove_leftovers()?;
    let pin = OsString::from(format!("{}-{}", id(&owner), asked.interface));
    let pin = Name::parse(&pin).map_err(Fault::new)?;
    // Before a rule takes a port from the program that listens on it.
    let reserved = publish::reserve_for(&asked.published, |is_ipv4| is_ipv4)?;
    let known = known(asked, network, sides, &pin.path(), Some(owner))?;
    let attachment = begin(asked, wanted, sides, known)?;
    let answer = attachment.description(asked);
    let answer =
        serde_json::to_string(&answer).map_err(|error| Fault::new(format!("cannot describe a result: {error}")));
    let watcher = if narrate::is_dry_run() { Ok(None) } else { watch(&attachment).map(Some) };
    match answer.and_then(|answer| Ok((answer, watcher?))) {
        Ok((answer, watcher)) => Ok((answer, Guarded { attachment, watcher, reserved })),
        Err(fault) => {
            attachment.undo();
            Err(fault)
        }
    }
}

/// Makes the attachment, or nothing.
fn begin(asked: &Connection, wanted: &Wanted, sides: &Sides<'_>, known: Known) -> Result<Attachment, Fault> {
    inside::require_unused(asked, sides)?;
    remove_earlier(&known, wanted.patience)?;
    let mut attachment = Attachment { entry: Entry::make(known)?, patience: wanted.patience };
    let pinned = match attachment.pin() {
        Some(pin) => directory::keep(&pin, sides.container),
        None => Ok(()),
    };
    match pinned.and_then(|()| attachment.add()) {
        Ok(()) => Ok(attachment),
        Err(fault) => {
            attachment.undo();
            Err(fault)
        }
    }
}

/// Removes an earlier attachment of the same name: its interface is gone, or it would have been refused.
fn remove_earlier(known: &Known, patience: Duration) -> Result<(), Fault> {
    for entry in cache::ours(known.home)?.into_iter().filter(|entry| entry.known.file() == known.file()) {
        if !entry.lock()? {
            return Err(Fault::new(format!(
                "cannot connect {}: it is connected to the CNI network {} already",
                known.interface, known.network.name
            )));
        }
        Attachment { entry, patience }.remove("its interface is gone")?;
    }
    Ok(())
}

/// An attachment, until its process ends, or until its file is removed by `disconnect`.
struct Guarded {
    attachment: Attachment,
    watcher: Option<OwnedFd>,
    #[expect(dead_code, reason = "the sockets keep the published ports")]
    reserved: publish::Reserved,
}

/// Watches for the end of the file: while we have it open, the kernel reports only that it has one name less.
fn watch(attachment: &Attachment) -> Result<OwnedFd, Fault> {
    let path = attachment.entry.known.file();
    let goal = format!("watch {}", path.display());
    let watcher = own(&goal, "inotify_init1(IN_CLOEXEC)", || inotify::init(CreateFlags::CLOEXEC))?;
    own(&goal, format!("inotify_add_watch({path:?}, IN_ATTRIB)"), || {
        inotify::add_watch(&watcher, &path, WatchFlags::ATTRIB)
    })?;
    Ok(watcher)
}

impl Kept for Guarded {
    fn wait(&self, watched: BorrowedFd<'_>) -> Result<(), Fault> {
        let Some(watcher) = &self.watcher else { return Ok(()) };
        while !self.attachment.entry.is_gone()? {
            wait_for_either(watched, watcher.as_fd())?;
            if wait_readable(watched, Some(Duration::ZERO))? {
                break;
            }
            let mut events = [MaybeUninit::uninit(); 1024];
            own("watch the cache", "read(inotify)", || rustix::io::read(watcher, &mut events[..]).map(drop))?;
        }
        Ok(())
    }

    fn remove(self) -> Result<(), Fault> {
        if self.attachment.entry.is_gone()? { Ok(()) } else { self.attachment.remove("the container has ended") }
    }
}

/// Removes what killed guardians left here: of processes and of namespaces that are gone. What cannot be removed stays, and
/// nothing else is kept from being removed or made by it.
pub fn remove_leftovers() -> Result<Vec<Item>, Fault> {
    let (mut items, mut known) = (Vec::new(), PidNamespaces::default());
    for entry in cache::ours(namespace::inode(namespace::own()?.as_fd())?)? {
        let attachment = Attachment { entry, patience: wanted::PATIENCE };
        let is_left = match attachment.entry.known.owner {
            Some(owner) => owner.is_gone(&mut known)?,
            None => !attachment.is_reachable(),
        };
        if is_left && attachment.entry.lock()? && !attachment.entry.is_gone()? {
            let name = attachment.name();
            match attachment.remove("the container is gone") {
                Ok(()) => items.push(Item { kind: "cni", name }),
                Err(fault) => narrate::remark(fault),
            }
        }
    }
    Ok(items)
}

/// Removes the attachment of an interface of a namespace before its container ends; returns whether there is one.
pub fn disconnect(container: BorrowedFd<'_>, interface: &str) -> Result<bool, Fault> {
    let of_interface = |it: &Attachment| it.entry.known.interface == interface;
    let Some(attachment) = of(container)?.into_iter().find(of_interface) else { return Ok(false) };
    let published = wanted::published(&attachment.entry.known.arguments);
    attachment.remove("it is disconnected")?;
    publish::wait_until_free(&published);
    Ok(true)
}

/// Returns the attachments of a namespace.
fn of(container: BorrowedFd<'_>) -> Result<Vec<Attachment>, Fault> {
    let inode = namespace::inode(container)?;
    let entries = cache::ours(namespace::inode(namespace::own()?.as_fd())?)?;
    let all = entries.into_iter().map(|entry| Attachment { entry, patience: wanted::PATIENCE });
    Ok(all.filter(|it| it.entry.known.namespace == inode && it.is_reachable()).collect())
}
