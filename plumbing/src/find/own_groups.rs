//! The cgroups that a container has for itself, which a change may affect without affecting others. `cgroups(7)`.
//!
//! The surprise: the first process of a container is often in a group inside the container's group (an init makes such
//! groups), and that of a hold is in none of them. A group in which any other process runs is not the container's own.

use std::path::Path;

use nix::errno::Errno;

use crate::Fault;
use crate::cgroup::group::Group;
use crate::cgroup::hierarchy::{Hierarchies, Hierarchy, memberships};
use crate::cgroup::mark::Fate;
use crate::process::namespace::Kind;
use crate::process::target::{Target, own_namespace_inode};

use super::{Container, Runtime};

impl Container {
    /// Returns the hierarchies in which the container has a group for itself, with that group as the own one; `None` if
    /// it has none.
    pub fn own_groups(&self) -> Result<Option<Hierarchies>, Fault> {
        let found = match (self.runtime, &self.group) {
            (Runtime::Hold, _) => {
                let Some(command) = self.command() else { return Ok(None) };
                let around = self.target.read("cgroup")?;
                let is_around = |hierarchy: &Hierarchy| {
                    memberships(around.as_bytes())
                        .any(|(its, path)| its == hierarchy.controllers && path == hierarchy.own_path())
                };
                let own = |hierarchy: &Hierarchy| {
                    let path = hierarchy.own_path();
                    let is_its = || is_made_for(hierarchy, path, &self.target) || is_own(hierarchy, path, &self.target);
                    (!is_around(hierarchy) && is_its()).then(|| path.to_owned())
                };
                Hierarchies::of_process(&command)?.with_groups(own)
            }
            (_, Some((_, group))) => {
                let own = |hierarchy: &Hierarchy| hierarchy.own_path().starts_with(group).then(|| group.clone());
                Hierarchies::of_process(&self.target)?.with_groups(own)
            }
            (_, None) => Hierarchies::of_process(&self.target)?.with_groups(|hierarchy| {
                let path = hierarchy.own_path();
                is_own(hierarchy, path, &self.target).then(|| path.to_owned())
            }),
        };
        Ok(Some(found).filter(|found| found.iter().any(Hierarchy::is_mounted)))
    }
}

/// Returns whether a guardian of our own user made this group for the container. Where the processes of a hold are proves
/// nothing: its owner can move its init away from a group that others are in.
fn is_made_for(hierarchy: &Hierarchy, path: &Path, container: &Target) -> bool {
    let mark = hierarchy.open(path).ok().and_then(|group| group.mark());
    mark.is_some_and(|mark| mark.owner.pid() == container.pid() && mark.owner.fate() == Fate::Alive)
}

/// The most groups in a group that are looked at; with more of them, it is not known to be the container's own.
const MOST: usize = 1000;

/// Returns whether every process that we see in this group and in those in it is in the pid namespace of the container, and
/// we are not.
fn is_own(hierarchy: &Hierarchy, path: &Path, container: &Target) -> bool {
    let inode = |process: &Target| process.namespace_inode(Kind::Pid).ok().flatten();
    let Some(theirs) = inode(container).filter(|inode| own_namespace_inode(Kind::Pid) != Some(*inode)) else {
        return false;
    };
    let is_inside = |pid: &str| match pid.parse().ok().filter(|pid| *pid > 0).map(Target::of_pid) {
        Some(Ok(process)) => inode(&process) == Some(theirs),
        // It has ended meanwhile.
        Some(Err(_)) => true,
        None => false,
    };
    let members = hierarchy.open(path).and_then(|group| all_members(&group));
    path != Path::new("/") && members.is_ok_and(|pids| !pids.is_empty() && pids.iter().all(|pid| is_inside(pid)))
}

/// Returns the processes in the group and in the groups in it.
fn all_members(top: &Group) -> Result<Vec<String>, Fault> {
    let mut pids = Vec::new();
    let mut groups = vec![top.again()?];
    let mut seen = 1;
    while let Some(group) = groups.pop() {
        pids.extend(group.read("cgroup.procs")?.lines().map(str::to_owned));
        for name in group.names()? {
            seen += 1;
            if seen > MOST {
                return Err(Fault::new(format!("{} has more than {MOST} groups", top.shown().display())));
            }
            match group.child(&name) {
                // It was removed meanwhile.
                Err(fault) if fault.errno() == Some(Errno::ENOENT) => {}
                child => groups.push(child?),
            }
        }
    }
    Ok(pids)
}
