//! Examining a network namespace from inside: by a socket that was opened there, or by a child that goes there.
//! `setns(2)`, `user_namespaces(7)`.
//!
//! The owner of a container's user namespace has every right in it, but only inside, and there is no way back from
//! there: so a child enters, and reports through a pipe what it sees.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use plumbing::process::namespace::Kind;
use plumbing::process::target::{Target, own_namespace_inode};
use plumbing::process::{errand, foreign_user};
use plumbing::{Fault, narrate};
use serde::{Deserialize, Serialize};

use crate::link::Link;
use crate::neighbor::Neighbor;
use crate::netlink::Netlink;
use crate::network::Address;
use crate::{address, capability, link, namespace, route};

/// The contents of a network namespace.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Its interfaces.
    pub links: Vec<Link>,
    /// Their addresses, each with its interface's index.
    pub addresses: Vec<(u32, Address)>,
    /// The gateway of its default route.
    pub gateway: Option<IpAddr>,
    /// For `doctor`: the gateways of all default routes, with a prefix of 0; an unspecified address if there is none.
    pub defaults: Vec<(u32, Address)>,
    /// For `doctor`: the addresses that another host has, too.
    pub duplicates: Vec<(u32, Address)>,
    /// For `doctor`: the gateways with the hardware addresses that are remembered; one that did not answer has none.
    pub gateways: Vec<Neighbor>,
}

/// Returns the contents of the socket's namespace.
pub fn through(socket: &Netlink) -> Result<Seen, Fault> {
    let gateway = route::default_gateway(socket)?;
    Ok(Seen { links: link::list(socket)?, addresses: address::list(socket)?, gateway, ..Seen::default() })
}

/// Returns the links and addresses of the socket's namespace, with what has passed each link.
pub fn counted(socket: &Netlink) -> Result<Seen, Fault> {
    Ok(Seen { links: link::list_counted(socket)?, addresses: address::list(socket)?, ..Seen::default() })
}

/// Returns what `read` finds in another namespace, that of `target` if it is given; `None` in a dry run, which does not go
/// there.
pub fn from_inside(
    inspected: BorrowedFd<'_>,
    whose: &str,
    target: Option<&Target>,
    read: fn(&Netlink) -> Result<Seen, Fault>,
) -> Result<Option<Seen>, Fault> {
    if let Some(target) = target
        && target.namespace_inode(Kind::User)? != own_namespace_inode(Kind::User)
        && !capability::is_sys_admin()
    {
        return by_child(target, read);
    }
    let socket = namespace::socket_inside(inspected, whose)?;
    if narrate::is_dry_run() { Ok(None) } else { read(&socket).map(Some) }
}

fn by_child(target: &Target, read: fn(&Netlink) -> Result<Seen, Fault>) -> Result<Option<Seen>, Fault> {
    let goal = format!("look into the network namespace of process {}", target.pid());
    errand::run(&goal, "a child, since a process cannot leave a user namespace again", || {
        join(target)?;
        if narrate::is_dry_run() { Ok(None) } else { read(&Netlink::route()?).map(Some) }
    })
}

fn join(target: &Target) -> Result<(), Fault> {
    let kinds = [Kind::User, Kind::Net].into_iter().collect();
    foreign_user::join(target, kinds, "the owner of the user namespace has every right inside; user_namespaces(7)")
        .map_err(capability::needs_sys_admin)
}
