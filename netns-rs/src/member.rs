//! The record's member `net`: which interfaces a container has got. `docs/record.md`.
//!
//! A stage adds to what earlier stages wrote, and keeps members that it does not know.

use std::net::IpAddr;

use plumbing::Fault;
use plumbing::pipeline::record::Record;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const NAME: &str = "net";
const INTERFACES: &str = "interfaces";
const NAT: &str = "nat";

/// An interface that we made.
#[derive(Debug, Serialize, Deserialize)]
pub struct Interface {
    /// Its name inside.
    pub name: String,
    /// The name of the other end, on the host.
    pub peer: String,
    /// The bridge of which that end is a port.
    pub bridge: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The default gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// The member as it was found, to be added to.
pub struct Net(Map<String, Value>);

impl Net {
    /// Reads the member; an empty one if the record has none.
    pub fn of(record: &Record) -> Result<Net, Fault> {
        Ok(Net(record.get(NAME)?.unwrap_or_default()))
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

    /// Writes the member into the record.
    pub fn write(&self, record: &mut Record) -> Result<(), Fault> {
        record.set(NAME, &self.0)
    }
}
