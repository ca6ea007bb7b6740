//! Reading all groups below a group: what each uses, its limits, its pressure. `cgroups(7)`.
//!
//! A walk with one descriptor for each level, since a path of nested groups can be longer than the kernel accepts. On v1 a
//! group is in several hierarchies; groups of the same path are one here. The surprise: the link count of a directory
//! shows whether it has groups inside, so that most directories need not be listed.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};
use plumbing::kernel::look;
use plumbing::text::Text;
use plumbing::{Fault, narrate};
use rustix::fs::{Dir, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use serde::Serialize;

use crate::node_files;

/// The most levels of groups that are read.
const DEEPEST: usize = 200;

/// The most groups that are read.
const MOST: usize = 200_000;

/// The most bytes of paths that are kept: 200 levels of long names are 50 KB for each group.
const MOST_BYTES: usize = 64 << 20;

/// The length up to which paths are kept in any case, so that nobody hides the groups of others with long names.
const SHORT: usize = 512;

/// Returns whether a path is too much for those who keep this many bytes of paths: too deep, or too long.
pub(crate) fn is_too_much(path: &Path, kept: usize) -> bool {
    let length = path.as_os_str().len();
    length > SHORT && (kept + length > MOST_BYTES || path.components().count() > DEEPEST)
}

/// A group, with what it and the groups in it use; members that its hierarchies do not count are absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Node {
    pub(crate) group: Option<Text>,
    /// Processes, with those of the groups inside.
    pub(crate) processes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pids: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<Cpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) io: Option<Io>,
    /// The share of the last ten seconds in which a task waited, in percent; by resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) pressure: BTreeMap<&'static str, f64>,
    pub(crate) is_frozen: bool,
}

/// What is used, and the limit of the group itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Amount {
    pub(crate) current: u64,
    pub(crate) max: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Cpu {
    pub(crate) usage_usec: u64,
    /// As in `cpu.max`; null: no limit.
    pub(crate) max: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) throttled_usec: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Io {
    pub(crate) rbytes: u64,
    pub(crate) wbytes: u64,
}

impl Node {
    /// Returns the resource for which tasks wait most, and the share.
    pub(crate) fn worst(&self) -> Option<(&'static str, f64)> {
        self.pressure.iter().map(|(name, share)| (*name, *share)).max_by(|one, other| one.1.total_cmp(&other.1))
    }

    /// Returns its path for a terminal.
    pub(crate) fn shown(&self) -> String {
        self.group.as_ref().map(Text::shown).unwrap_or_default()
    }
}

/// Reads the groups at and below the own groups of `hierarchies`; each before those in it.
pub(crate) fn read(hierarchies: &Hierarchies) -> Result<Vec<Node>, Fault> {
    let mut walk = Walk { nodes: BTreeMap::new(), bytes: 0, left_out: None, is_cut: false };
    let mut fault = None;
    for hierarchy in hierarchies.iter().filter(|hierarchy| hierarchy.is_mounted()) {
        let group = match hierarchy.open(hierarchy.own_path()) {
            Ok(group) => group,
            Err(other) => {
                fault = Some(other);
                continue;
            }
        };
        let Some(dir) = group.dir() else { continue };
        let root = look("read the cgroup", format!("openat({:?})", group.shown()), || open(dir, OsStr::new(".")))?;
        walk.descend(hierarchy, &root, &mut hierarchy.own_path().to_owned(), 0);
    }
    if let Some(why) = walk.left_out {
        narrate::remark(why);
    }
    match (walk.nodes.is_empty(), fault) {
        (true, Some(fault)) => Err(fault),
        (true, None) => Err(Fault::new("cannot list the cgroups: no cgroup hierarchy is mounted here")),
        (false, _) => {
            let named = |(path, node): (PathBuf, Node)| Node { group: Some(Text::from(path.as_path())), ..node };
            Ok(walk.nodes.into_iter().map(named).collect())
        }
    }
}

struct Walk {
    /// By the components of the path, so that a group comes before those in it.
    nodes: BTreeMap<PathBuf, Node>,
    /// The bytes of these paths.
    bytes: usize,
    left_out: Option<String>,
    /// Whether a limit was reached: this is said rather than an error.
    is_cut: bool,
}

impl Walk {
    /// Reads a directory and those inside; returns the number of processes.
    fn descend(&mut self, hierarchy: &Hierarchy, dir: &OwnedFd, path: &mut PathBuf, depth: usize) -> u64 {
        let mut node = Node::default();
        match node_files::read(dir.as_fd(), hierarchy, &mut node) {
            Ok(()) => {}
            // Removed meanwhile.
            Err(Errno::NODEV | Errno::NOENT) => return 0,
            Err(errno) => self.leave_out(path, errno),
        }
        let mut processes = node.processes;
        if !self.nodes.contains_key(path) {
            self.bytes += path.as_os_str().len();
            self.nodes.insert(path.clone(), Node::default());
        }
        for name in self.inner(dir, path, depth) {
            path.push(&name);
            match open(dir.as_fd(), &name) {
                Ok(_) if self.is_full(path) => self.leave_out_inside(path.parent().unwrap_or(path)),
                Ok(inner) => processes += self.descend(hierarchy, &inner, path, depth + 1),
                Err(Errno::NOENT | Errno::NODEV) => {}
                Err(errno) => self.leave_out(path, errno),
            }
            path.pop();
        }
        node.processes = processes;
        self.nodes.entry(path.clone()).or_default().merge(node);
        processes
    }

    fn inner(&mut self, dir: &OwnedFd, path: &Path, depth: usize) -> Vec<OsString> {
        // `.`, the entry in its parent, and one for each directory inside.
        if fstat(dir).is_ok_and(|stat| stat.st_nlink == 2) {
            return Vec::new();
        }
        match directories(dir.as_fd()) {
            Ok(names) if !names.is_empty() && depth >= DEEPEST => {
                self.leave_out_inside(path);
                Vec::new()
            }
            Ok(names) => names,
            Err(Errno::NOENT | Errno::NODEV) => Vec::new(),
            Err(errno) => {
                self.leave_out(path, errno);
                Vec::new()
            }
        }
    }

    /// Returns whether there is no room for a group that is not known from another hierarchy.
    fn is_full(&self, path: &Path) -> bool {
        let length = path.as_os_str().len();
        let is_full = self.nodes.len() >= MOST || (length > SHORT && self.bytes + length > MOST_BYTES);
        is_full && !self.nodes.contains_key(path)
    }

    fn leave_out_inside(&mut self, path: &Path) {
        if std::mem::replace(&mut self.is_cut, true) {
            return;
        }
        let path = Text::from(path).shown();
        self.left_out = Some(format!(
            "groups inside {path} are left out: only {DEEPEST} levels, {MOST} groups and 64 MiB of names are read"
        ));
    }

    fn leave_out(&mut self, path: &Path, errno: Errno) {
        let path = Text::from(path).shown();
        self.left_out.get_or_insert(format!("{path}, and maybe others, cannot be read: {errno}"));
    }
}

impl Node {
    /// Adds what another hierarchy counts.
    fn merge(&mut self, other: Node) {
        self.processes = self.processes.max(other.processes);
        self.memory = self.memory.or(other.memory);
        self.pids = self.pids.or(other.pids);
        self.io = self.io.or(other.io);
        self.is_frozen |= other.is_frozen;
        self.pressure.extend(other.pressure);
        if let Some(other) = other.cpu {
            let cpu = self.cpu.get_or_insert_default();
            cpu.usage_usec = cpu.usage_usec.max(other.usage_usec);
            cpu.max = cpu.max.take().or(other.max);
            cpu.throttled_usec = cpu.throttled_usec.or(other.throttled_usec);
        }
    }
}

/// Opens a group in `dir`.
pub(crate) fn open(dir: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    openat(dir, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Returns the names of the groups in `dir`.
pub(crate) fn directories(dir: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if entry.file_type() == FileType::Directory && ![&b"."[..], b".."].contains(&name.to_bytes()) {
            names.push(OsStr::from_bytes(name.to_bytes()).to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}
