//! Where systemd is process 1, a group belongs to one of its units, and only a delegated one may be changed by others. So
//! new groups are made in the current unit if it is delegated, otherwise in a new scope. systemd's
//! `docs/CGROUP_DELEGATION.md`, `systemd.resource-control(5)`.
//!
//! The surprise: systemd gives processes to a scope only when it makes it, so this process itself moves there; before the
//! scope can have limited groups, the process moves on into a leaf.

mod connection;
mod message;
mod scope;
mod units;

use std::path::{Path, PathBuf};

use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};
use plumbing::pipeline::name::random;
use plumbing::process::namespace::Kind;
use plumbing::process::target::is_in_first_namespace;
use plumbing::{Fault, narrate};
use rustix::process::{geteuid, getpid};

use crate::limit_set::Limits;
use crate::refusal::may_not_write;
use crate::sites::{self, Manner};
use units::{Manager, Origin};

/// Where new groups are made.
#[derive(Debug)]
pub(crate) struct Ground {
    /// The hierarchies, with the groups from which a parent is looked for upwards.
    pub(crate) hierarchies: Hierarchies,
    /// The highest group of v2 that may be changed; `None`: any.
    pub(crate) top: Option<PathBuf>,
    /// Whether the processes of the own group may move into a leaf.
    pub(crate) leaf: bool,
    /// Whether these are this run's own processes only.
    pub(crate) is_alone: bool,
    /// The groups of v2 that this process has left for a scope.
    pub(crate) left: Vec<PathBuf>,
}

impl Ground {
    /// Finds it. If it is a new scope, this process has moved there.
    pub(crate) fn find(hierarchies: &Hierarchies, limits: &Limits, manner: Manner) -> Result<Ground, Fault> {
        let (hierarchies, leaf) = (hierarchies.clone(), manner.leaf);
        let plain = Ground { hierarchies, top: None, leaf, is_alone: false, left: Vec::new() };
        let is_pure = plain.hierarchies.iter().all(|hierarchy| hierarchy.version == 2);
        let Some(v2) = plain.hierarchies.v2().filter(|_| is_pure && is_booted()) else { return Ok(plain) };
        let from = v2.own_path().to_owned();
        let top = match (units::innermost(&from), units::outermost(&from)) {
            (Some(unit), _) => Some(unit).filter(|unit| is_delegated(v2, unit)),
            // A group that somebody else made.
            (None, outermost) => outermost,
        };
        let Some(top) = top else { return plain.in_scope(&from) };
        let is_alone = is_alone(v2, &from)?;
        let top = Some(top.to_owned());
        let delegated = Ground { top, leaf: leaf || is_alone, is_alone, ..plain };
        match sites::of(&delegated, limits, manner) {
            Err(fault) if !leaf && is_judgement(&fault) => Ground { top: None, leaf, ..delegated }.in_scope(&from),
            found => found.map(|_| delegated),
        }
    }

    /// Opens the groups that this process has left.
    pub(crate) fn left(&self) -> Result<Vec<Group>, Fault> {
        let v2 = self.hierarchies.v2().into_iter();
        v2.flat_map(|v2| self.left.iter().map(|path| v2.open(path))).collect()
    }

    /// Moves this process to a new scope; `from` is the group that it, or the container, is in.
    fn in_scope(self, from: &Path) -> Result<Ground, Fault> {
        let is_system = geteuid().is_root() && is_in_first_namespace(Kind::User) != Some(false);
        let manager = if is_system { Manager::System } else { Manager::User };
        let origin = Origin::of(from, manager);
        let name = format!("cgexec-rs-{}-{:016x}.scope", getpid().as_raw_nonzero(), random()?);
        scope::start(&name, &origin, manager)?;
        let path = if narrate::is_dry_run() {
            origin.path_of(&name, manager, geteuid().as_raw())
        } else {
            let now = Hierarchies::discover()?;
            let path = now.v2().map(|v2| v2.own_path().to_owned()).unwrap_or_default();
            if path.file_name().is_none_or(|last| *last != *name) {
                return Err(Fault::new(format!(
                    "cannot use the scope {name}: systemd has started it, but this process is in {}",
                    path.display()
                )));
            }
            path
        };
        let left = from.ancestors().take_while(|group| !path.starts_with(group)).map(Path::to_owned).collect();
        let hierarchies = self.hierarchies.with_groups(|_| Some(path.clone()));
        Ok(Ground { hierarchies, top: Some(path), leaf: true, is_alone: true, left })
    }
}

/// Returns whether the unit's groups are unsuitable. A call that failed shows nothing about them, and in a scope its fault
/// would be lost.
fn is_judgement(fault: &Fault) -> bool {
    fault.errno().is_none()
}

/// Returns whether systemd is process 1: `sd_booted(3)`.
fn is_booted() -> bool {
    std::fs::symlink_metadata("/run/systemd/system").is_ok_and(|folder| folder.is_dir())
}

/// Returns whether systemd has given the group of this unit away, and we may use it.
fn is_delegated(v2: &Hierarchy, unit: &Path) -> bool {
    let Ok(group) = v2.open(unit) else { return false };
    let is_noted = group.is_delegated() && !may_not_write(&group, "cgroup.procs");
    // systemd 252 writes a note that only root can read; but only a delegated unit belongs to the user of its service.
    // All units of a user's own manager do, so they show nothing.
    let owner = |group: &Group| group.dir().and_then(|dir| rustix::fs::fstat(dir).ok()).map(|status| status.st_uid);
    let above = unit.parent().and_then(|path| v2.open(path).ok());
    let is_ours = |group: &Group| owner(group) == Some(geteuid().as_raw());
    is_noted || !geteuid().is_root() && is_ours(&group) && above.is_some_and(|above| !is_ours(&above))
}

/// Returns whether this process is the only one in the group.
fn is_alone(v2: &Hierarchy, group: &Path) -> Result<bool, Fault> {
    let listed = v2.open(group)?.read("cgroup.procs")?;
    Ok(listed == getpid().as_raw_nonzero().to_string())
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;
    use plumbing::Fault;

    #[test]
    fn only_an_unsuitable_unit_leads_to_a_scope() {
        assert!(super::is_judgement(&Fault::new("cannot limit with the pids controller: none of our cgroups…")));
        assert!(!super::is_judgement(&Fault::kernel("read pids.max", "read(fd)", Errno::EIO)));
    }
}
