//! Which namespaces are the process's own, which are the host's, and which processes share the others. `namespaces(7)`.
//!
//! The host is what process 1 sees; if we may not inspect process 1, it is what we see.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use plumbing::Fault;
use plumbing::kernel::look;
use plumbing::process::kernel_text;
use plumbing::process::namespace::Kind;
use plumbing::process::target::Target;
use plumbing::text::Text;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::reading::{List, Reading};

/// Opens the process whose view counts as the host's.
pub(super) fn host() -> Result<Target, Fault> {
    match Target::of_pid(1) {
        Ok(first) if first.namespace_inode(Kind::Mnt).is_ok() => Ok(first),
        _ => Target::of_pid(std::process::id().cast_signed()),
    }
}

/// The namespaces by kind; kinds that the kernel does not have are left out.
#[derive(Debug)]
pub(super) struct Namespaces(Vec<(Kind, Reading<Namespace>)>);

/// A namespace of the process.
#[derive(Debug, serde::Serialize)]
pub(super) struct Namespace {
    inode: u64,
    /// Whether it is the host's.
    pub(super) host: bool,
    /// If it is not the host's: the processes in it whose mount or pid namespace differs, one for each such
    /// combination.
    pub(super) with: List<Sharer>,
}

/// A process that shares a namespace.
#[derive(Debug, serde::Serialize)]
pub(super) struct Sharer {
    pub(super) pid: i32,
    pub(super) comm: Text,
}

impl Namespaces {
    /// Reads the namespaces of a process, compares them with the host's, and finds who shares them.
    pub(super) fn of(target: &Target, host: &Target) -> Result<Namespaces, Fault> {
        let mut found = Vec::new();
        for kind in Kind::ALL {
            let namespace = |inode| -> Result<Namespace, Fault> {
                let host = Some(inode) == host.namespace_inode(kind)?;
                Ok(Namespace { inode, host, with: List::new() })
            };
            match target.namespace_inode(kind).and_then(|inode| inode.map(namespace).transpose()) {
                Ok(None) => {}
                Ok(Some(namespace)) => found.push((kind, Reading::Value(namespace))),
                Err(fault) => found.push((kind, Reading::of(Err(fault)))),
            }
        }
        let mut namespaces = Namespaces(found);
        namespaces.find_sharers()?;
        Ok(namespaces)
    }

    /// Returns the namespaces in the order of their kinds.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(Kind, Reading<Namespace>)> {
        self.0.iter()
    }

    /// Returns whether the namespace of this kind is the host's; `None` if that is not known.
    pub(super) fn is_host(&self, kind: Kind) -> Option<bool> {
        let (_, reading) = self.iter().find(|(known, _)| *known == kind)?;
        reading.ok().map(|namespace| namespace.host)
    }

    fn inode(&self, kind: Kind) -> Option<u64> {
        self.iter().find(|(known, _)| *known == kind)?.1.ok().map(|namespace| namespace.inode)
    }

    /// Searches the processes once. Those that have ended meanwhile, or that we may not inspect, are skipped.
    fn find_sharers(&mut self) -> Result<(), Fault> {
        let (Some(mnt), Some(pid)) = (self.inode(Kind::Mnt), self.inode(Kind::Pid)) else { return Ok(()) };
        let own: Vec<_> = self.iter().filter_map(|(kind, _)| self.own_inode(*kind)).collect();
        if own.is_empty() {
            return Ok(());
        }
        let mut known = BTreeSet::new();
        for entry in look("look through the processes", "readdir(\"/proc\")", || std::fs::read_dir("/proc"))?.flatten()
        {
            let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let inode = |kind: Kind| {
                rustix::fs::stat(format!("/proc/{process}/ns/{}", kind.proc_name())).ok().map(|stat| stat.st_ino)
            };
            let (Some(its_mnt), Some(its_pid)) = (inode(Kind::Mnt), inode(Kind::Pid)) else { continue };
            if (its_mnt, its_pid) == (mnt, pid) {
                continue;
            }
            for (kind, own) in &own {
                if inode(*kind) == Some(*own) && known.insert((*kind, its_mnt, its_pid)) {
                    self.add_sharer(*kind, process);
                }
            }
        }
        Ok(())
    }

    fn own_inode(&self, kind: Kind) -> Option<(Kind, u64)> {
        (self.is_host(kind) == Some(false)).then(|| self.inode(kind).map(|inode| (kind, inode))).flatten()
    }

    fn add_sharer(&mut self, kind: Kind, pid: i32) {
        let comm = kernel_text::bytes(format!("/proc/{pid}/comm")).unwrap_or_default();
        let comm = Text::from(OsStr::from_bytes(comm.strip_suffix(b"\n").unwrap_or(&comm)));
        if let Some((_, Reading::Value(namespace))) = self.0.iter_mut().find(|(known, _)| *known == kind) {
            namespace.with.push(Sharer { pid, comm }, 64);
        }
    }
}

impl Serialize for Namespaces {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (kind, reading) in &self.0 {
            map.serialize_entry(kind.proc_name(), reading)?;
        }
        map.end()
    }
}
