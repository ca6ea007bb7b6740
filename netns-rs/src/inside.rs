//! The interface inside a container: its settings, addresses and routes, whatever it is connected to. `rtnetlink(7)`.

use plumbing::{Fault, narrate};

use crate::connection::Connection;
use crate::link::{self, Link};
use crate::netlink::Netlink;
use crate::settings::Settings;
use crate::wiring::Sides;
use crate::{address, namespace, route};

/// Refuses a name that the container has already.
pub fn require_unused(asked: &Connection, sides: &Sides<'_>) -> Result<(), Fault> {
    let name = &asked.interface;
    if !narrate::is_dry_run() && link::find(sides.inside, name)?.is_some() {
        return Err(Fault::new(format!("cannot make the interface {name}: the container has one of that name")));
    }
    Ok(())
}

/// Returns a link that was just made. A dry run made none.
pub fn made(netlink: &Netlink, name: &str) -> Result<Link, Fault> {
    if narrate::is_dry_run() {
        return Ok(Link::default());
    }
    link::find(netlink, name)?.ok_or_else(|| Fault::new(format!("cannot find {name}, which was just made")))
}

/// Applies the settings of the interface. They are those of the network that we are in when we open them.
pub fn close(asked: &Connection, sides: &Sides<'_>) -> Result<(), Fault> {
    namespace::enter(
        sides.container,
        "the container's",
        "the settings of its interface can only be reached from inside",
    )?;
    let closed = Settings::open().and_then(|settings| {
        settings.close(&asked.interface, asked.has_ipv6())?;
        settings.close_all()?;
        settings.allow_ping()
    });
    namespace::enter(sides.host, "the host's", "the other objects are made there")?;
    closed
}

/// Brings the interface up, and gives it its addresses and routes.
pub fn furnish(asked: &Connection, sides: &Sides<'_>, index: u32) -> Result<(), Fault> {
    link::set_up(sides.inside, &asked.interface, index, "a route needs its link to be up")?;
    for own in &asked.addresses {
        address::add(sides.inside, &asked.interface, index, *own, "the container's own address; ip-address(8)")?;
    }
    for route in &asked.routes {
        route::add(sides.inside, route, index)?;
    }
    for gateway in &asked.gateways {
        route::add_default(sides.inside, *gateway, index)?;
    }
    Ok(())
}
