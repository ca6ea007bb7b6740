//! The values of options about networks: addresses, subnets, routes. Pure.
//! `ip-address(8)`, `ip-route(8)`.
//!
//! The surprise: the kernel itself accepts addresses that can never carry a packet, such as that of a whole network.

use std::fmt::{self, Display};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

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
        let forms = "expected an address with the length of its network's prefix, such as 10.88.0.2/24 or fd00::2/64";
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

    /// Refuses the addresses of the network itself and of all its hosts.
    pub fn require_host(&self) -> Result<(), String> {
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

    /// Returns the address of its network: without the bits of the host.
    pub fn network(&self) -> IpAddr {
        match self.ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V4((u32::from(ip) & mask).into())
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V6((u128::from(ip) & mask).into())
            }
        }
    }

    /// Returns whether an address is in both networks.
    pub fn overlaps(&self, other: &Address) -> bool {
        let shorter = if self.prefix <= other.prefix { self } else { other };
        Address { ip: self.ip, prefix: shorter.prefix }.reaches(other.ip)
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

/// Refuses what cannot be the address of a host on a link.
pub fn require_usable(ip: IpAddr) -> Result<(), String> {
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || is_broadcast {
        return Err(format!("{ip} cannot be a host's address: it is unspecified, loopback, multicast or broadcast"));
    }
    Ok(())
}

/// Parses a gateway's address.
pub fn gateway(text: &str) -> Result<IpAddr, String> {
    let ip = text.parse().map_err(|_| "expected an address without a prefix, such as 10.88.0.1 or fd00::1")?;
    require_usable(ip)?;
    Ok(ip)
}

/// An address as an option asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// This one.
    Fixed(Address),
    /// `auto:10.88.0.0/24`: a free one of the subnet; `auto`: of the subnet of the bridge.
    Auto(Option<Subnet>),
}

/// The addresses of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet(Address);

impl Wanted {
    /// Parses an address, `auto` or `auto:SUBNET`; an error says what is valid.
    pub fn parse(text: &str) -> Result<Wanted, String> {
        match text.strip_prefix("auto") {
            Some("") => Ok(Wanted::Auto(None)),
            Some(subnet) if subnet.starts_with(':') => Route::parse(&subnet[1..])
                .and_then(|route| Subnet::of(route.to))
                .map(|subnet| Wanted::Auto(Some(subnet))),
            _ => Address::parse(text).map(Wanted::Fixed),
        }
    }
}

impl Subnet {
    /// Returns the subnet of an address; an error if it has no room for a gateway and a container.
    pub fn of(address: Address) -> Result<Subnet, String> {
        let longest = if address.ip.is_ipv4() { 30 } else { 126 };
        if !(1..=longest).contains(&address.prefix) {
            return Err(format!("{address} has no room for a gateway and a container"));
        }
        Ok(Subnet(Address { ip: address.network(), prefix: address.prefix }))
    }

    /// Returns its addresses for hosts, the lowest first; of a large subnet only the first 65535.
    pub fn hosts(&self) -> impl Iterator<Item = Address> {
        let Subnet(Address { ip, prefix }) = *self;
        let host_bits = if ip.is_ipv4() { 32 } else { 128 } - u32::from(prefix);
        let last = 1u128.checked_shl(host_bits).unwrap_or(u128::MAX) - 2;
        (1..=last.min(65535)).map(move |number| {
            let ip = match ip {
                IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) | number as u32).into()),
                IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) | number).into()),
            };
            Address { ip, prefix }
        })
    }

    /// Returns whether the address is in it.
    pub fn has(&self, ip: IpAddr) -> bool {
        self.0.reaches(ip)
    }
}

impl Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A route to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The network that it leads to.
    pub to: Address,
    /// The next router; without one, the network is on the link itself.
    pub gateway: Option<IpAddr>,
}

impl Route {
    /// Parses `NETWORK/PREFIX` or `NETWORK/PREFIX,GATEWAY`; an error says what is valid.
    pub fn parse(text: &str) -> Result<Route, String> {
        let forms = "expected a network such as 192.0.2.0/24 or fd01::/64, and a comma and the address of a router";
        let (network, router) = match text.split_once(',') {
            Some((network, router)) => (network, Some(gateway(router)?)),
            None => (text, None),
        };
        let (ip, prefix) = network.split_once('/').ok_or(forms)?;
        let ip: IpAddr = ip.parse().map_err(|_| forms)?;
        let longest = if ip.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= longest).ok_or(forms)?;
        let to = Address { ip, prefix };
        if to.network() != ip {
            return Err(format!("{ip} has bits beyond the prefix; expected {}/{prefix}", to.network()));
        }
        match router {
            Some(router) if router.is_ipv4() != ip.is_ipv4() => Err("the router is of another family".to_owned()),
            gateway => Ok(Route { to, gateway }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_hosts_of_a_subnet_leave_out_the_network_and_the_broadcast_address() {
        let hosts = |text| match Wanted::parse(text) {
            Ok(Wanted::Auto(Some(subnet))) => subnet.hosts().map(|host| host.to_string()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(hosts("auto:10.88.0.4/30"), ["10.88.0.5/30", "10.88.0.6/30"]);
        assert_eq!(hosts("auto:fd00::/64")[1], "fd00::2/64");
        assert_eq!(hosts("auto:fd00::/64").len(), 65535);
        assert_eq!(Wanted::parse("auto"), Ok(Wanted::Auto(None)));
        for text in ["auto:10.88.0.1/24", "auto:10.88.0.0/31", "auto:", "automatic", "auto:10.88.0.0"] {
            assert!(Wanted::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn routes_are_read() {
        let shown =
            |text| Route::parse(text).map(|route| (route.to.to_string(), route.gateway.map(|ip| ip.to_string())));
        assert_eq!(shown("192.0.2.0/24"), Ok(("192.0.2.0/24".into(), None)));
        assert_eq!(shown("fd01::/64,fd00::9"), Ok(("fd01::/64".into(), Some("fd00::9".into()))));
        for text in ["192.0.2.1/24", "192.0.2.0", "192.0.2.0/33", "192.0.2.0/24,fd00::9", "192.0.2.0/24,"] {
            assert!(Route::parse(text).is_err(), "{text}");
        }
        let address = |text| Address::parse(text).unwrap();
        assert!(address("10.88.0.2/24").overlaps(&address("10.88.0.9/28")));
        assert!(!address("10.88.0.2/24").overlaps(&address("10.88.1.9/28")));
    }
}
