//! A running container, and its record. `pid_namespaces(7)`, `proc(5)`.
//!
//! The surprise: its names were chosen by the user who made the claim, so they are escaped before they are shown.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;

use crate::Fault;
use crate::pipeline::record::{self, Init, Namespace, Record};
use crate::process::namespace::Kind;
use crate::process::target::{Target, own_namespace_inode};
use crate::text::Text;

use super::held_command::command_among;
use super::population::Population;
use super::{Runtime, hold, reference};

/// A running container.
pub struct Container {
    /// The first process of the container.
    pub target: Target,
    /// The runtime that runs it.
    pub runtime: Runtime,
    /// Its names; the first is the one to show.
    pub names: Vec<OsString>,
    /// The runtime's own id, if there is one.
    pub id: Option<String>,
    /// The image that it was made from, if its runtime records that where we can read it.
    pub image: Option<String>,
    /// The pod in Kubernetes: `NAMESPACE/POD`.
    pub pod: Option<String>,
    /// The user who made the claim, and so chose the names; 0 for the runtimes of root.
    pub author: u32,
    /// The cgroup that was made for the container, and the controllers of its hierarchy; `None` if it has none, or
    /// shares one.
    pub(super) group: Option<(Vec<String>, PathBuf)>,
    /// The inodes of its namespaces, in the order of `Kind::ALL`.
    pub(super) inodes: [Option<u64>; Kind::ALL.len()],
    /// The processes of all pid namespaces; one pass for all containers that were found together.
    pub(super) population: Rc<OnceCell<Population>>,
}

impl Container {
    /// Returns the name to show, safe on a terminal.
    pub fn shown(&self) -> String {
        self.name().shown()
    }

    /// Returns the first of its names.
    pub fn name(&self) -> Text {
        Text(self.names.first().cloned().unwrap_or_default())
    }

    /// Returns the record that identifies it.
    pub fn record(&self) -> Result<Record, Fault> {
        self.record_of(self.target.identity()?)
    }

    /// Returns a record with this identity of its first process.
    pub fn record_of(&self, identity: Init) -> Result<Record, Fault> {
        let mut record = Record::new(Some(&self.name()), identity)?;
        record.set_namespaces(&self.namespaces())?;
        record.set_member(&record::Container {
            runtime: self.runtime.name().to_owned(),
            id: self.id.clone(),
            image: self.image.clone(),
            pod: self.pod.clone(),
            user: self.author,
        })?;
        // For any other container, the kernel reports the cgroup of its first process.
        if let Some(group) = self.command().and_then(|command| hold::groups(&self.target, &command).transpose()) {
            record.set_member(&group?)?;
        }
        Ok(record)
    }

    /// Returns the command that represents a container whose first process is an init of `--hold`.
    pub fn command(&self) -> Option<Target> {
        if self.runtime != Runtime::Hold {
            return None;
        }
        if let Some(seen) = self.population.get() {
            return command_among(&self.target, seen);
        }
        let seen = Population::look().ok()?;
        command_among(&self.target, self.population.get_or_init(|| seen))
    }

    /// Returns its namespaces, and which of them are private, which means different from ours.
    pub fn namespaces(&self) -> Vec<(Kind, Namespace)> {
        let mut namespaces = Vec::new();
        for (kind, inode) in Kind::ALL.into_iter().zip(self.inodes) {
            if let Some(inode) = inode {
                namespaces.push((kind, Namespace { inode, private: Some(inode) != own_namespace_inode(kind) }));
            }
        }
        namespaces
    }

    /// Describes the container in one line that distinguishes it from others of the same name.
    pub(super) fn described(&self, own: u32) -> String {
        let id = self.id.as_deref().filter(|id| reference::is_random(id)).map(|id| format!(" {}", &id[..12]));
        let whose = if [0, own].contains(&self.author) { String::new() } else { format!(" of user {}", self.author) };
        let (name, runtime) = (self.shown(), self.runtime.name());
        format!("{name} ({runtime}{}{whose}, pid {})", id.unwrap_or_default(), self.target.pid())
    }
}
