//! Joining a new group. `cgroups(7)`, "Delegation".
//!
//! The surprise: the kernel requires write permission for `cgroup.procs` there *and* in the nearest common ancestor of
//! the old group and the new one, and its error does not say which of the two was missing.

use std::path::Path;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::cgroup::usage::Member;
use plumbing::pipeline::record::Cgroup;

use crate::refusal::{explain, may_not_write};

/// Moves this process into a group that was made in `hierarchies`.
pub(crate) fn join(cgroup: &Cgroup, hierarchies: &Hierarchies) -> Result<(), Fault> {
    let to = (cgroup.version == 2).then(|| cgroup.path.to_path());
    cgroup.join(hierarchies).map_err(|fault| why_not(to.as_deref(), fault))
}

/// Moves this process into opened groups.
pub(crate) fn join_all(members: &[Member]) -> Result<(), Fault> {
    members.iter().try_for_each(|member| {
        let group = &member.group;
        member.group.join().map_err(|fault| match group.version {
            2 => why_not(Some(group.path()), fault),
            _ => explain(fault, group, "tasks"),
        })
    })
}

/// Adds the cause to `fault`, if the nearest common ancestor with the v2 group `to` is the one that refuses.
fn why_not(to: Option<&Path>, fault: Fault) -> Fault {
    let (Some(to), Some(Errno::EACCES)) = (to, fault.errno()) else { return fault };
    // Ours: the group may have been made in those of a container's init.
    let Ok(hierarchies) = Hierarchies::discover() else { return fault };
    let Some(v2) = hierarchies.v2() else { return fault };
    let common = v2.own_path().ancestors().find(|ancestor| to.starts_with(ancestor));
    match common.and_then(|ancestor| v2.open(ancestor).ok()) {
        Some(group) if may_not_write(&group, "cgroup.procs") => fault.with_remedy(format!(
            "moving there from {} also requires write permission for {}, in the nearest common ancestor; start from \
             a process that is in the same delegated cgroup, for example with systemd-run --user --scope -p Delegate=yes \
             SHELL, or as root",
            v2.own_path().display(),
            group.shown().join("cgroup.procs").display()
        )),
        Some(group) => explain(fault, &group, "cgroup.procs"),
        None => fault,
    }
}
