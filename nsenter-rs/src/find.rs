//! Finding a container by name or id, from /proc and the runtimes' own files, without their programs or sockets.
//!
//! A name is looked up among the containers that `unshare-rs --hold` keeps and those of docker; `proc(5)`.

use std::ffi::OsStr;

use plumbing::assembly::has_mark;
use plumbing::kernel::look;
use plumbing::namespace::Kind;
use plumbing::record::{Namespace, Record};
use plumbing::target::{Target, own_namespace_inode};
use plumbing::text::Text;
use plumbing::{Fault, Status, startup};
use serde::Serialize;

use crate::docker;

/// A container that was found.
pub(crate) struct Found {
    pub(crate) target: Target,
    pub(crate) name: Text,
    pub(crate) origin: Origin,
}

/// The record's member `container`: who runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Origin {
    /// `hold` or `docker`.
    pub(crate) runtime: &'static str,
    /// The runtime's own id, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
}

/// Prints the record of the one container that `name` means.
pub(crate) fn tell(name: &OsStr) -> Result<Status, Fault> {
    let mut found = all_named(name)?;
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => startup::print(&record(&only)?.to_line()),
        (None, _) => Err(Fault::new(format!(
            "cannot find a container named {:?}: no held container and no docker container has that name or id",
            name.to_string_lossy()
        ))),
        (Some(last), false) => {
            found.push(last);
            let candidates: Vec<_> = found.iter().map(Found::shown).collect();
            Err(Fault::new(format!(
                "cannot tell which container {:?} means: {}",
                name.to_string_lossy(),
                candidates.join(", ")
            )))
        }
    }
}

impl Found {
    fn shown(&self) -> String {
        let id = self.origin.id.as_deref().map_or("", |id| &id[..12.min(id.len())]);
        format!("{} ({} {id} pid {})", self.name.shown(), self.origin.runtime, self.target.pid()).replace("  ", " ")
    }
}

fn all_named(name: &OsStr) -> Result<Vec<Found>, Fault> {
    let mut found = Vec::new();
    for entry in look("look through the processes", "readdir(\"/proc\")", || std::fs::read_dir("/proc"))? {
        let entry = look("look through the processes", "readdir(\"/proc\")", || entry)?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process that ended since, or that may not be looked into, is none that we can find.
        let Ok(target) = Target::of_pid(pid) else { continue };
        if is_held_as(&target, name) {
            found.push(Found { target, name: name.into(), origin: Origin { runtime: "hold", id: None } });
        } else if let Some(container) = docker::container_of(&target)
            && container.is_called(name)
        {
            let origin = Origin { runtime: "docker", id: Some(container.id) };
            found.push(Found { target, name: container.name, origin });
        }
    }
    Ok(found)
}

/// A held init bears its container's name as its own, cut by the kernel at 15 bytes.
fn is_held_as(target: &Target, name: &OsStr) -> bool {
    let wanted = name.as_encoded_bytes();
    let comm = target.read("comm").unwrap_or_default();
    let same = comm.trim_end_matches('\n').as_bytes() == &wanted[..wanted.len().min(15)];
    same && has_mark(target).unwrap_or(false)
}

fn record(found: &Found) -> Result<Record, Fault> {
    let mut record = Record::new(Some(&found.name), found.target.init().clone())?;
    let mut namespaces = Vec::new();
    for kind in Kind::ALL {
        if let Some(inode) = found.target.namespace_inode(kind)? {
            namespaces.push((kind, Namespace { inode, private: Some(inode) != own_namespace_inode(kind) }));
        }
    }
    record.set_namespaces(&namespaces)?;
    record.set("container", &found.origin)?;
    Ok(record)
}
