//! Removing a connection before its container ends: the pair, and what is left on the host without it. `veth(4)`.
//!
//! The surprise: root inside can rename the interface, and move it to another namespace. So our end records where the other
//! one was made, and under which name.

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
use crate::{cni, conntrack, moved, namespace, nsid, publish};

/// Removes the connection of an interface of a network namespace.
pub fn run(subject: &Subject, interface: &str) -> Result<(), Fault> {
    let Opened { namespace: container, whose, .. } = subject.open_other()?;
    let netlink = Netlink::route()?;
    let inside = namespace::socket_inside(container.as_fd(), &whose)?;
    if cni::disconnect(container.as_fd(), interface)? {
        return Ok(());
    }
    if Lock::open()?.with(|| moved::disconnect(container.as_fd(), interface))? {
        return Ok(());
    }
    if let Some(stacked) = stacked(&inside, interface)? {
        return leftovers::delete(&inside, &stacked, "nothing of it is on the host");
    }
    let id = nsid::of(&netlink, container.as_fd())?;
    let made_in = namespace::inode(container.as_fd())?;
    let mark = Lock::open()?.with(|| {
        let own = link::find(&inside, interface)?;
        let (ours, mark) = find(&link::list(&netlink)?, own.as_ref(), id, (made_in, interface)).ok_or_else(|| {
            Fault::new(format!(
                "cannot disconnect {interface}: {whose} network namespace has no such connection of ours"
            ))
        })?;
        leftovers::delete(&netlink, &ours, "both ends are removed at once")?;
        let nft = Nftables::open_if_there()?;
        Leftovers::find(Survey::take(&netlink)?, nft.as_ref(), None)?.remove(&netlink, nft.as_ref())?;
        if mark.nat {
            conntrack::forget(mark.addresses.iter().map(|own| own.ip))?;
        }
        Ok(mark)
    })?;
    publish::wait_until_free(&mark.published);
    Ok(())
}

/// Returns the link of this name inside, if it is on top of an interface of ours: a macvlan or an ipvlan.
fn stacked(inside: &Netlink, interface: &str) -> Result<Option<Link>, Fault> {
    let host = namespace::own()?;
    let Some(link) = link::find(inside, interface)?.filter(|link| link.is("macvlan") || link.is("ipvlan")) else {
        return Ok(None);
    };
    let parent_in = nsid::of(inside, host.as_fd())?;
    Ok(Some(link).filter(|link| link.peer_netnsid.is_some() && link.peer_netnsid == parent_in))
}

/// Returns our end of the pair whose other end is `own`, in the namespace with the id `id`; or else of the one that was made
/// there under this name.
fn find(links: &[Link], own: Option<&Link>, id: Option<i32>, made: (u64, &str)) -> Option<(Link, Mark)> {
    let pairs = || {
        let marked = |link: &Link| Some((link.clone(), Mark::parse(link.alias.as_deref()?)?));
        links.iter().filter(|link| link.is("veth")).filter_map(marked)
    };
    let is_peer = |link: &Link, own: &Link| Some(link.index) == own.peer && link.peer == Some(own.index);
    let now = own.and_then(|own| pairs().find(|(link, _)| is_peer(link, own) && link.peer_netnsid == id));
    let (inode, name) = made;
    now.or_else(|| pairs().find(|(_, mark)| mark.namespace == Some(inode) && mark.interface == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_found_by_its_other_end_and_else_by_where_it_was_made() {
        let pair = |index, peer, alias: &str| {
            let (kind, alias) = (Some("veth".to_owned()), Some(alias.to_owned()));
            Link { index, kind, alias, peer: Some(peer), peer_netnsid: Some(0), ..Link::default() }
        };
        let links = [pair(5, 2, "netns-rs 10.0.0.2/24 ns=7"), pair(6, 3, "netns-rs 10.0.0.3/24 in=eth1 ns=7")];
        let own = Link { index: 3, peer: Some(6), ..Link::default() };
        let found = |own, made| find(&links, own, Some(0), made).map(|(link, _)| link.index);
        assert_eq!(found(Some(&own), (7, "eth0")), Some(6), "it was renamed");
        assert_eq!(found(None, (7, "eth0")), Some(5));
        assert_eq!(found(None, (7, "eth2")), None);
        assert_eq!(found(None, (8, "eth0")), None);
    }
}
