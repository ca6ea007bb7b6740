//! Namespace ids: the numbers that one network namespace uses for others. `RTM_GETNSID` of `rtnetlink(7)`,
//! `ip-netns(8)`.
//!
//! They depend on the observer: the same namespace has another number, or none, in another namespace.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use plumbing::Fault;
use plumbing::process::nsid::{self, Nsid};

use crate::link::parse;
use crate::message::{change_request, dump_request, get_request};
use crate::netlink::Netlink;

/// Returns the number that the socket's namespace uses for this one; `None` if it has none yet.
pub fn of(netlink: &Netlink, namespace: BorrowedFd<'_>) -> Result<Option<i32>, Fault> {
    let answers = netlink.get("look up the id of a network namespace", "RTM_GETNSID", nsid::request(namespace))?;
    Ok(match answers.iter().find_map(|answer| nsid::read(answer.kind, &answer.payload)) {
        Some(Nsid::Number(id)) => Some(id),
        Some(Nsid::Unassigned) | None => None,
    })
}

/// An id that a network namespace uses.
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    /// The id.
    pub id: i32,
    /// The id of the same namespace in ours, if another namespace was asked for its ids.
    pub current: Option<i32>,
}

/// Returns the ids that the socket's namespace uses, or those that the namespace with the id `target` uses; only `id` if
/// that is given.
pub fn known(netlink: &Netlink, target: Option<i32>, id: Option<i32>) -> Result<Vec<Known>, Fault> {
    let mut ask = NsidMessage::default();
    ask.attributes.extend(target.map(NsidAttribute::TargetNsid));
    ask.attributes.extend(id.map(NsidAttribute::Id));
    let message = RouteNetlinkMessage::GetNsId(ask);
    let request = if id.is_some() { get_request(message) } else { dump_request(message) };
    let mut found = Vec::new();
    for answer in &netlink.get("list the ids of network namespaces", "RTM_GETNSID", request)? {
        if let RouteNetlinkMessage::NewNsId(message) = parse(answer)? {
            let value = |wanted: fn(&NsidAttribute) -> Option<i32>| message.attributes.iter().find_map(wanted);
            let current = value(|attribute| match attribute {
                NsidAttribute::CurrentNsid(id) => Some(*id),
                _ => None,
            });
            found.extend(
                value(|attribute| match attribute {
                    NsidAttribute::Id(id) => Some(*id),
                    _ => None,
                })
                .map(|id| Known { id, current }),
            );
        }
    }
    Ok(found)
}

/// Assigns an id to a network namespace, in that of the socket; `None`: the kernel chooses one.
pub fn assign(netlink: &Netlink, name: &str, namespace: BorrowedFd<'_>, id: Option<i32>) -> Result<(), Fault> {
    const CHOOSE: i32 = -1;
    let mut message = NsidMessage::default();
    message.attributes = vec![NsidAttribute::Fd(namespace.as_raw_fd() as u32), NsidAttribute::Id(id.unwrap_or(CHOOSE))];
    netlink.change(
        format!("assign an id to the network namespace {name}"),
        &format!("RTM_NEWNSID, NETNSA_FD, NETNSA_NSID {}", id.unwrap_or(CHOOSE)),
        "the number that this network namespace uses for it, until one of them ends; ip-netns(8)",
        change_request(RouteNetlinkMessage::NewNsId(message), 0),
    )
}
