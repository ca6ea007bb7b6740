//! Relays: a process that accepts connections in one network namespace and continues them in another. With `--reach` a
//! port inside leads to one address outside; with `--publish` and no bridge, a port outside leads to one inside.
//! `network_namespaces(7)`, `unix(7)`, `splice(2)`.
//!
//! It needs no interface, no route and no right over the host's network, so it works for every user. A socket stays in
//! the network namespace in which it was made: the relay for `--reach` is outside and gets a listening socket from inside,
//! the one for `--publish` is inside and gets one from outside. So each makes its own connections where they have to
//! leave, and can make them nowhere else. The surprise: a socket keeps its namespace alive, so a relay that did not end
//! with a process would keep the namespace for as long as it runs.

mod confine;
mod flow;
mod listen;
mod pair;
mod service;

use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use plumbing::kernel::own;
use plumbing::pipeline::guardian::{self, Kept};
use plumbing::process::namespace::Kind;
use plumbing::process::target::{Target, own_namespace_inode};
use plumbing::process::{errand, exposure, foreign_user, socket_message};
use plumbing::{Fault, narrate};
use rustix::net::SendFlags;

use crate::namespace;
use crate::netlink::Netlink;
use crate::publish::Published;
use crate::reach::Reach;
use crate::tap::{Awaiting, Tap};
use service::{Listener, Service};

const GOAL: &str = "start a relay";

/// The ports that are relayed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relays {
    /// Those inside that lead to an address outside.
    pub reached: Vec<Reach>,
    /// Those outside that lead to a port inside.
    pub published: Vec<Published>,
    /// A whole network, by a program of others.
    pub tap: Option<Tap>,
}

/// What the side outside has prepared, before the namespace is made.
pub struct Prepared<'a> {
    asked: &'a Relays,
    watched: BorrowedFd<'a>,
    /// The end of the connection to the relay outside, which waits for its sockets.
    outside: Option<OwnedFd>,
    published: Vec<Listener>,
    tap: Option<Awaiting>,
}

/// The most ports that are relayed: so many sockets fit into the queue between two processes.
const MOST: usize = 64;

impl Relays {
    /// Refuses what could not work; the error names the option.
    pub fn check(self) -> Result<Relays, Fault> {
        for (at, reach) in self.reached.iter().enumerate() {
            if self.reached[..at].iter().any(|earlier| earlier.inside == reach.inside) {
                return Err(Fault::usage(format!("--reach {reach}: port {} inside is given twice", reach.inside)));
            }
        }
        for (at, published) in self.published.iter().enumerate() {
            if published.is_udp {
                return Err(Fault::usage(format!(
                    "--publish {published}: a relay is for TCP only; UDP needs --bridge and --nat"
                )));
            }
            if self.published[..at].iter().any(|earlier| earlier.conflicts_with(published)) {
                return Err(Fault::usage(format!("--publish {published}: the port is published twice")));
            }
        }
        self.tap.as_ref().map_or(Ok(()), Tap::check)?;
        if self.reached.len().max(self.published.len()) > MOST {
            return Err(Fault::usage(format!("--reach, --publish: at most {MOST} ports each are relayed")));
        }
        Ok(self)
    }

    /// Returns whether nothing is relayed.
    pub fn is_empty(&self) -> bool {
        self.reached.is_empty() && self.published.is_empty() && self.tap.is_none()
    }

    /// Does what can only be done outside, until the process behind `watched` ends: looks up names, binds the published
    /// ports, and starts the relay for `--reach`.
    pub fn prepare<'a>(&'a self, watched: BorrowedFd<'a>) -> Result<Prepared<'a>, Fault> {
        // Before the first of them: no relay is visible for a moment.
        exposure::hide()?;
        let published = self.listen_outside()?;
        let outside = if self.reached.is_empty() { None } else { Some(self.start_outside(watched)?) };
        let tap = self.tap.as_ref().map(|tap| tap.prepare(watched)).transpose()?;
        Ok(Prepared { asked: self, watched, outside, published, tap })
    }

    /// Relays for the container of a process that runs already, until it ends; `container` is its network namespace.
    pub fn connect(&self, target: &Target, container: BorrowedFd<'_>) -> Result<(), Fault> {
        exposure::hide()?;
        let published = self.listen_outside()?;
        let enter = || enter(target, container);
        if !self.reached.is_empty() {
            let destinations = self.destinations()?;
            let (ours, theirs) = socket_message::pair(GOAL)?;
            errand::run("listen inside", "a socket belongs to the namespace in which it is made", || {
                enter()?;
                if !narrate::is_dry_run() {
                    self.listen_inside()?.iter().try_for_each(|socket| send(theirs.as_fd(), socket.as_fd()))?;
                }
                Ok(())
            })?;
            drop(theirs);
            let sockets = if narrate::is_dry_run() { Some(Vec::new()) } else { receive(ours.as_fd(), &destinations)? };
            let sockets = sockets.ok_or_else(|| Fault::new("cannot listen inside: a socket is missing"))?;
            start(target.pidfd(), &sockets, &[], || Ok(()))?;
        }
        if !self.published.is_empty() {
            start(target.pidfd(), &published, &[container, target.dir()], enter)?;
        }
        self.tap.as_ref().map_or(Ok(()), |tap| tap.connect(target, container))
    }

    /// Returns the ports outside that lead inside, in whichever way.
    pub fn all_published(&self) -> Vec<Published> {
        self.published.iter().chain(self.tap.iter().flat_map(|tap| &tap.published)).copied().collect()
    }

    fn destinations(&self) -> Result<Vec<Vec<SocketAddr>>, Fault> {
        self.reached.iter().map(Reach::resolve).collect()
    }

    fn start_outside(&self, watched: BorrowedFd<'_>) -> Result<OwnedFd, Fault> {
        let destinations = self.destinations()?;
        let (ours, theirs) = socket_message::pair(GOAL)?;
        guardian::spawn_keeping(watched, &[theirs.as_fd()], || {
            let from = keep(theirs.as_fd())?;
            let capacity = confine::confine(destinations.len())?;
            Ok((String::new(), Relay { sockets: Sockets::Expected { from, destinations }, capacity }))
        })?;
        Ok(ours)
    }

    /// Listens on the published ports, in the namespace that we are in.
    fn listen_outside(&self) -> Result<Vec<Listener>, Fault> {
        let mut listeners = Vec::new();
        for published in &self.published {
            let to = vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), published.inside)];
            for socket in listen::published(published)? {
                listeners.push(Listener { socket, to: to.clone() });
            }
        }
        Ok(listeners)
    }

    /// Listens on the ports that lead outside, in the namespace that we are in.
    fn listen_inside(&self) -> Result<Vec<OwnedFd>, Fault> {
        self.reached
            .iter()
            .map(|reach| listen::on(reach.listens_on(), &format!("listen for --reach {reach}")))
            .collect()
    }
}

impl Prepared<'_> {
    /// Does what can only be done inside, which is where we are: sends the listening sockets to the relay outside, and
    /// starts the relay for `--publish`.
    pub fn finish(self) -> Result<(), Fault> {
        let dry = narrate::is_dry_run();
        if let Some(outside) = self.outside.filter(|_| !dry) {
            for socket in self.asked.listen_inside()? {
                send(outside.as_fd(), socket.as_fd())?;
            }
        }
        if !self.asked.published.is_empty() {
            start(self.watched, &self.published, &[], || Ok(()))?;
        }
        match (self.tap, &self.asked.tap) {
            (Some(awaiting), Some(tap)) => awaiting.finish(tap),
            _ => Ok(()),
        }
    }
}

/// Enters the network namespace of a container. A user without rights over it joins the container's user namespace, too,
/// which gives them.
fn enter(target: &Target, container: BorrowedFd<'_>) -> Result<(), Fault> {
    let why = "a socket belongs to the namespace in which it is made";
    match namespace::enter(container, &format!("process {}'s", target.pid()), why) {
        Err(fault) if fault.errno() == Some(Errno::EPERM) && is_foreign(target, Kind::User)? => {
            foreign_user::join(
                target,
                [Kind::User, Kind::Net].into_iter().collect(),
                "its root may enter its network",
            )?;
        }
        entered => entered?,
    }
    namespace::bring_loopback_up(&Netlink::route()?)
}

fn is_foreign(target: &Target, kind: Kind) -> Result<bool, Fault> {
    Ok(target.namespace_inode(kind)? != own_namespace_inode(kind))
}

/// Starts a relay that continues connections in the namespace to which `enter` leads, for which the descriptors `needed`
/// stay open.
fn start(
    watched: BorrowedFd<'_>,
    listeners: &[Listener],
    needed: &[BorrowedFd<'_>],
    enter: impl FnOnce() -> Result<(), Fault>,
) -> Result<(), Fault> {
    let sockets = listeners.iter().map(|listener| listener.socket.as_fd());
    let open: Vec<_> = sockets.chain(needed.iter().copied()).collect();
    let started = guardian::spawn_keeping(watched, &open, || {
        let kept =
            |listener: &Listener| Ok(Listener { socket: keep(listener.socket.as_fd())?, to: listener.to.clone() });
        let listeners = listeners.iter().map(kept).collect::<Result<Vec<_>, Fault>>()?;
        enter()?;
        let capacity = confine::confine(listeners.len())?;
        Ok((String::new(), Relay { sockets: Sockets::Here(listeners), capacity }))
    });
    started.map(drop)
}

/// Returns a descriptor that stays open when the one that was only kept for making is closed.
fn keep(fd: BorrowedFd<'_>) -> Result<OwnedFd, Fault> {
    own(GOAL, "fcntl(F_DUPFD_CLOEXEC)", || fd.try_clone_to_owned())
}

fn send(channel: BorrowedFd<'_>, socket: BorrowedFd<'_>) -> Result<(), Fault> {
    own("send a socket to the relay", "sendmsg(SCM_RIGHTS)", || {
        socket_message::send(channel, &[IoSlice::new(b"+")], Some(socket), SendFlags::empty())
    })
}

/// A relay that is confined, and about to begin.
struct Relay {
    sockets: Sockets,
    capacity: u64,
}

enum Sockets {
    /// They are made inside, and sent, in the order of the destinations.
    Expected {
        from: OwnedFd,
        destinations: Vec<Vec<SocketAddr>>,
    },
    Here(Vec<Listener>),
}

impl Kept for Relay {
    fn wait(&self, watched: BorrowedFd<'_>) -> Result<(), Fault> {
        let received;
        let listeners = match &self.sockets {
            Sockets::Here(listeners) => listeners,
            Sockets::Expected { from, destinations } => match receive(from.as_fd(), destinations)? {
                Some(listeners) => {
                    received = listeners;
                    &received
                }
                // The process that makes the namespace has failed.
                None => return Ok(()),
            },
        };
        Service::new(listeners, watched, self.capacity)?.run()
    }

    fn remove(self) -> Result<(), Fault> {
        Ok(())
    }
}

/// Waits for a listening socket for each destination; `None` if the sender ends first.
fn receive(from: BorrowedFd<'_>, destinations: &[Vec<SocketAddr>]) -> Result<Option<Vec<Listener>>, Fault> {
    let mut listeners = Vec::new();
    for to in destinations {
        let message =
            own("wait for the sockets of the relay", "recvmsg()", || socket_message::receive(from, &mut [0; 1]))?;
        match message {
            (0, _) | (_, None) => return Ok(None),
            (_, Some(socket)) => listeners.push(Listener { socket, to: to.clone() }),
        }
    }
    Ok(Some(listeners))
}
