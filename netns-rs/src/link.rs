//! Links: the interfaces of a network namespace, changed, listed and deleted by `RTM_*LINK` messages. `rtnetlink(7)`.
//!
//! The surprise: the kernel ignores an alias (`IFLA_IFALIAS`) in the message that makes a link.

use std::fmt::Display;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, ParseableParametrized};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, Prop};
use nix::errno::Errno;
use plumbing::Fault;
use serde::{Deserialize, Serialize};

use crate::counters::{self, Counters};
use crate::mark::MARK;
use crate::message::{change_request, dump_request, get_request};
use crate::netlink::{Answer, Netlink};

/// The group of the links that a process is making. Unlike the alias, the kernel sets it in the message that makes a
/// link, so there is no moment at which a link is without it.
pub const UNFINISHED: u32 = u32::from_be_bytes(*b"nets");
/// The index of `lo`, in every network namespace.
pub const LOOPBACK: u32 = 1;

/// The facts about a link that matter here, as the kernel reports them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number in its network namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its kind: `veth`, `bridge`…; `None` for loopback and hardware.
    pub kind: Option<String>,
    /// The text that was put on it (its alias).
    pub alias: Option<String>,
    /// The index of the bridge that it is a port of.
    pub controller: Option<u32>,
    /// The index of its peer, in the peer's namespace.
    pub peer: Option<u32>,
    /// The id of the peer's namespace in the link's own namespace; `None` if both are the same.
    pub peer_netnsid: Option<i32>,
    /// Whether it was brought up.
    #[serde(default)]
    pub is_up: bool,
    /// Its state: `up`, `down`, `unknown`… of RFC 2863.
    pub state: String,
    /// Its hardware address.
    pub mac: Vec<u8>,
    /// The longest packet that it carries.
    pub mtu: u32,
    /// Its other names.
    #[serde(default)]
    pub alternative: Vec<String>,
    /// Whether it is set to receive what is for others.
    #[serde(default)]
    pub receives_all: bool,
    /// Its group: [`UNFINISHED`] while a connection is being made.
    #[serde(default)]
    pub group: u32,
    /// What has passed it, if that was asked for.
    #[serde(default)]
    pub counters: Option<Counters>,
}

/// Lists all links of the socket's namespace.
pub fn list(netlink: &Netlink) -> Result<Vec<Link>, Fault> {
    list_by(netlink, None, false)
}

/// Lists all links of the socket's namespace with what has passed them, and what was dropped there.
pub fn list_counted(netlink: &Netlink) -> Result<Vec<Link>, Fault> {
    let mut links = list_by(netlink, None, true)?;
    counters::add_queues(netlink, &mut links)?;
    Ok(links)
}

/// Lists all links of the namespace with this id in the socket's namespace.
pub fn list_in(netlink: &Netlink, id: i32, is_counted: bool) -> Result<Vec<Link>, Fault> {
    list_by(netlink, Some(id), is_counted)
}

fn list_by(netlink: &Netlink, id: Option<i32>, is_counted: bool) -> Result<Vec<Link>, Fault> {
    let mut ask = LinkMessage::default();
    if !is_counted {
        // Most of what the kernel would send.
        ask.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    }
    ask.attributes.extend(id.map(LinkAttribute::IfNetnsId));
    let request = dump_request(RouteNetlinkMessage::GetLink(ask));
    let answers = netlink.get("list the interfaces", "RTM_GETLINK", request)?;
    let mut links = Vec::new();
    for answer in &answers {
        if let RouteNetlinkMessage::NewLink(message) = parse(answer)? {
            links.push(Link::of(message));
        }
    }
    Ok(links)
}

/// Returns the link of this name; `None` if there is none.
pub fn find(netlink: &Netlink, name: &str) -> Result<Option<Link>, Fault> {
    let mut ask = LinkMessage::default();
    ask.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let request = get_request(RouteNetlinkMessage::GetLink(ask));
    let answers = match netlink.get(format!("look up {name}"), &format!("RTM_GETLINK, IFLA_IFNAME {name:?}"), request) {
        Err(fault) if fault.errno() == Some(Errno::ENODEV) => return Ok(None),
        answers => answers?,
    };
    match answers.first().map(parse).transpose()? {
        Some(RouteNetlinkMessage::NewLink(message)) => Ok(Some(Link::of(message))),
        _ => Ok(None),
    }
}

/// The flags of a link that receives what is for others.
const RECEIVES_ALL: LinkFlags = LinkFlags::Promisc.union(LinkFlags::Allmulti);

fn alternative(property: Prop) -> Option<String> {
    match property {
        Prop::AltIfName(name) => Some(name),
        _ => None,
    }
}

/// Parses one message of an answer.
pub fn parse(answer: &Answer) -> Result<RouteNetlinkMessage, Fault> {
    RouteNetlinkMessage::parse_with_param(&answer.payload, answer.kind)
        .map_err(|error| Fault::new(format!("cannot understand the kernel's rtnetlink message: {error}")))
}

impl Link {
    fn of(message: LinkMessage) -> Link {
        let mut link = Link {
            index: message.header.index,
            is_up: message.header.flags.contains(LinkFlags::Up),
            receives_all: message.header.flags.intersects(RECEIVES_ALL),
            ..Link::default()
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
                LinkAttribute::Controller(index) => link.controller = Some(index),
                LinkAttribute::Link(index) => link.peer = Some(index),
                LinkAttribute::LinkNetNsId(id) => link.peer_netnsid = Some(id),
                LinkAttribute::OperState(state) => link.state = state.to_string().to_ascii_lowercase(),
                LinkAttribute::Address(mac) => link.mac = mac,
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::PropList(properties) => {
                    link.alternative.extend(properties.into_iter().filter_map(alternative))
                }
                LinkAttribute::Group(group) => link.group = group,
                LinkAttribute::Stats64(stats) => link.counters = Some(Counters::of(&stats)),
                LinkAttribute::LinkInfo(infos) => {
                    link.kind = infos.iter().find_map(|info| match info {
                        LinkInfo::Kind(kind) => Some(kind.to_string()),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        link
    }

    /// Returns whether it is a bridge that we made.
    pub fn is_our_bridge(&self) -> bool {
        self.is("bridge") && self.alias.as_deref() == Some(MARK)
    }

    /// Returns whether a process was making it, and was killed: seen under the lock, which that process held.
    pub fn is_unfinished(&self) -> bool {
        self.group == UNFINISHED && (self.is("bridge") || self.is("veth"))
    }

    /// Returns whether it is of this kind.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }
}

/// Sets the alias of a link.
pub fn set_alias(netlink: &Netlink, name: &str, index: u32, alias: &str) -> Result<(), Fault> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::IfAlias(alias.to_owned()));
    netlink.change(
        format!("mark {name} as ours"),
        &format!("RTM_SETLINK, IFLA_IFALIAS {alias:?}"),
        "the alias records the owner and the addresses that are taken",
        change_request(RouteNetlinkMessage::SetLink(message), 0),
    )
}

/// Gives a link a second name, which may be longer than the first.
pub fn add_name(netlink: &Netlink, name: &str, index: u32, other: &str) -> Result<(), Fault> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::PropList(vec![Prop::AltIfName(other.to_owned())]));
    netlink.change(
        format!("give {name} the second name {other}"),
        &format!("RTM_NEWLINKPROP, IFLA_ALT_IFNAME {other:?}"),
        "ip link show finds it by the name of its container; ip-link(8)",
        change_request(RouteNetlinkMessage::NewLinkProp(message), NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND),
    )
}

/// Takes one of its other names from a link.
pub fn remove_name(netlink: &Netlink, name: &str, index: u32, other: &str) -> Result<(), Fault> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::PropList(vec![Prop::AltIfName(other.to_owned())]));
    netlink.change(
        format!("take the second name {other} from {name}"),
        &format!("RTM_DELLINKPROP, IFLA_ALT_IFNAME {other:?}"),
        "it did not have that name at home; ip-link(8)",
        change_request(RouteNetlinkMessage::DelLinkProp(message), 0),
    )
}

/// Sets the hardware address and the MTU of a link, and lets it receive only what is for this host.
pub fn set_hardware(
    netlink: &Netlink,
    name: &str,
    index: u32,
    (mac, mtu): (Option<&[u8]>, Option<u32>),
) -> Result<(), Fault> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.change_mask = RECEIVES_ALL;
    message.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    netlink.change(
        format!("set {name} as it was"),
        "RTM_SETLINK, IFLA_ADDRESS, IFLA_MTU",
        "the container may have changed them",
        change_request(RouteNetlinkMessage::SetLink(message), 0),
    )
}

/// Brings a link up.
pub fn set_up(netlink: &Netlink, name: &str, index: u32, why: &str) -> Result<(), Fault> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    netlink.change(
        format!("bring {name} up"),
        "RTM_SETLINK, IFF_UP",
        why,
        change_request(RouteNetlinkMessage::SetLink(message), 0),
    )
}

/// Moves a link to another network namespace, where it gets this name and is down.
pub fn move_to(
    netlink: &Netlink,
    name: &str,
    index: u32,
    (namespace, there): (BorrowedFd<'_>, &str),
    why: &str,
) -> Result<(), Fault> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![LinkAttribute::NetNsFd(namespace.as_raw_fd()), LinkAttribute::IfName(there.to_owned())];
    netlink.change(
        format!("move {name} to another network namespace, as {there}"),
        &format!("RTM_SETLINK, IFLA_NET_NS_FD, IFLA_IFNAME {there:?}"),
        why,
        change_request(RouteNetlinkMessage::SetLink(message), 0),
    )
}

/// Moves a link to the group of all others: nothing is missing any more.
pub fn finish(netlink: &Netlink, name: &str, index: u32) -> Result<(), Fault> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::Group(0));
    netlink.change(
        format!("mark {name} as complete"),
        "RTM_SETLINK, IFLA_GROUP 0",
        "until here, the next run would remove it",
        change_request(RouteNetlinkMessage::SetLink(message), 0),
    )
}

/// Deletes a link; deleting one end of a veth pair deletes the other.
pub fn delete(netlink: &Netlink, what: impl Display, index: u32, why: &str) -> Result<(), Fault> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    netlink.change(
        format!("delete {what}"),
        "RTM_DELLINK",
        why,
        change_request(RouteNetlinkMessage::DelLink(message), 0),
    )
}
