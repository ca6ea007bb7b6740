//! The cgroups that a container has for itself, which a change may affect without affecting others. `cgroups(7)`.
//!
//! The surprise: the first process of a container is often in a group inside the container's group (an init makes such
//! groups), and that of a hold is in none of them. A group in which any other process runs is not the container's own.

use std::path::Path;

use crate::Fault;
use crate::cgroup::hierarchy::{Hierarchies, Hierarchy, memberships};
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
                let own = |hierarchy: &Hierarchy| (!is_around(hierarchy)).then(|| hierarchy.own_path().to_owned());
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

/// Returns whether every process of this group that we see is in the pid namespace of the container, and we are not.
fn is_own(hierarchy: &Hierarchy, path: &Path, container: &Target) -> bool {
    let inode = |process: &Target| process.namespace_inode(Kind::Pid).ok().flatten();
    let Some(theirs) = inode(container).filter(|inode| own_namespace_inode(Kind::Pid) != Some(*inode)) else {
        return false;
    };
    let Ok(group) = hierarchy.open(path) else { return false };
    let Ok(pids) = group.read("cgroup.procs") else { return false };
    let is_inside = |pid: &str| match pid.parse().ok().filter(|pid| *pid > 0).map(Target::of_pid) {
        Some(Ok(process)) => inode(&process) == Some(theirs),
        // It has ended meanwhile.
        Some(Err(_)) => true,
        None => false,
    };
    path != Path::new("/") && !pids.is_empty() && pids.lines().all(is_inside)
}
