//! The cgroups that the command joins: those of the record, or else those of the container's init. `cgroups(7)`.
//!
//! A record is input: a user who may freeze a group, or has limits in it, must not choose it for our command.

use std::path::{Path, PathBuf};

use plumbing::Fault;
use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy, memberships};
use plumbing::kernel::look;
use plumbing::pipeline::record::{Cgroup, Record};
use plumbing::process::target::Target;
use plumbing::text::Text;
use rustix::process::geteuid;

use crate::find;

/// Groups to join, in the hierarchies of this machine.
pub(crate) struct Groups {
    hierarchies: Hierarchies,
    cgroup: Cgroup,
}

impl Groups {
    /// Moves this process into the groups.
    pub(crate) fn join(&self) -> Result<(), Fault> {
        self.cgroup.join(&self.hierarchies)
    }
}

/// Returns the groups to join for this container; `None` if we are already in them.
pub(crate) fn of(record: &Record, target: &Target) -> Result<Option<Groups>, Fault> {
    let hierarchies = Hierarchies::discover()?;
    let cgroup = match record.member::<Cgroup>()? {
        Some(cgroup) => {
            verify(&cgroup, &hierarchies, target)?;
            cgroup
        }
        None => of_init(&hierarchies, target)?,
    };
    Ok(groups(hierarchies, cgroup))
}

/// Returns the groups of a process; `None` if we are already in them.
pub(crate) fn of_target(target: &Target) -> Result<Option<Groups>, Fault> {
    let hierarchies = Hierarchies::discover()?;
    let cgroup = of_init(&hierarchies, target)?;
    Ok(groups(hierarchies, cgroup))
}

fn groups(hierarchies: Hierarchies, cgroup: Cgroup) -> Option<Groups> {
    let nothing = cgroup.version != 2 && cgroup.paths.is_empty();
    (!nothing).then_some(Groups { hierarchies, cgroup })
}

/// Refuses groups of a record that are not the container's.
fn verify(cgroup: &Cgroup, hierarchies: &Hierarchies, target: &Target) -> Result<(), Fault> {
    let v2 = (cgroup.version == 2).then(|| hierarchies.v2().map(|v2| (v2, &cgroup.path))).flatten();
    let v1 = cgroup.paths.iter().filter_map(|(controller, path)| Some((hierarchies.v1(controller)?, path)));
    let command = std::cell::OnceCell::new();
    for (hierarchy, path) in v2.into_iter().chain(v1) {
        let path = path.to_path();
        let init = group_of(target, hierarchy)?;
        if is_at_or_below(&path, init.as_deref())
            || (!is_above(&path, init.as_deref()) && belongs_to_us_or_root(hierarchy, &path)?)
        {
            continue;
        }
        let command = command.get_or_init(|| find::command_of(target)).as_ref();
        let at = command.map(|command| group_of(command, hierarchy)).transpose()?.flatten();
        // Without an inode in the record, the path leads to the group that the command is in, or to another one by now.
        let is_identified =
            hierarchy.version == 2 || hierarchy.controllers.iter().any(|it| cgroup.inodes.contains_key(it));
        if let Some(command) = command.filter(|_| !is_identified && at.as_deref() == Some(&*path)) {
            inode_with(command, hierarchy, &path)?;
        }
        if !is_at_or_below(&path, at.as_deref()) {
            return Err(Fault::new(format!(
                "cannot join the cgroup {} of the record: no process of {} is in it, and another user can change it or \
                 it is above the container's own",
                path.display(),
                record_pid(target)
            ))
            .with_remedy("take the record that cgexec-rs printed, or remove its member \"cgroup\""));
        }
    }
    Ok(())
}

fn record_pid(target: &Target) -> String {
    format!("the container of process {}", target.pid())
}

/// Returns the group of a process in a hierarchy.
fn group_of(process: &Target, hierarchy: &Hierarchy) -> Result<Option<PathBuf>, Fault> {
    let cgroup = process.read("cgroup")?;
    Ok(memberships(cgroup.as_bytes())
        .find(|(controllers, _)| *controllers == hierarchy.controllers)
        .map(|(_, path)| path))
}

/// Returns whether the path is this group, or below it unless the group is the root, which has everything below it.
fn is_at_or_below(path: &Path, group: Option<&Path>) -> bool {
    group.is_some_and(|group| path == group || (group != Path::new("/") && path.starts_with(group)))
}

fn is_above(path: &Path, group: Option<&Path>) -> bool {
    group.is_none_or(|group| path != group && group.starts_with(path))
}

/// Returns whether only we and root can change the group and those above it.
fn belongs_to_us_or_root(hierarchy: &Hierarchy, path: &Path) -> Result<bool, Fault> {
    let root = hierarchy.mount_root().unwrap_or(Path::new("/"));
    for group in path.ancestors().take_while(|group| group.starts_with(root)) {
        let group = hierarchy.open_made(group)?;
        let Some(dir) = group.dir() else { continue };
        let stat =
            look("find the owner of a cgroup", format!("fstat({:?})", group.shown()), || rustix::fs::fstat(dir))?;
        if ![0, geteuid().as_raw()].contains(&stat.st_uid) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns the groups that the init is in and we are not.
fn of_init(hierarchies: &Hierarchies, target: &Target) -> Result<Cgroup, Fault> {
    let (paths, inodes) = Default::default();
    let mut cgroup = Cgroup { version: 1, path: "/".into(), paths, inode: None, inodes, limits: Default::default() };
    for (controllers, path) in memberships(target.read("cgroup")?.as_bytes()) {
        let path = Text::from(path.as_path());
        match controllers.first() {
            None => {
                if hierarchies.v2().is_some_and(|v2| Text::from(v2.own_path()) != path) {
                    (cgroup.version, cgroup.path) = (2, path);
                }
            }
            Some(controller) => {
                let elsewhere = |own: &&Hierarchy| own.is_mounted() && Text::from(own.own_path()) != path;
                if let Some(hierarchy) = hierarchies.v1(controller).filter(elsewhere) {
                    cgroup.inodes.insert(controller.clone(), inode_with(target, hierarchy, &path.to_path())?);
                    cgroup.paths.insert(controller.clone(), path);
                }
            }
        }
    }
    Ok(cgroup)
}

/// Returns the inode of the v1 group that a process is in, or why that is not known.
fn inode_with(process: &Target, hierarchy: &Hierarchy, path: &Path) -> Result<u64, Fault> {
    hierarchy.inode_with(process, path)?.ok_or_else(|| {
        Fault::new(format!("cannot join {}: process {} is not in it any more", path.display(), process.pid()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_below_the_root_so_that_proves_nothing() {
        let below = |path: &str, group: &str| is_at_or_below(Path::new(path), Some(Path::new(group)));
        assert!(below("/", "/") && below("/a/b", "/a") && below("/a", "/a"));
        assert!(!below("/a", "/") && !below("/ab", "/a") && !below("/", "/a"));
        assert!(is_above(Path::new("/"), Some(Path::new("/a"))) && !is_above(Path::new("/a"), Some(Path::new("/a"))));
    }
}
