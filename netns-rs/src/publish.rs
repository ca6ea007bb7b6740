//! Published ports: which port of the host leads to which port of a container, and reserving it. `nft(8)`, `ip(7)`.
//!
//! The surprise: the kernel rewrites the destination of a packet before it looks for a socket, so a rule takes a port from
//! a program that already listens on it. A socket that is bound, and never listens, makes that an error on both sides.

use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use plumbing::kernel::look;
use plumbing::{Fault, narrate};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

use crate::connection::Connection;
use crate::mark::Mark;

/// How long to wait for a port.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

/// A port of the host that leads to a port of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The host's address; all of them if none is given.
    pub ip: Option<IpAddr>,
    /// The host's port.
    pub host: u16,
    /// The container's port.
    pub inside: u16,
    /// Whether it is a port of UDP, not of TCP.
    pub is_udp: bool,
}

impl Published {
    /// Parses `8080:80`, `127.0.0.1:8080:80`, `[::1]:8080:80`, each with or without `/udp`; an error says what is valid.
    pub fn parse(text: &str) -> Result<Published, String> {
        let forms = "expected HOST:CONTAINER and IP:HOST:CONTAINER, two ports from 1 to 65535, and /udp after them, \
                     such as 8080:80 or 127.0.0.1:5353:53/udp";
        let (ports, is_udp) = match text.split_once('/') {
            Some((ports, "udp")) => (ports, true),
            Some((ports, "tcp")) => (ports, false),
            Some(_) => return Err(forms.to_owned()),
            None => (text, false),
        };
        let (rest, inside) = ports.rsplit_once(':').ok_or(forms)?;
        let (ip, host) = rest.rsplit_once(':').map_or((None, rest), |(ip, host)| (Some(ip), host));
        let port = |text: &str| text.parse().ok().filter(|port| *port != 0).ok_or(forms);
        let bare = |ip: &str| match ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')) {
            Some(ip) => ip.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| forms),
            None => ip.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| forms),
        };
        let ip = ip.map(bare).transpose()?;
        Ok(Published { ip: ip.filter(|ip| !ip.is_unspecified()), host: port(host)?, inside: port(inside)?, is_udp })
    }

    /// Returns whether both take the same port of the host.
    pub fn conflicts_with(&self, other: &Published) -> bool {
        let same_address = self.ip.is_none() || other.ip.is_none() || self.ip == other.ip;
        self.host == other.host && self.is_udp == other.is_udp && same_address
    }

    /// Returns whether it is for addresses of this family.
    pub fn is_for(&self, is_ipv4: bool) -> bool {
        self.ip.is_none_or(|ip| ip.is_ipv4() == is_ipv4)
    }

    /// Returns whether 127.0.0.1 of the host leads to it.
    pub fn is_for_loopback(&self) -> bool {
        self.ip.is_none_or(|ip| ip.is_loopback() && ip.is_ipv4())
    }

    fn protocol(&self) -> &'static str {
        if self.is_udp { "UDP" } else { "TCP" }
    }
}

impl Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:")?,
            None => {}
        }
        write!(f, "{}:{}{}", self.host, self.inside, if self.is_udp { "/udp" } else { "" })
    }
}

/// Published ports, each with a socket that keeps it.
pub type Reserved = Vec<(Published, OwnedFd)>;

/// Binds a socket to each port, in the network namespace that we are in. Who keeps them keeps the ports.
pub fn reserve(asked: &Connection) -> Result<Reserved, Fault> {
    reserve_for(&asked.published, |is_ipv4| asked.masquerades(is_ipv4))
}

/// Binds a socket to each port, for the families that `is_used` names.
pub fn reserve_for(published: &[Published], is_used: impl Fn(bool) -> bool) -> Result<Reserved, Fault> {
    let mut reserved = Vec::new();
    if narrate::is_dry_run() {
        return Ok(reserved);
    }
    for published in published {
        for (is_ipv4, any) in [(true, IpAddr::V4(Ipv4Addr::UNSPECIFIED)), (false, IpAddr::V6(Ipv6Addr::UNSPECIFIED))] {
            if is_used(is_ipv4) && published.is_for(is_ipv4) {
                reserved.push((*published, reserve_one(published, published.ip.unwrap_or(any))?));
            }
        }
    }
    Ok(reserved)
}

/// Keeps the ports that are published now, and gives the others back.
pub fn follow(reserved: &mut Reserved, mark: &Mark) {
    reserved.retain(|(published, _)| mark.published.contains(published));
    for published in &mark.published {
        if !reserved.iter().any(|(known, _)| known == published) {
            let has = |is_ipv4| mark.addresses.iter().any(|own| own.ip.is_ipv4() == is_ipv4);
            let reserve = || reserve_for(&[*published], has);
            let deadline = Instant::now() + PATIENCE / 4;
            let mut taken = reserve();
            // By the process that changed the alias, which waits for us and tries the port meanwhile.
            while taken.is_err() && Instant::now() < deadline {
                std::thread::sleep(PAUSE);
                taken = reserve();
            }
            // Nobody is there to hear of a failure; the rule leads to the container anyway.
            reserved.extend(taken.unwrap_or_default());
        }
    }
}

/// Waits until the guardian of a connection has reserved these ports, but not for long.
pub fn wait_until_taken(published: &[Published]) {
    let deadline = Instant::now() + PATIENCE;
    for published in published {
        let any =
            if published.is_for(true) { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        while !narrate::is_dry_run()
            && Instant::now() < deadline
            && reserve_one(published, published.ip.unwrap_or(any)).is_ok()
        {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Waits until the guardian of a connection that was removed has given its ports back, but not for long: it gives them
/// back as soon as it notices, and another program may take them.
pub fn wait_until_free(published: &[Published]) {
    let deadline = Instant::now() + PATIENCE;
    for published in published {
        for any in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
            let is_taken = || {
                let reserved = reserve_one(published, published.ip.unwrap_or(any));
                reserved.is_err_and(|fault| fault.errno() == Some(Errno::EADDRINUSE))
            };
            while !narrate::is_dry_run() && Instant::now() < deadline && is_taken() {
                std::thread::sleep(PAUSE);
            }
        }
    }
}

fn reserve_one(published: &Published, ip: IpAddr) -> Result<OwnedFd, Fault> {
    let address = SocketAddr::new(ip, published.host);
    let goal = format!("publish {} port {}", published.protocol(), published.host);
    let family = if ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = if published.is_udp { SocketType::DGRAM } else { SocketType::STREAM };
    let bound = look(&goal, format!("bind({address})"), || {
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        if !ip.is_ipv4() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        bind(&socket, &address).map(|()| socket)
    });
    bound.map_err(|fault| explain(published, ip, fault))
}

/// Adds a remedy to the reason why a port cannot be bound.
pub fn explain(published: &Published, ip: IpAddr, fault: Fault) -> Fault {
    match fault.errno() {
        Some(Errno::EADDRINUSE) => {
            let option = if published.is_udp { "u" } else { "t" };
            fault.with_remedy(format!("another program has the port: ss -lp{option}n sport = {}", published.host))
        }
        Some(Errno::EADDRNOTAVAIL) => fault.with_remedy(format!("{ip} is no address of the host")),
        _ => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_they_are_written() {
        for text in ["8080:80", "127.0.0.1:8080:80", "[::1]:8080:80", "53:5353/udp"] {
            assert_eq!(Published::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Published::parse("0.0.0.0:1:2/tcp").unwrap().to_string(), "1:2");
        for text in ["", "80", "80:", ":80", "0:80", "80:65536", "x:80:80", "::1:80:80", "80:80/sctp", "80:80/"] {
            assert!(Published::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_of_all_addresses_conflicts_with_one_of_a_single_address() {
        let conflict = |one, other| Published::parse(one).unwrap().conflicts_with(&Published::parse(other).unwrap());
        assert!(conflict("80:1", "80:2") && conflict("80:1", "127.0.0.1:80:1"));
        assert!(!conflict("80:1", "81:1") && !conflict("80:1", "80:1/udp"));
        assert!(!conflict("127.0.0.2:80:1", "127.0.0.1:80:1"));
    }
}
