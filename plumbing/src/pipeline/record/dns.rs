//! The record's member `net.dns`: the name servers that `netns-rs connect --dns` chose. `resolv.conf(5)`.
//!
//! A record is input: a domain with a line break would add lines to the container's resolv.conf, so reading refuses it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The first line of the text. A tool further on in the chain keeps a text that begins with it: a name server on the
/// loopback was chosen, not inherited.
pub const CHOSEN: &str = "# chosen with netns-rs --dns\n";
/// The number of name servers that the C library uses (`MAXNS`).
pub const MOST_SERVERS: usize = 3;

/// The name servers of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// The servers, the first one first.
    pub servers: Vec<IpAddr>,
    /// The domains in which a name without dots is looked up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<Domain>,
}

/// The name of a domain, or `.`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Domain(String);

impl Domain {
    /// Parses a domain; an error says what is valid.
    pub fn parse(text: &str) -> Result<Domain, String> {
        const LONGEST: usize = 253;
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_valid) {
            return Ok(Domain(text.to_owned()));
        }
        Err(format!("expected 1 to {LONGEST} letters, digits, dots, - and _"))
    }
}

impl TryFrom<String> for Domain {
    type Error = String;

    fn try_from(text: String) -> Result<Domain, String> {
        Domain::parse(&text)
    }
}

impl Dns {
    /// Returns the text of a resolv.conf.
    pub fn text(&self) -> String {
        let mut text = CHOSEN.to_owned();
        if !self.search.is_empty() {
            let domains: Vec<_> = self.search.iter().map(|domain| domain.0.as_str()).collect();
            text += &format!("search {}\n", domains.join(" "));
        }
        self.servers.iter().fold(text, |text, server| format!("{text}nameserver {server}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_cannot_add_lines() {
        let read = |text: &str| serde_json::from_str::<Dns>(text).map(|dns| dns.text());
        let good = read(r#"{"servers":["192.0.2.1","fd00::1"],"search":["lab.example","."]}"#).unwrap();
        assert_eq!(good, format!("{CHOSEN}search lab.example .\nnameserver 192.0.2.1\nnameserver fd00::1\n"));
        for bad in [
            r#"{"servers":["192.0.2.1"],"search":["a\nnameserver 192.0.2.9"]}"#,
            r#"{"servers":["192.0.2.1"],"search":["a b"]}"#,
            r#"{"servers":["192.0.2.1"],"search":[""]}"#,
            r#"{"servers":["192.0.2.1\n"]}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
