//! Network namespaces: a new one, or one that is there. `unshare(2)`, `setns(2)`, `network_namespaces(7)`.
//!
//! A new namespace has one interface, loopback, and the surprise is that it is down: not even 127.0.0.1 answers.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sched::{CloneFlags, setns, unshare};
use plumbing::Fault;
use plumbing::kernel::call;

use crate::capability;
use crate::link;
use crate::lock::own_namespace;
use crate::netlink::Netlink;

/// Gives this process a network namespace of its own.
pub fn make() -> Result<(), Fault> {
    call(
        "make a network namespace",
        "unshare(CLONE_NEWNET)",
        "own interfaces, addresses, routes, ports and firewall; network_namespaces(7)",
        || unshare(CloneFlags::CLONE_NEWNET),
    )
    .map_err(capability::needs_sys_admin)
}

/// Brings the loopback interface of the socket's namespace up.
pub fn bring_loopback_up(netlink: &Netlink) -> Result<(), Fault> {
    link::set_up(netlink, "lo", link::LOOPBACK, "else not even 127.0.0.1 answers")
}

/// Moves this process into the network namespace that the descriptor names; `whose` tells it.
pub fn enter(namespace: BorrowedFd<'_>, whose: &str, why: &str) -> Result<(), Fault> {
    call(
        format!("enter {whose} network namespace"),
        format!("setns({whose} network namespace, CLONE_NEWNET)"),
        why,
        || setns(namespace, CloneFlags::CLONE_NEWNET),
    )
    .map_err(capability::needs_sys_admin)
}

/// Opens an rtnetlink socket in another network namespace: it stays there, we come back.
pub fn socket_inside(namespace: BorrowedFd<'_>, whose: &str) -> Result<Netlink, Fault> {
    let home = own_namespace()?;
    enter(namespace, whose, "a netlink socket belongs to the namespace that it is opened in")?;
    let socket = Netlink::route();
    enter(home.as_fd(), "our own", "and keeps working there when we are back")?;
    socket
}
