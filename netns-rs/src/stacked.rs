//! `--macvlan`, `--ipvlan`: a link of the container on top of an interface of the host. `ip-link(8)`, `RTM_NEWLINK`.
//!
//! The link is made in the container's namespace and ends with it: nothing is left on the host, and no guardian is needed.
//! The surprise: the kernel looks up the parent in the namespace of the socket, and the name in that of the new link.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoMacVlan, IpVlanMode, LinkAttribute, LinkInfo, LinkMessage, MacVlanMode,
};
use nix::errno::Errno;
use plumbing::pipeline::record::Interface;
use plumbing::{Fault, narrate};

use crate::connection::Connection;
use crate::direct::{Direct, Ipvlan, Kind, Macvlan};
use crate::link::{self, Link, UNFINISHED};
use crate::lock::Lock;
use crate::message::change_request;
use crate::netlink::Netlink;
use crate::wiring::Sides;
use crate::{inside, namespace, pair};

/// Connects the container. The caller is in the container's namespace or in the host's, and stays there.
pub fn connect(asked: &Connection, direct: &Direct, sides: &Sides<'_>) -> Result<Interface, Fault> {
    if sides.are_we_inside {
        namespace::enter(sides.host, "the host's", "the parent is there")?;
    }
    let made = Lock::open().and_then(|lock| lock.with(|| make(asked, direct, sides)));
    if sides.are_we_inside {
        namespace::enter(sides.container, "the container's", "the command runs there")?;
    }
    made.map(|()| Interface {
        name: asked.interface.clone(),
        parent: Some(direct.parent.clone()),
        addresses: asked.addresses.iter().map(ToString::to_string).collect(),
        gateway: asked.gateways.iter().copied().min(),
        ..Interface::default()
    })
}

fn make(asked: &Connection, direct: &Direct, sides: &Sides<'_>) -> Result<(), Fault> {
    let host = Netlink::route()?;
    let parent = link::find(&host, &direct.parent)?.ok_or_else(|| {
        Fault::new(format!("cannot connect to {}: there is no interface of that name", direct.parent))
    })?;
    if let Some(left) = link::find(sides.inside, &asked.interface)?.filter(|link| link.group == UNFINISHED) {
        link::delete(sides.inside, &left.name, left.index, "it was not finished")?;
    }
    inside::require_unused(asked, sides)?;
    let message = message(asked, direct, &parent, sides.container)?;
    let (name, kind) = (&asked.interface, direct.kind.name());
    host.change(
        format!("make the interface {name} on {}", direct.parent),
        &format!("RTM_NEWLINK, NLM_F_EXCL|NLM_F_CREATE, IFLA_IFNAME {name:?}, IFLA_LINK, IFLA_INFO_KIND {kind:?}"),
        "an interface inside, on top of the parent; ip-link(8)",
        change_request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL),
    )
    .map_err(|fault| refusal(fault, direct))?;
    let index = inside::made(sides.inside, name)?.index;
    let done = furnish(asked, sides, index);
    if done.is_err() {
        // The first fault is the one that counts; the link ends with the namespace in any case.
        if let Err(left) = link::delete(sides.inside, name, index, "the connection was not completed") {
            narrate::remark(format_args!("{left}; something is left in the container"));
        }
    }
    done.map(|()| warn_if_down(&parent))
}

/// Nothing passes while the parent is down, and the kernel reports no error.
fn warn_if_down(parent: &Link) {
    if matches!(parent.state.as_str(), "down" | "lowerlayerdown") {
        let name = &parent.name;
        narrate::warn(format_args!("{name} is down or has no cable; bring it up: ip link set {name} up"));
    }
}

fn furnish(asked: &Connection, sides: &Sides<'_>, index: u32) -> Result<(), Fault> {
    inside::close(asked, sides)?;
    inside::furnish(asked, sides, index)?;
    link::finish(sides.inside, &asked.interface, index)
}

fn message(
    asked: &Connection,
    direct: &Direct,
    parent: &Link,
    container: BorrowedFd<'_>,
) -> Result<LinkMessage, Fault> {
    let mut message = LinkMessage::default();
    let (kind, data) = match direct.kind {
        Kind::Macvlan(mode) => (InfoKind::MacVlan, InfoData::MacVlan(vec![InfoMacVlan::Mode(macvlan(mode))])),
        Kind::Ipvlan(mode) => (InfoKind::IpVlan, InfoData::IpVlan(vec![InfoIpVlan::Mode(ipvlan(mode))])),
    };
    message.attributes = vec![
        LinkAttribute::IfName(asked.interface.clone()),
        LinkAttribute::NetNsFd(container.as_raw_fd()),
        LinkAttribute::Link(parent.index),
        LinkAttribute::Group(UNFINISHED),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)]),
    ];
    // The only link on a parent has its address; so does every ipvlan.
    if !matches!(direct.kind, Kind::Macvlan(Macvlan::Passthru) | Kind::Ipvlan(_)) {
        let mac = asked.mac.map_or_else(pair::random_mac, Ok)?;
        message.attributes.push(LinkAttribute::Address(mac.to_vec()));
    }
    message.attributes.extend(asked.mtu.map(LinkAttribute::Mtu));
    Ok(message)
}

fn macvlan(mode: Macvlan) -> MacVlanMode {
    match mode {
        Macvlan::Bridge => MacVlanMode::Bridge,
        Macvlan::Private => MacVlanMode::Private,
        Macvlan::Vepa => MacVlanMode::Vepa,
        Macvlan::Passthru => MacVlanMode::Passthrough,
    }
}

fn ipvlan(mode: Ipvlan) -> IpVlanMode {
    match mode {
        Ipvlan::L2 => IpVlanMode::L2,
        Ipvlan::L3 => IpVlanMode::L3,
        Ipvlan::L3s => IpVlanMode::L3S,
    }
}

fn refusal(fault: Fault, direct: &Direct) -> Fault {
    let kind = direct.kind.name();
    match fault.errno() {
        // The kernel has tried to load the module itself.
        Some(Errno::EOPNOTSUPP) => fault
            .with_remedy(format!("the kernel has no {kind}; load the module {kind} (CONFIG_{})", kind.to_uppercase())),
        Some(Errno::EBUSY) => fault.with_remedy(format!(
            "{} is a port of a bridge, or has links of another kind or mode on it; see: ip -d link",
            direct.parent
        )),
        _ => fault,
    }
}
