//! The wanted connection of a container: addresses, interface names, and which combinations of them make sense.
//!
//! Pure: nothing here asks the kernel. `ip-address(8)`, `bridge(8)`. The surprise: the kernel itself accepts many
//! combinations that can never carry a packet, such as a gateway outside every subnet of a link that has one.

use std::fmt::{self, Display};
use std::net::IpAddr;

use plumbing::Fault;
use serde::{Deserialize, Serialize};

use crate::mark::{LONGEST_ALIAS, LONGEST_REST, Mark};

/// `IFNAMSIZ` minus its NUL.
const LONGEST_NAME: usize = 15;

/// An address and the length of its network's prefix: `10.88.0.2/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The address itself.
    pub ip: IpAddr,
    /// How many of its leading bits identify the network.
    pub prefix: u8,
}

impl Address {
    /// Parses `10.88.0.2/24` or `fd00::2/64`; an error says what is valid.
    pub fn parse(text: &str) -> Result<Address, String> {
        let forms = "valid is an address with the length of its network's prefix, such as 10.88.0.2/24 or fd00::2/64";
        let (ip, prefix) = text.split_once('/').ok_or(forms)?;
        let ip: IpAddr = ip.parse().map_err(|_| forms)?;
        let longest = if ip.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = prefix
            .parse()
            .ok()
            .filter(|prefix| (1..=longest).contains(prefix))
            .ok_or_else(|| format!("valid prefix lengths are 1 to {longest}"))?;
        let address = Address { ip, prefix };
        address.require_host()?;
        Ok(address)
    }

    fn require_host(&self) -> Result<(), String> {
        require_usable(self.ip)?;
        let (IpAddr::V4(_), 1..=30) = (self.ip, self.prefix) else { return Ok(()) };
        let host_bits = self.bits() << (96 + self.prefix);
        match host_bits {
            0 => Err(format!("{} is the network itself, not a host in it", self.ip)),
            all if all == u128::MAX << (96 + self.prefix) => Err(format!("{} is the broadcast address", self.ip)),
            _ => Ok(()),
        }
    }

    /// Returns whether `ip` is in the same network.
    pub fn reaches(&self, ip: IpAddr) -> bool {
        if self.ip.is_ipv4() != ip.is_ipv4() {
            return false;
        }
        let width = if ip.is_ipv4() { 32 } else { 128 };
        let host_bits = width - u32::from(self.prefix);
        let network = |ip| bits(ip).checked_shr(host_bits).unwrap_or(0);
        network(self.ip) == network(ip)
    }

    fn bits(&self) -> u128 {
        bits(self.ip)
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

fn require_usable(ip: IpAddr) -> Result<(), String> {
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || is_broadcast {
        return Err(format!("{ip} cannot be a host's address: it is unspecified, loopback, multicast or broadcast"));
    }
    Ok(())
}

/// Parses a gateway's address.
pub fn gateway(text: &str) -> Result<IpAddr, String> {
    let ip = text.parse().map_err(|_| "valid is an address without a prefix, such as 10.88.0.1 or fd00::1")?;
    require_usable(ip)?;
    Ok(ip)
}

/// Parses the name of an interface, by the kernel's rule (`dev_valid_name`), without names that the kernel would take
/// as a pattern to fill in or that no other tool could address.
pub fn interface_name(text: &str) -> Result<String, String> {
    let forms = format!("valid are 1 to {LONGEST_NAME} letters, digits and signs, without /, :, % and spaces");
    let is_sign = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%');
    match text {
        "." | ".." | "all" | "default" => Err(format!("the kernel uses the word {text} for something else; {forms}")),
        "lo" => Err("lo is the loopback interface, which every network namespace has".to_owned()),
        _ if (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(is_sign) => Ok(text.to_owned()),
        _ => Err(forms),
    }
}

/// The connection of a container: a veth pair, one end inside, one as a port of a bridge on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The bridge on the host.
    pub bridge: String,
    /// The interface inside.
    pub interface: String,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// The default gateway: the bridge's own address.
    pub gateway: Option<IpAddr>,
    /// Whether packets to the outside are masqueraded with the host's address.
    pub nat: bool,
}

impl Connection {
    /// Refuses combinations that could not work; the error names the option.
    pub fn check(self) -> Result<Connection, Fault> {
        for (at, address) in self.addresses.iter().enumerate() {
            if self.addresses[..at].iter().any(|earlier| earlier.ip == address.ip) {
                return Err(Fault::usage(format!("--address {address}: the address is given twice")));
            }
        }
        if self.addresses.is_empty() {
            return Err(Fault::usage("--bridge needs --address, such as --address 10.88.0.2/24"));
        }
        let alias = Mark { addresses: self.addresses.clone(), ..Mark::default() }.text();
        if alias.len() + LONGEST_REST > LONGEST_ALIAS {
            return Err(Fault::usage("--address: too many addresses for one interface"));
        }
        if let Some(gateway) = self.gateway {
            self.check_gateway(gateway)?;
        }
        if self.nat {
            self.check_nat()?;
        }
        Ok(self)
    }

    fn check_gateway(&self, gateway: IpAddr) -> Result<(), Fault> {
        if self.addresses.iter().any(|address| address.ip == gateway) {
            return Err(Fault::usage(format!("--gateway {gateway}: it is the container's own --address")));
        }
        let Some(subnet) = self.addresses.iter().find(|address| address.reaches(gateway)) else {
            let networks: Vec<_> = self.addresses.iter().map(Address::to_string).collect();
            return Err(Fault::usage(format!(
                "--gateway {gateway}: it is not in the network of any --address ({}), so it could not be reached",
                networks.join(", ")
            )));
        };
        let own = Address { ip: gateway, prefix: subnet.prefix };
        own.require_host().map_err(|why| Fault::usage(format!("--gateway {gateway}: {why}")))
    }

    fn check_nat(&self) -> Result<(), Fault> {
        match self.gateway {
            None => Err(Fault::usage("--nat needs --gateway: without it no packet leaves the bridge")),
            Some(IpAddr::V6(_)) => Err(Fault::usage("--nat is for IPv4: it needs an IPv4 --address and --gateway")),
            Some(IpAddr::V4(_)) => Ok(()),
        }
    }

    /// Returns the address for the bridge, with the prefix of its network.
    pub fn bridge_address(&self) -> Option<Address> {
        let gateway = self.gateway?;
        let subnet = self.addresses.iter().find(|address| address.reaches(gateway))?;
        Some(Address { ip: gateway, prefix: subnet.prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(addresses: &[&str], gateway: Option<&str>, nat: bool) -> Connection {
        Connection {
            bridge: "box0".into(),
            interface: "eth0".into(),
            addresses: addresses.iter().map(|text| Address::parse(text).unwrap()).collect(),
            gateway: gateway.map(|text| super::gateway(text).unwrap()),
            nat,
        }
    }

    #[test]
    fn addresses_are_read_with_their_prefix() {
        for text in ["10.88.0.2/24", "10.0.0.0/31", "192.0.2.7/32", "fd00::2/64", "fd00::/127", "10.255.255.254/8"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_address_that_cannot_be_a_host_is_refused() {
        for text in [
            "10.88.0.2",
            "10.88.0.2/33",
            "10.88.0.2/0",
            "10.88.0.2/",
            "10.88.0/24",
            "10.88.0.0/24",
            "10.88.0.255/24",
            "127.0.0.1/8",
            "0.0.0.0/8",
            "224.0.0.1/4",
            "255.255.255.255/32",
            "::/64",
            "::1/128",
            "fd00::1/129",
            "",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_reaches_its_own_hosts_only() {
        let address = Address::parse("10.88.0.2/24").unwrap();
        assert!(address.reaches("10.88.0.1".parse().unwrap()));
        assert!(!address.reaches("10.88.1.1".parse().unwrap()));
        assert!(!address.reaches("fd00::1".parse().unwrap()));
        assert!(!Address::parse("10.88.0.2/32").unwrap().reaches("10.88.0.3".parse().unwrap()));
        assert!(Address::parse("fd00::2/64").unwrap().reaches("fd00::ffff".parse().unwrap()));
    }

    #[test]
    fn interface_names_follow_the_kernel() {
        for name in ["eth0", "box0", "a", "br-1.2", "123456789012345"] {
            assert!(interface_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "lo", "a/b", "a b", "a:1", "veth%d", "1234567890123456", "é", "all"] {
            assert!(interface_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn combinations_that_could_not_work_are_refused() {
        for (asked, said) in [
            (connection(&[], None, false), "--address"),
            (connection(&["10.88.0.2/24"], Some("10.89.0.1"), false), "--gateway 10.89.0.1"),
            (connection(&["10.88.0.2/24"], Some("10.88.0.2"), false), "own --address"),
            (connection(&["10.88.0.2/24"], Some("10.88.0.255"), false), "broadcast"),
            (connection(&["10.88.0.2/24", "10.88.0.2/16"], None, false), "twice"),
            (connection(&["10.88.0.2/24"], None, true), "--nat needs --gateway"),
            (connection(&["fd00::2/64"], Some("fd00::1"), true), "--nat is for IPv4"),
        ] {
            let fault = asked.check().unwrap_err().to_string();
            assert!(fault.contains(said), "{fault}");
        }
        assert!(connection(&["10.88.0.2/24", "fd00::2/64"], Some("10.88.0.1"), true).check().is_ok());
    }

    #[test]
    fn the_bridge_gets_the_gateway_with_the_prefix_of_its_network() {
        let asked = connection(&["fd00::2/64", "10.88.0.2/24"], Some("10.88.0.1"), false);
        assert_eq!(asked.bridge_address().unwrap().to_string(), "10.88.0.1/24");
    }
}
