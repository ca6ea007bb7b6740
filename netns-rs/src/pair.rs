//! Making a bridge, and a veth pair whose one end is a port of it: `RTM_NEWLINK`. `veth(4)`, `bridge(8)`.
//!
//! One message makes both ends of a pair, each in a namespace of its own, so that neither ever appears in the wrong one.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BridgeMulticastRouterType, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkInfo, LinkMessage,
};
use plumbing::Fault;
use plumbing::pipeline::name::random;

use crate::link::UNFINISHED;
use crate::message::change_request;
use crate::netlink::Netlink;

/// The first bytes of a hardware address that is higher than others, also than those that begin with 0xfe, as LXC's and
/// libvirt's do; locally administered, and of one interface.
const HIGH: [u8; 2] = [0xfe, 0xff];

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
        LinkAttribute::Address([&HIGH[..], &random_mac()?[2..]].concat()),
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

/// Returns a random MAC address: unicast (lowest bit of the first byte) and locally administered (the bit above it).
pub fn random_mac() -> Result<[u8; 6], Fault> {
    let [first, rest @ .., _, _] = random()?.to_be_bytes();
    let mut mac = [first & !1 | 2, 0, 0, 0, 0, 0];
    mac[1..].copy_from_slice(&rest);
    Ok(mac)
}
