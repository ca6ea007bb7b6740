//! Who is who among network namespaces: the names with their ids, the names of a process's namespace, and the processes
//! in a namespace. `ip-netns(8)`, `proc(5)`.
//!
//! Reads only. The surprise: most machines use no ids, and then one request for all of them replaces one for each name.

use std::os::fd::AsFd;

use nix::errno::Errno;
use plumbing::kernel::look;
use plumbing::process::missing_proc;
use plumbing::process::target::namespace_in_link;
use plumbing::text::Text;
use plumbing::{Fault, narrate};
use rustix::fs::readlink;
use serde::Serialize;

use crate::name::{self, Name};
use crate::netlink::Netlink;
use crate::nsid::{self, Known};

/// A name, as it is listed.
#[derive(Debug, Serialize)]
pub struct Named {
    /// The name.
    pub name: Text,
    /// The id of the namespace in ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<i32>,
    /// Whether no namespace is under the name any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// An id, as it is listed.
#[derive(Debug, Serialize)]
pub struct Numbered {
    /// The id.
    pub nsid: i32,
    /// The id of the same namespace in ours, if another namespace was asked.
    #[serde(rename = "current-nsid", skip_serializing_if = "Option::is_none")]
    pub current: Option<i32>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text>,
}

/// A process, as it is listed.
#[derive(Debug, Serialize)]
pub struct Process {
    /// Its pid.
    pub pid: i32,
}

/// Returns all names, in the order of the directory.
pub fn names() -> Result<Vec<Named>, Fault> {
    let netlink = Netlink::route()?;
    let has_ids = !nsid::known(&netlink, None, None)?.is_empty();
    let named = |name: Name| {
        let mut stale = name.is_stale();
        if let Some(refusal) = stale.then(|| name.refusal()).flatten() {
            narrate::remark(refusal);
            stale = false;
        }
        let id = if has_ids && name.identity().is_some() { nsid::of(&netlink, name.open()?.as_fd())? } else { None };
        Ok(Named { name: name.text(), id, stale })
    };
    name::all()?.into_iter().map(named).collect()
}

/// Returns the ids that our namespace uses, or another one; only one id if that is given.
pub fn ids(target: Option<i32>, id: Option<i32>) -> Result<Vec<Numbered>, Fault> {
    let netlink = Netlink::route()?;
    let known = nsid::known(&netlink, target, id)?;
    let names: Vec<Named> = if known.is_empty() { Vec::new() } else { names()? };
    let numbered = |Known { id, current }| {
        let ours = current.unwrap_or(id);
        let name = names.iter().find(|named| named.id == Some(ours)).map(|named| named.name.clone());
        Numbered { nsid: id, current, name }
    };
    Ok(known.into_iter().map(numbered).collect())
}

/// Returns all names of the network namespace of a process; of this one without a pid.
pub fn names_of(pid: Option<i32>) -> Result<Vec<Named>, Fault> {
    let path = format!("/proc/{}/ns/net", pid.map_or("self".to_owned(), |pid| pid.to_string()));
    let goal = match pid {
        Some(pid) => format!("identify the network namespace of process {pid}"),
        None => "identify our network namespace".to_owned(),
    };
    let stat = look(goal, format!("stat({path:?})"), || rustix::fs::stat(&path))?;
    let wanted = Some((stat.st_dev, stat.st_ino));
    let same = name::all()?.into_iter().filter(|name| name.identity() == wanted);
    Ok(same.map(|name| Named { name: name.text(), id: None, stale: false }).collect())
}

/// Returns the processes in the network namespace of this name; none if the name is stale.
pub fn processes(name: &Name) -> Result<Vec<Process>, Fault> {
    let goal = format!("list the processes in the network namespace {}", name.shown());
    look(&goal, format!("lstat({:?})", name.path()), || rustix::fs::lstat(name.path()))?;
    let Some((_, inode)) = name.identity() else {
        if let Some(refusal) = name.refusal() {
            return Err(refusal);
        }
        narrate::remark(format_args!("{} is stale: no network namespace is mounted on it", name.shown()));
        return Ok(Vec::new());
    };
    missing_proc::remark_hidden();
    let entries = look(&goal, "openat(AT_FDCWD, \"/proc\", O_DIRECTORY)", || std::fs::read_dir("/proc"))?;
    let (mut found, mut unreadable) = (Vec::new(), 0);
    for entry in entries {
        let entry = look(&goal, "getdents64()", || entry)?;
        let Some(pid) = entry.file_name().to_str().and_then(|text| text.parse().ok()) else { continue };
        match readlink(format!("/proc/{pid}/ns/net"), Vec::new()) {
            Ok(link) if namespace_in_link(link.as_bytes()) == Some(inode) => found.push(Process { pid }),
            Err(error) if Errno::from_raw(error.raw_os_error()) == Errno::EACCES => unreadable += 1,
            // Another namespace, or a process that has ended, or a kernel thread.
            _ => {}
        }
    }
    if unreadable > 0 {
        narrate::remark(format_args!("{unreadable} processes of other users could not be examined"));
    }
    Ok(found)
}
