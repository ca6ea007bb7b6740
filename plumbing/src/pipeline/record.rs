//! The container record: one JSON object on one line that identifies a container; docs/record.md describes every
//! member. This folder defines them: what identifies the container here, and each other member in a file of its name.
//!
//! A stage reads it, adds what it did under its own key, and passes on everything else unchanged: members that it
//! does not know, their order, and the precision of their numbers.

mod cgroup;
mod container;
mod dns;
#[cfg(test)]
mod documented;
mod net;
mod process;
mod root;

pub use cgroup::{Cgroup, Cpu, Memory, Pids, Usage};
pub use container::{Container, Facts};
pub use dns::{CHOSEN, Dns, Domain, MOST_SERVERS};
pub use net::{Interface, Net, Network};
pub use process::{FiveSets, IoPriority, Landlock, LandlockRule, Process, ResourceLimit, Scheduler};
pub use root::{Mount, Root};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::process::namespace::Kind;
use crate::text::Text;
use crate::{Fault, json};

/// The version that this code reads and writes: the value of the member `record`.
pub const VERSION: u64 = 1;

/// The longest line that is read, in bytes.
pub const LONGEST: usize = 1 << 20;

/// The identity of the container's first process, precise enough to exclude any other process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Init {
    /// Its pid, in the pid namespace of the stages.
    pub pid: i32,
    /// When it started, in clock ticks since boot: field 22 of /proc/PID/stat; `proc_pid_stat(5)`.
    pub start_time: u64,
    /// /proc/sys/kernel/random/boot_id of the boot in which it was started.
    pub boot_id: String,
    /// The inode of its pidfd, unique in this boot; absent before Linux 6.9 (pidfs).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pidfd_inode: Option<u64>,
}

/// One namespace of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// The inode in /proc/PID/ns.
    pub inode: u64,
    /// Whether it is the container's own: made for it, not shared with the process that made it.
    pub private: bool,
}

/// A member that a stage adds, and its key.
pub trait Member {
    /// The key in the record.
    const KEY: &'static str;
}

/// A container record. Known members are typed on access; all others are kept unchanged.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    members: Map<String, Value>,
    init: Init,
}

impl Record {
    /// Makes a record of the container whose first process is `init`.
    pub fn new(name: Option<&Text>, init: Init) -> Result<Record, Fault> {
        let mut record = Record { members: Map::new(), init: init.clone() };
        record.members.insert("record".to_owned(), VERSION.into());
        if let Some(name) = name {
            record.set("name", name)?;
        }
        record.set("init", &init)?;
        Ok(record)
    }

    /// Parses one line. Errors say what is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Record, Fault> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Err(unreadable("the line is empty"));
        }
        let value: Value = json::read(line).map_err(|error| match error.classify() {
            serde_json::error::Category::Eof => unreadable(format!("it is truncated: {error}")),
            serde_json::error::Category::Data => unreadable(error),
            _ => unreadable(format!("it is not JSON: {error}")),
        })?;
        let Value::Object(members) = value else { return Err(unreadable("it is not a JSON object")) };
        match members.get("record").map(Value::as_u64) {
            Some(Some(VERSION)) => {}
            Some(Some(other)) => {
                return Err(unreadable(format!("it is of version {other}; this tool reads version {VERSION}")));
            }
            Some(None) => return Err(unreadable("its member \"record\" is not a version number")),
            None => return Err(unreadable("it has no member \"record\", so it is not a container record")),
        }
        let init = member::<Init>(&members, "init")?.ok_or_else(|| unreadable("it has no member \"init\""))?;
        if init.pid <= 0 {
            return Err(unreadable(format!("its member \"init\" names no process: pid {}", init.pid)));
        }
        let record = Record { members, init };
        record.get::<Text>("name")?;
        record.namespaces()?;
        Ok(record)
    }

    /// Returns whether it has a member of this name that is not null.
    pub fn has(&self, key: &str) -> bool {
        self.members.get(key).is_some_and(|member| !member.is_null())
    }

    /// Returns the identity of the container's first process.
    pub fn init(&self) -> &Init {
        &self.init
    }

    /// Returns the container's name, or its pid if it has none; safe to print.
    pub fn shown_name(&self) -> String {
        match self.get::<Text>("name") {
            Ok(Some(name)) => name.shown(),
            _ => format!("pid {}", self.init.pid),
        }
    }

    /// Returns the member of this type; `None` if it is absent or null.
    pub fn member<T: Member + DeserializeOwned>(&self) -> Result<Option<T>, Fault> {
        self.get(T::KEY)
    }

    /// Sets the member of this type; see [`Record::set`].
    pub fn set_member<T: Member + Serialize>(&mut self, value: &T) -> Result<(), Fault> {
        self.set(T::KEY, value)
    }

    /// Returns a member by its key; `None` if it is absent or null.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Fault> {
        member(&self.members, key)
    }

    /// Sets a member. If both the old and the new value are objects, members that only the old one has are kept.
    pub fn set<T: Serialize>(&mut self, key: &str, value: &T) -> Result<(), Fault> {
        let value =
            serde_json::to_value(value).map_err(|error| Fault::new(format!("cannot write a record: {error}")))?;
        match (self.members.get_mut(key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
            (_, value) => {
                self.members.insert(key.to_owned(), value);
            }
        }
        Ok(())
    }

    /// Returns the namespaces of the container by kind, as the record describes them.
    pub fn namespaces(&self) -> Result<Vec<(Kind, Namespace)>, Fault> {
        let recorded: Map<String, Value> = self.get("namespaces")?.unwrap_or_default();
        let mut namespaces = Vec::new();
        for name in recorded.keys() {
            // A kind that a newer kernel knows and we do not is kept, not refused.
            if let Some(kind) = Kind::of_proc_name(name)
                && let Some(namespace) = member(&recorded, name)?
            {
                namespaces.push((kind, namespace));
            }
        }
        Ok(namespaces)
    }

    /// Records the namespaces of the container, in the order given.
    pub fn set_namespaces(&mut self, namespaces: &[(Kind, Namespace)]) -> Result<(), Fault> {
        let mut recorded = Map::new();
        for (kind, namespace) in namespaces {
            let value = serde_json::json!({"inode": namespace.inode, "private": namespace.private});
            recorded.insert(kind.proc_name().to_owned(), value);
        }
        self.set("namespaces", &recorded)
    }

    /// Returns the record as a line, with its newline.
    pub fn to_line(&self) -> String {
        json::escaped(Value::Object(self.members.clone()).to_string()) + "\n"
    }
}

fn member<T: DeserializeOwned>(members: &Map<String, Value>, key: &str) -> Result<Option<T>, Fault> {
    match members.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => json::of_value(value)
            .map(Some)
            .map_err(|error| unreadable(format!("its member \"{key}\" is wrong: {error}"))),
    }
}

/// Returns the fault for a line that is not a record of ours.
pub(crate) fn unreadable(what: impl std::fmt::Display) -> Fault {
    Fault::new(format!("cannot read the container record: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"later":{"z":1,"a":12345678901234567890.1234567890},"record":1,"name":"web","init":{"pid":4242,"start_time":8812345,"boot_id":"b","pidfd_inode":4711},"namespaces":{"mnt":{"inode":4026532301,"private":true},"future":7},"cgroup":{"version":2,"mine":1.10}}"#;

    #[test]
    fn unknown_members_keep_their_order_and_precision() {
        let record = Record::parse(LINE.as_bytes()).unwrap();
        assert_eq!(record.to_line(), format!("{LINE}\n"));
    }

    #[test]
    fn setting_a_member_keeps_what_others_added_to_it() {
        let mut record = Record::parse(LINE.as_bytes()).unwrap();
        record.set("cgroup", &serde_json::json!({"path": "/box"})).unwrap();
        assert!(record.to_line().contains(r#""cgroup":{"version":2,"mine":1.10,"path":"/box"}"#));
    }

    #[test]
    fn known_members_are_typed() {
        let record = Record::parse(LINE.as_bytes()).unwrap();
        assert_eq!(record.init().pidfd_inode, Some(4711));
        assert_eq!(record.namespaces().unwrap(), [(Kind::Mnt, Namespace { inode: 4026532301, private: true })]);
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let init = r#""init":{"pid":1,"start_time":1,"boot_id":"b"}"#;
        for (line, said) in [
            ("", "empty"),
            ("{\"record\":1,", "truncated"),
            ("hello", "not JSON"),
            ("[1]", "not a JSON object"),
            ("{}", "no member \"record\""),
            ("{\"record\":2}", "version 2"),
            ("{\"record\":\"1\"}", "not a version number"),
            ("{\"record\":1}", "no member \"init\""),
            ("{\"record\":1,\"init\":{\"pid\":\"x\"}}", "member \"init\""),
            ("{\"record\":1,\"init\":{\"pid\":-1,\"start_time\":1,\"boot_id\":\"b\"}}", "names no process"),
            (&format!("{{\"record\":1,{init},\"name\":7}}"), "member \"name\""),
            (&format!("{{\"record\":1,{init},\"namespaces\":{{\"mnt\":1}}}}"), "member \"mnt\""),
        ] {
            let fault = Record::parse(line.as_bytes()).unwrap_err();
            assert!(fault.to_string().contains(said), "{line}: {fault}");
        }
    }
}
