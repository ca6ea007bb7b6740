//! Namespace ids: the numbers that one network namespace uses for others. `RTM_GETNSID` of `rtnetlink(7)`,
//! `ip-netns(8)`.
//!
//! They depend on the observer: the same namespace has another number, or none, in another namespace.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use plumbing::Fault;

use crate::link::parse;
use crate::message::get_request;
use crate::netlink::Netlink;

/// Returns the number that the socket's namespace uses for this one; `None` if it has none yet.
pub fn of(netlink: &Netlink, namespace: BorrowedFd<'_>) -> Result<Option<i32>, Fault> {
    let mut ask = NsidMessage::default();
    ask.attributes.push(NsidAttribute::Fd(namespace.as_raw_fd() as u32));
    let request = get_request(RouteNetlinkMessage::GetNsId(ask));
    for answer in &netlink.get("look up the id of a network namespace", "RTM_GETNSID", request)? {
        if let RouteNetlinkMessage::NewNsId(message) = parse(answer)? {
            return Ok(message.attributes.iter().find_map(|attribute| match attribute {
                NsidAttribute::Id(id) if *id >= 0 => Some(*id),
                _ => None,
            }));
        }
    }
    Ok(None)
}
