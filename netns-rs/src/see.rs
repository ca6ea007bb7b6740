//! Examining a network namespace from inside: by a socket that was opened there, or by a child that goes there.
//! `setns(2)`, `user_namespaces(7)`.
//!
//! The owner of a container's user namespace has every right in it, but only inside, and there is no way back from
//! there: so a child enters, and reports through a pipe what it sees.

use std::io::Write;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use plumbing::kernel::{Cloned, exit_now, fork, own};
use plumbing::process::namespace::Kind;
use plumbing::process::target::{Target, own_namespace_inode};
use plumbing::process::{errand, foreign_user};
use plumbing::{Fault, Status, narrate};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};

use crate::link::Link;
use crate::netlink::Netlink;
use crate::network::Address;
use crate::{address, capability, link, namespace, route};

/// The contents of a network namespace.
#[derive(Debug, Serialize, Deserialize)]
pub struct Seen {
    /// Its interfaces.
    pub links: Vec<Link>,
    /// Their addresses, each with its interface's index.
    pub addresses: Vec<(u32, Address)>,
    /// The gateway of its default route.
    pub gateway: Option<IpAddr>,
}

/// Returns the contents of the socket's namespace.
pub fn through(socket: &Netlink) -> Result<Seen, Fault> {
    Ok(Seen { links: link::list(socket)?, addresses: address::list(socket)?, gateway: route::default_gateway(socket)? })
}

/// Returns the contents of another namespace, that of `target` if it is given; `None` in a dry run, which does not go
/// there.
pub fn from_inside(inspected: BorrowedFd<'_>, whose: &str, target: Option<&Target>) -> Result<Option<Seen>, Fault> {
    if let Some(target) = target
        && target.namespace_inode(Kind::User)? != own_namespace_inode(Kind::User)
        && !capability::is_sys_admin()
    {
        return by_child(target);
    }
    let socket = namespace::socket_inside(inspected, whose)?;
    if narrate::is_dry_run() { Ok(None) } else { through(&socket).map(Some) }
}

fn by_child(target: &Target) -> Result<Option<Seen>, Fault> {
    let goal = format!("look into the network namespace of process {}", target.pid());
    let (reader, writer) = own(&goal, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    match fork(&goal, "a child, since a process cannot leave a user namespace again")? {
        Cloned::Child if narrate::is_dry_run() => join(target).map(|()| None),
        Cloned::Child => exit_now(match join(target).and_then(|()| report(writer)) {
            Ok(()) => Status::SUCCESS,
            Err(fault) => fault.report(narrate::tool()),
        }),
        Cloned::Parent { pid, pidfd } => {
            drop(writer);
            let (answer, _) = errand::hear(&goal, &reader, pid, &pidfd, errand::PATIENCE)?;
            if answer.is_empty() {
                return Err(Fault::already_told(Status::OURS));
            }
            serde_json::from_slice(&answer)
                .map(Some)
                .map_err(|error| Fault::new(format!("cannot {goal}: the answer of the child is invalid: {error}")))
        }
    }
}

fn join(target: &Target) -> Result<(), Fault> {
    let kinds = [Kind::User, Kind::Net].into_iter().collect();
    foreign_user::join(target, kinds, "the owner of the user namespace has every right inside; user_namespaces(7)")
        .map_err(capability::needs_sys_admin)
}

fn report(writer: OwnedFd) -> Result<(), Fault> {
    let seen = through(&Netlink::route()?)?;
    let answer = serde_json::to_vec(&seen).map_err(|error| Fault::new(format!("cannot write the answer: {error}")))?;
    own("write the answer", "write(pipe)", || std::fs::File::from(writer).write_all(&answer))
}
