//! The options of `--cni`: which network of which directory, and what its plugins are asked for. Pure.
//!
//! The surprise: a plugin gets only those arguments whose capability its configuration declares; others would be lost
//! without a word. `containernetworking/cni CONVENTIONS.md`.

use std::path::PathBuf;
use std::time::Duration;

use plumbing::Fault;
use plumbing::command_line::units;
use serde_json::{Map, Value, json};

use crate::connection::Connection;
use crate::network::Address;
use crate::publish::Published;
use crate::rate::Rate;

/// Where runtimes look for configurations.
pub const DIRECTORY: &str = "/etc/cni/net.d";
/// The longest time that a plugin may take, if none is given.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The longest name of a network that fits into the name of a file of the cache.
const LONGEST_NAME: usize = 100;

/// The network of a CNI configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub network: String,
    /// The directory of the configurations.
    pub directory: PathBuf,
    /// The longest time that a plugin may take.
    pub patience: Duration,
}

impl Wanted {
    /// Returns the network that the three options ask for.
    pub fn of(network: Option<String>, directory: Option<PathBuf>, patience: Option<Duration>) -> Option<Wanted> {
        Some(Wanted {
            network: network?,
            directory: directory.unwrap_or_else(|| DIRECTORY.into()),
            patience: patience.unwrap_or(PATIENCE),
        })
    }
}

/// Parses the name of a network.
pub fn name(text: &str) -> Result<String, String> {
    if is_name(text) && text.len() <= LONGEST_NAME {
        return Ok(text.to_owned());
    }
    Err(format!("expected up to {LONGEST_NAME} letters, digits, _, . and -, of which the first is a letter or a digit"))
}

/// Parses the longest time that a plugin may take.
pub fn patience(text: &str) -> Result<Duration, String> {
    match units::milliseconds(text)? {
        0 => Err("expected a time that is not 0, such as 30s".to_owned()),
        milliseconds => Ok(Duration::from_millis(milliseconds)),
    }
}

/// Returns whether CNI allows the name for a network or a container.
pub fn is_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) && text.bytes().all(is_inner)
}

/// Refuses options that no plugin can be asked for.
pub fn check(asked: &Connection) -> Result<(), Fault> {
    let refused = [
        (!asked.gateways.is_empty(), "--gateway"),
        (!asked.routes.is_empty(), "--route"),
        (asked.mtu.is_some(), "--mtu"),
        (!asked.shape.impairment.is_none(), "--delay, --jitter, --loss"),
        (asked.auto.is_some(), "--address auto"),
    ];
    match refused.iter().find(|(is_given, _)| *is_given) {
        Some((_, option)) => Err(Fault::usage(format!("{option}: not with --cni, whose configuration decides this"))),
        None => Ok(()),
    }
}

/// One argument for the plugins that declare a capability.
pub struct Argument {
    /// The option that it comes from.
    pub option: &'static str,
    /// The capability.
    pub capability: &'static str,
    /// The value.
    pub value: Value,
}

/// Returns what the plugins are asked for.
pub fn arguments(asked: &Connection) -> Vec<Argument> {
    let ports = || asked.published.iter().map(mapping).collect();
    let addresses = || asked.addresses.iter().map(Address::to_string).collect();
    let mac = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":").into();
    [
        (!asked.published.is_empty()).then(|| ("--publish", "portMappings", ports())),
        asked.shape.rate.map(|rate| ("--rate", "bandwidth", bandwidth(rate))),
        (!asked.addresses.is_empty()).then(|| ("--address", "ips", addresses())),
        asked.mac.map(|own| ("--mac", "mac", mac(own))),
    ]
    .into_iter()
    .flatten()
    .map(|(option, capability, value)| Argument { option, capability, value })
    .collect()
}

fn mapping(published: &Published) -> Value {
    let protocol = if published.is_udp { "udp" } else { "tcp" };
    let mut mapping = Map::new();
    mapping.insert("hostPort".to_owned(), published.host.into());
    mapping.insert("containerPort".to_owned(), published.inside.into());
    mapping.insert("protocol".to_owned(), protocol.into());
    if let Some(ip) = published.ip {
        mapping.insert("hostIP".to_owned(), ip.to_string().into());
    }
    mapping.into()
}

/// Returns the ports of such arguments.
pub fn published(arguments: &Map<String, Value>) -> Vec<Published> {
    let number = |mapping: &Value, name: &str| mapping.get(name)?.as_u64()?.try_into().ok();
    let port = |mapping: &Value| {
        Some(Published {
            ip: mapping.get("hostIP").and_then(Value::as_str).and_then(|ip| ip.parse().ok()),
            host: number(mapping, "hostPort")?,
            inside: number(mapping, "containerPort")?,
            is_udp: mapping.get("protocol").and_then(Value::as_str) == Some("udp"),
        })
    };
    arguments.get("portMappings").and_then(Value::as_array).into_iter().flatten().filter_map(port).collect()
}

/// Rates and bursts are in bits; a burst of 0 is refused by the plugin.
fn bandwidth(rate: Rate) -> Value {
    let (bits, burst) = (rate.bytes() * 8, rate.burst(None) * 8);
    json!({"ingressRate": bits, "ingressBurst": burst, "egressRate": bits, "egressBurst": burst})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_cni_allows() {
        for good in ["a", "9net", "podman-1.x_y"] {
            assert_eq!(name(good), Ok(good.to_owned()));
        }
        for bad in ["", "-a", ".", "..", "a/b", "a b", "ä", "a\n"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert!(name(&"a".repeat(101)).is_err());
        assert!(patience("0s").is_err() && patience("1500ms") == Ok(Duration::from_millis(1500)));
    }

    #[test]
    fn options_become_arguments_of_capabilities() {
        let asked = Connection {
            published: vec![Published::parse("127.0.0.1:53:5353/udp").unwrap()],
            mac: Some([2, 0, 0, 0, 0, 10]),
            ..Connection::default()
        };
        let found = arguments(&asked).into_iter().map(|one| format!("{} {} {}", one.option, one.capability, one.value));
        let expected = [
            r#"--publish portMappings [{"hostPort":53,"containerPort":5353,"protocol":"udp","hostIP":"127.0.0.1"}]"#,
            r#"--mac mac "02:00:00:00:00:0a""#,
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
        let rate = bandwidth(Rate::parse("10mbit").unwrap()).to_string();
        assert!(rate.starts_with(r#"{"ingressRate":10000000,"ingressBurst":32768,"#), "{rate}");
    }
}
