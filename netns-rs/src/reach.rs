//! `--reach HOST:PORT[=PORT]`: a port of 127.0.0.1 inside that leads to one address outside. `hosts(5)`.
//!
//! A name is looked up once, before the start, and only in /etc/hosts: a static executable loads no code that could look
//! further, and a name that is looked up later could lead elsewhere by then.

use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use plumbing::Fault;
use plumbing::kernel::look;
use plumbing::process::target::read_at;
use rustix::fs::CWD;

const HOSTS: &str = "/etc/hosts";

/// A port inside, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    host: Host,
    port: u16,
    /// The port of 127.0.0.1 inside.
    pub inside: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

impl Reach {
    /// Parses `127.0.0.1:3128`, `proxy:3128=8080`, `[::1]:3128`; an error says what is valid.
    pub fn parse(text: &str) -> Result<Reach, String> {
        let forms = "expected HOST:PORT or HOST:PORT=PORT, such as 127.0.0.1:3128, [::1]:8080=80 or proxy:3128, with \
                     ports from 1 to 65535";
        let port = |text: &str| text.parse().ok().filter(|port| *port != 0).ok_or(forms);
        let (outside, inside) = text.rsplit_once('=').map_or((text, None), |(outside, inside)| (outside, Some(inside)));
        let (host, outside) = outside.rsplit_once(':').ok_or(forms)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(ip) => Host::Address(IpAddr::V6(ip.parse().map_err(|_| forms)?)),
            None => match host.parse() {
                Ok(ip) => Host::Address(IpAddr::V4(ip)),
                Err(_) if is_name(host) => Host::Name(host.to_owned()),
                Err(_) => return Err(forms.to_owned()),
            },
        };
        let outside = port(outside)?;
        Ok(Reach { host, port: outside, inside: inside.map_or(Ok(outside), port)? })
    }

    /// Returns the addresses to try, in this order.
    pub fn resolve(&self) -> Result<Vec<SocketAddr>, Fault> {
        let addresses = match &self.host {
            Host::Address(ip) => vec![*ip],
            Host::Name(name) => {
                let goal = format!("look up {name}");
                let hosts = look(&goal, format!("read({HOSTS:?})"), || read_at(CWD, HOSTS))?;
                let found = addresses_of(name, &hosts);
                if found.is_empty() {
                    return Err(Fault::new(format!("cannot {goal}: it is not in {HOSTS}"))
                        .with_remedy(format!("give one of its addresses: getent ahosts {name}")));
                }
                found
            }
        };
        Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, self.port)).collect())
    }

    /// Returns the address inside on which it listens.
    pub fn listens_on(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.inside)
    }
}

impl Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
            Host::Address(IpAddr::V4(ip)) => write!(f, "{ip}:")?,
            Host::Name(name) => write!(f, "{name}:")?,
        }
        write!(f, "{}", self.port)?;
        if self.inside == self.port { Ok(()) } else { write!(f, "={}", self.inside) }
    }
}

/// A word of digits and dots alone is an address that was mistyped.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=253).contains(&text.len()) && text.bytes().all(is_plain) && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Returns the addresses of a name, in the order of the lines. The file is bytes from someone else: a line that makes no
/// sense is passed over.
fn addresses_of(name: &str, hosts: &[u8]) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in hosts.split(|byte| *byte == b'\n') {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let address = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
        if let Some(address) = address
            && words.any(|word| word.eq_ignore_ascii_case(name.as_bytes()))
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_one_or_two_ports_are_read() {
        for text in ["127.0.0.1:3128", "proxy.example:3128=8080", "[::1]:80", "10.0.0.1:443=1443"] {
            assert_eq!(Reach::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Reach::parse("127.0.0.1:80=80").unwrap().to_string(), "127.0.0.1:80");
        for text in
            ["", "3128", "proxy", "proxy:0", "proxy:1=0", "::1:80", "10.0.0:80", "a b:80", "a:1=", ":80", "a:1/udp"]
        {
            assert!(Reach::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_is_found_in_the_lines_that_make_sense() {
        let hosts =
            b"::1 localhost ip6-localhost\n\xff\xfe proxy\n127.0.0.1\tlocalhost\tProxy # proxy2\n10.0.0.1 proxy";
        let found = |name| addresses_of(name, hosts).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(found("localhost"), ["::1", "127.0.0.1"]);
        assert_eq!(found("proxy"), ["127.0.0.1", "10.0.0.1"]);
        assert_eq!(found("proxy2"), [""; 0]);
    }
}
