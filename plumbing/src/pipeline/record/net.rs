//! The record's member `net`: the interfaces of the container, as `netns-rs connect` made them or `netns-rs show` found
//! them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Dns, Member, Record};
use crate::{Fault, json};

const INTERFACES: &str = "interfaces";
const NAT: &str = "nat";
const DNS: &str = "dns";
const REACHED: &str = "reached";
const PUBLISHED: &str = "published";

/// The network in a namespace, as it was found.
#[derive(Debug, Serialize)]
pub struct Network {
    /// The interfaces.
    pub interfaces: Vec<Interface>,
    /// The gateway of the default route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

impl Member for Network {
    const KEY: &'static str = "net";
}

/// One interface. Where it was made and not found, only its name, its other end and its addresses are known.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Interface {
    /// Its name inside.
    pub name: String,
    /// The kind, such as `veth`; absent for one without a kind, such as the loopback interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The state, as `ip link` shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The maximum length of a packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The name of the other end of a veth pair, if it is on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The bridge of which the other end, or else this interface, is a port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// The interface of the host on top of which it was made, if it was not connected to a bridge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Its addresses, each with the length of its network's prefix.
    pub addresses: Vec<String>,
    /// The ports of the host that lead to it, if this interface was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<String>,
    /// The default gateway that it leads to, if this interface was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// The member as earlier stages wrote it. What they wrote is kept, also if this version does not know it.
pub struct Net(Map<String, Value>);

impl Net {
    /// Reads the member; an empty one if the record has none.
    pub fn of(record: &Record) -> Result<Net, Fault> {
        Ok(Net(record.get(Network::KEY)?.unwrap_or_default()))
    }

    /// Adds an interface, and whether it is behind NAT.
    pub fn add(&mut self, interface: &Interface, nat: bool) -> Result<(), Fault> {
        let interface =
            serde_json::to_value(interface).map_err(|error| Fault::new(format!("cannot write a record: {error}")))?;
        let nat = nat || self.0.get(NAT) == Some(&Value::Bool(true));
        match self.0.get_mut(INTERFACES) {
            Some(Value::Array(earlier)) => earlier.push(interface),
            _ => {
                self.0.insert(INTERFACES.to_owned(), vec![interface].into());
            }
        }
        self.0.insert(NAT.to_owned(), nat.into());
        Ok(())
    }

    /// Sets the name servers.
    pub fn set_dns(&mut self, dns: &Dns) -> Result<(), Fault> {
        let dns = serde_json::to_value(dns).map_err(|error| Fault::new(format!("cannot write a record: {error}")))?;
        self.0.insert(DNS.to_owned(), dns);
        Ok(())
    }

    /// Returns the name servers that a stage chose; an error if they could not be written to a resolv.conf.
    pub fn dns(&self) -> Result<Option<Dns>, Fault> {
        let Some(dns) = self.0.get(DNS) else { return Ok(None) };
        json::of_value(dns)
            .map(Some)
            .map_err(|error| Fault::new(format!("cannot use the record: its member net.dns: {error}")))
    }

    /// Adds the ports that are relayed: those inside that lead outside, and those outside that lead inside.
    pub fn add_relayed(&mut self, reached: &[String], published: &[String]) {
        for (name, ports) in [(REACHED, reached), (PUBLISHED, published)] {
            let added = ports.iter().map(|port| Value::from(port.as_str()));
            match self.0.get_mut(name) {
                _ if ports.is_empty() => {}
                Some(Value::Array(earlier)) => earlier.extend(added),
                _ => drop(self.0.insert(name.to_owned(), added.collect())),
            }
        }
    }

    /// Writes the member into the record.
    pub fn write(&self, record: &mut Record) -> Result<(), Fault> {
        record.set(Network::KEY, &self.0)
    }
}
