//! Listening sockets, in the network namespace that we are in. `listen(2)`, `ip(7)`.
//!
//! The surprise: without `SO_REUSEADDR` a port cannot be used again for a minute after its last connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use plumbing::kernel::look;
use plumbing::{Fault, narrate};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use crate::publish::{self, Published};

/// How many connections the kernel keeps that are not accepted yet; net.core.somaxconn limits it, too.
const QUEUE: i32 = 4096;

/// Listens on a port of the host: of one address, or of all.
pub fn published(published: &Published) -> Result<Vec<OwnedFd>, Fault> {
    if narrate::is_dry_run() {
        return Ok(Vec::new());
    }
    let goal = format!("publish TCP port {}", published.host);
    let listen =
        |ip| on(SocketAddr::new(ip, published.host), &goal).map_err(|fault| publish::explain(published, ip, fault));
    if let Some(ip) = published.ip {
        return Ok(vec![listen(ip)?]);
    }
    let mut sockets = vec![listen(IpAddr::V4(Ipv4Addr::UNSPECIFIED))?];
    match listen(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) {
        // A kernel without IPv6 has no such port.
        Err(fault) if fault.errno() == Some(Errno::EAFNOSUPPORT) => {}
        socket => sockets.push(socket?),
    }
    Ok(sockets)
}

/// Listens on an address. `goal` completes "cannot …".
pub fn on(address: SocketAddr, goal: &str) -> Result<OwnedFd, Fault> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    look(goal, format!("bind({address})"), || {
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if !address.is_ipv4() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        bind(&socket, &address)?;
        listen(&socket, QUEUE).map(|()| socket)
    })
}
