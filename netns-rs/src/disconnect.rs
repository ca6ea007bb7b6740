//! Removing a connection before its container ends: the pair, and what is left on the host without it. `veth(4)`.
//!
//! The surprise: which end of a pair belongs to which namespace is known only from both sides: each end has the index of
//! the other, and an id of the other's namespace.

use std::os::fd::AsFd;

use plumbing::Fault;

use crate::leftovers::{self, Leftovers};
use crate::link::{self, Link};
use crate::lock::Lock;
use crate::mark::Mark;
use crate::netlink::Netlink;
use crate::nftables::Nftables;
use crate::subject::{Opened, Subject};
use crate::survey::Survey;
use crate::{conntrack, namespace, nsid};

/// Removes the connection of an interface of a network namespace.
pub fn run(subject: &Subject, interface: &str) -> Result<(), Fault> {
    let Opened { namespace: container, whose, .. } = subject.open_other()?;
    let netlink = Netlink::route()?;
    let inside = namespace::socket_inside(container.as_fd(), &whose)?;
    let id = nsid::of(&netlink, container.as_fd())?;
    Lock::open()?.with(|| {
        let own = link::find(&inside, interface)?;
        let (ours, mark) = find(&link::list(&netlink)?, own.as_ref(), id).ok_or_else(|| {
            Fault::new(format!(
                "cannot disconnect {interface}: {whose} network namespace has no such connection of ours"
            ))
        })?;
        leftovers::delete(&netlink, &ours, "both ends are removed at once")?;
        let nft = Nftables::open_if_there()?;
        Leftovers::find(Survey::take(&netlink)?, nft.as_ref(), None)?.remove(&netlink, nft.as_ref())?;
        if mark.nat { conntrack::forget(mark.addresses.iter().map(|own| own.ip)) } else { Ok(()) }
    })
}

/// Returns our end of the pair whose other end is `own`, in the namespace with the id `id`.
fn find(links: &[Link], own: Option<&Link>, id: Option<i32>) -> Option<(Link, Mark)> {
    let own = own?;
    let ours = links.iter().find(|link| {
        link.is("veth") && Some(link.index) == own.peer && link.peer == Some(own.index) && link.peer_netnsid == id
    })?;
    Some((ours.clone(), Mark::parse(ours.alias.as_deref()?)?))
}
