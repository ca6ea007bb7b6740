//! Links: the interfaces of a network namespace, made, changed and listed by `RTM_*LINK` messages. `rtnetlink(7)`,
//! `veth(4)`.
//!
//! One message makes both ends of a veth pair, each in a namespace of its own, so that neither ever appears in the
//! wrong one. The surprise: the kernel ignores an alias (`IFLA_IFALIAS`) in the message that makes a link.

use std::fmt::Display;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, ParseableParametrized};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BridgeMulticastRouterType, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, Prop,
};
use nix::errno::Errno;
use plumbing::Fault;
use plumbing::pipeline::name::random;
use serde::{Deserialize, Serialize};

use crate::mark::MARK;
use crate::message::{change_request, dump_request, get_request};
use crate::netlink::{Answer, Netlink};

/// The first byte of a hardware address that is higher than others; locally administered, and of one interface.
const HIGH: u8 = 0xfe;
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
    /// Its state: `up`, `down`, `unknown`… of RFC 2863.
    pub state: String,
    /// Its hardware address.
    pub mac: Vec<u8>,
    /// The longest packet that it carries.
    pub mtu: u32,
    /// Its group: [`UNFINISHED`] while a connection is being made.
    #[serde(default)]
    pub group: u32,
}

/// Lists all links of the socket's namespace.
pub fn list(netlink: &Netlink) -> Result<Vec<Link>, Fault> {
    // Statistics are most of what the kernel would send, and they are not needed.
    let mut ask = LinkMessage::default();
    ask.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
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

/// Parses one message of an answer.
pub fn parse(answer: &Answer) -> Result<RouteNetlinkMessage, Fault> {
    RouteNetlinkMessage::parse_with_param(&answer.payload, answer.kind)
        .map_err(|error| Fault::new(format!("cannot understand the kernel's rtnetlink message: {error}")))
}

impl Link {
    fn of(message: LinkMessage) -> Link {
        let mut link = Link { index: message.header.index, ..Link::default() };
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
                LinkAttribute::Group(group) => link.group = group,
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

/// Makes a bridge that is down. `mac` is set explicitly: otherwise a bridge takes the lowest address of its ports, and
/// changes it during operation when that port is removed.
pub fn make_bridge(netlink: &Netlink, name: &str, mac: [u8; 6]) -> Result<(), Fault> {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Address(mac.to_vec()),
        LinkAttribute::Group(UNFINISHED),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ];
    netlink.change(
        format!("make the bridge {name}"),
        &format!("RTM_NEWLINK, NLM_F_EXCL|NLM_F_CREATE, IFLA_IFNAME {name:?}, IFLA_INFO_KIND \"bridge\""),
        "a virtual switch on the host, whose ports are the containers; bridge(8)",
        change_request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL),
    )
}

/// A veth pair to be made.
pub struct Veth<'a> {
    /// The name of the end in the socket's namespace.
    pub name: &'a str,
    /// The index of the bridge of which it becomes a port.
    pub bridge: u32,
    /// The name of the other end.
    pub peer: &'a str,
    /// The namespace of the other end.
    pub peer_namespace: BorrowedFd<'a>,
    /// The hardware address of the other end, if not a random one.
    pub peer_mac: Option<[u8; 6]>,
    /// The longest packet, if not the kernel's default.
    pub mtu: Option<u32>,
}

/// Makes both ends of a pair, each in its namespace, and both down.
pub fn make_veth(netlink: &Netlink, veth: &Veth<'_>) -> Result<(), Fault> {
    let mut peer = LinkMessage::default();
    peer.attributes =
        vec![LinkAttribute::IfName(veth.peer.to_owned()), LinkAttribute::NetNsFd(veth.peer_namespace.as_raw_fd())];
    peer.attributes.extend(veth.peer_mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
    peer.attributes.extend(veth.mtu.map(LinkAttribute::Mtu));
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(veth.name.to_owned()),
        LinkAttribute::Controller(veth.bridge),
        LinkAttribute::Group(UNFINISHED),
        // A bridge that others made may take the lowest address of its ports: this is none.
        LinkAttribute::Address([&[HIGH][..], &random_mac()?[1..]].concat()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    message.attributes.extend(veth.mtu.map(LinkAttribute::Mtu));
    netlink.change(
        format!("make the pair {} and {}", veth.name, veth.peer),
        &format!(
            "RTM_NEWLINK, NLM_F_EXCL|NLM_F_CREATE, IFLA_IFNAME {:?}, IFLA_MASTER, IFLA_INFO_KIND \"veth\"",
            veth.name
        ),
        &format!(
            "a virtual cable: one end is a port of the bridge, the other is made inside as {}; veth(4)",
            veth.peer
        ),
        change_request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL),
    )
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

/// The settings of a port that differ from one container to the other.
pub struct Port {
    /// No frames are exchanged with other such ports.
    pub isolate: bool,
    /// Frames may leave by the port on which they arrived: a container reaches itself by a published port, where the
    /// kernel rewrites the destination of bridged frames (br_netfilter).
    pub hairpin: bool,
}

/// Sets the alias of our end of a pair, and the bridge's settings for it as a port: it is neither a multicast router
/// nor a bridge, so it gets neither what others send to a group nor the spanning tree.
pub fn mark_port(netlink: &Netlink, name: &str, index: u32, alias: &str, port: &Port) -> Result<(), Fault> {
    let mut settings =
        vec![InfoBridgePort::MulticastRouter(BridgeMulticastRouterType::Disabled), InfoBridgePort::Guard(true)];
    settings.extend(port.isolate.then_some(InfoBridgePort::Isolated(true)));
    settings.extend(port.hairpin.then_some(InfoBridgePort::HairpinMode(true)));
    let isolated = if port.isolate { ", IFLA_BRPORT_ISOLATED" } else { "" };
    let hairpin = if port.hairpin { ", IFLA_BRPORT_MODE" } else { "" };
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![
        LinkAttribute::IfAlias(alias.to_owned()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(settings)),
        ]),
    ];
    netlink.change(
        format!("mark {name} as ours"),
        &format!(
            "RTM_NEWLINK, IFLA_IFALIAS {alias:?}, IFLA_BRPORT_MULTICAST_ROUTER, IFLA_BRPORT_GUARD{isolated}{hairpin}"
        ),
        "the alias records the owner and the addresses that are taken; a container is neither a router nor a bridge",
        change_request(RouteNetlinkMessage::NewLink(message), 0),
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

/// Returns a random MAC address: unicast (lowest bit of the first byte) and locally administered (the bit above it).
pub fn random_mac() -> Result<[u8; 6], Fault> {
    let [first, rest @ .., _, _] = random()?.to_be_bytes();
    let mut mac = [first & !1 | 2, 0, 0, 0, 0, 0];
    mac[1..].copy_from_slice(&rest);
    Ok(mac)
}
