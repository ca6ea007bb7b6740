//! `who WORD`: the namespace, container and processes behind an interface, an address, a port, a name or a pid.
//!
//! One word, so that a line of a log or of `ip link` can be pasted. The surprise: the same word may mean several things;
//! all of them are printed.

use std::net::IpAddr;

use plumbing::process::startup;
use plumbing::{Fault, Status, json};
use serde::Serialize;

use crate::map;
use crate::overview::{self, Space};

/// The word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// `:8080`: a port that accepts connections, or is published.
    Port(u16),
    /// An address of an interface.
    Address(IpAddr),
    /// The name of an interface, a container, a network namespace or a process; or a pid.
    Name(String),
}

impl Word {
    /// Parses the word; an error says what is valid.
    pub fn parse(text: &str) -> Result<Word, String> {
        if let Some(port) = text.strip_prefix(':') {
            let port = port.parse().ok().filter(|port| *port != 0);
            return port.map(Word::Port).ok_or_else(|| "expected a port from 1 to 65535 after the colon".to_owned());
        }
        match (text.is_empty(), text.parse()) {
            (true, _) => Err("expected an interface, an address, :PORT, a name or a pid".to_owned()),
            (_, Ok(ip)) => Ok(Word::Address(ip)),
            _ => Ok(Word::Name(text.to_owned())),
        }
    }
}

/// A match.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Match {
    /// The place of the namespace in the list.
    namespace: usize,
    /// The interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<String>,
    /// The port that accepts connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

/// What is printed as JSON: the matches, and the namespaces to which they refer.
#[derive(Serialize)]
struct Answer<'a> {
    matches: &'a [Match],
    namespaces: &'a [Space],
}

/// Prints what the word means; a fault if it means nothing here.
pub fn print(word: &Word, as_json: bool) -> Result<Status, Fault> {
    let spaces = overview::take()?;
    let found = search(&spaces, word);
    if found.is_empty() {
        let shown = match word {
            Word::Port(port) => format!(":{port}"),
            Word::Address(ip) => ip.to_string(),
            Word::Name(name) => name.escape_debug().to_string(),
        };
        return Err(Fault::new(format!("cannot find {shown}: no network namespace that can be examined has it"))
            .with_remedy("netns-rs map lists what can be examined"));
    }
    if as_json {
        return startup::print(&json::line("what was found", &Answer { matches: &found, namespaces: &spaces })?);
    }
    let mut text = String::new();
    let mut shown = Vec::new();
    for place in found.iter().map(|found| found.namespace) {
        if !shown.contains(&place) {
            shown.push(place);
            text.push_str(&about(&spaces, place, &found));
        }
    }
    startup::print(&text)
}

/// The interfaces and ports that match, where they lead, and then everything about that namespace.
fn about(spaces: &[Space], place: usize, found: &[Match]) -> String {
    let space = &spaces[place];
    let here = found.iter().filter(|found| found.namespace == place);
    let peers = here.filter_map(|found| {
        let port = space.interfaces.iter().find(|port| Some(&port.name) == found.interface.as_ref())?;
        port.peer.as_ref().map(|peer| peer.namespace)
    });
    let mut places: Vec<_> = peers.filter(|peer| *peer != place).collect();
    places.dedup();
    places.insert(0, place);
    places.iter().map(|place| map::section(spaces, &spaces[*place])).collect::<Vec<_>>().join("\n")
}

fn search(spaces: &[Space], word: &Word) -> Vec<Match> {
    let mut found = Vec::new();
    for (namespace, space) in spaces.iter().enumerate() {
        for port in &space.interfaces {
            let ip = |text: &String| text.split('/').next().and_then(|ip| ip.parse::<IpAddr>().ok());
            let matches = match word {
                Word::Address(wanted) => port.addresses.iter().any(|text| ip(text) == Some(*wanted)),
                Word::Name(name) => port.name == *name,
                Word::Port(wanted) => port.published.iter().any(|text| is_published(text, *wanted)),
            };
            if matches {
                found.push(Match { namespace, interface: Some(port.name.clone()), port: None });
            }
        }
        match word {
            Word::Port(wanted) if space.listening.iter().any(|listening| listening.port == *wanted) => {
                found.push(Match { namespace, interface: None, port: Some(*wanted) });
            }
            Word::Name(name) if has_name(space, name) => {
                found.push(Match { namespace, interface: None, port: None });
            }
            _ => {}
        }
    }
    found
}

/// `8080:80`, `127.0.0.1:8080:80`, `53:53/udp`
fn is_published(text: &str, wanted: u16) -> bool {
    let host = text.rsplit_once(':').map_or("", |(host, _)| host);
    host.rsplit(':').next() == Some(wanted.to_string().as_str())
}

fn has_name(space: &Space, name: &str) -> bool {
    let is = |text: &plumbing::text::Text| text.0 == *name;
    let is_process = |pid: i32| name.parse() == Ok(pid);
    space.names.iter().any(is)
        || space.containers.iter().any(|container| is(&container.name) || is_process(container.pid))
        || space.processes.iter().any(|process| is(&process.name) || is_process(process.pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_port_an_address_or_a_name() {
        assert_eq!(Word::parse(":8080"), Ok(Word::Port(8080)));
        assert_eq!(Word::parse("10.88.0.7"), Ok(Word::Address("10.88.0.7".parse().unwrap())));
        assert_eq!(Word::parse("fd00::7"), Ok(Word::Address("fd00::7".parse().unwrap())));
        assert_eq!(Word::parse("veth1a2b"), Ok(Word::Name("veth1a2b".to_owned())));
        assert!(Word::parse(":").is_err() && Word::parse(":0").is_err() && Word::parse("").is_err());
        assert!(
            is_published("8080:80", 8080)
                && is_published("127.0.0.1:8080:80", 8080)
                && is_published("[::1]:53:5/udp", 53)
        );
        assert!(!is_published("8080:80", 80));
    }
}
