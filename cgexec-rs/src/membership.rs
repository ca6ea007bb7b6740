//! Joining a new group. `cgroups(7)`, "Delegation".
//!
//! The surprise: the kernel requires write permission for `cgroup.procs` there *and* in the nearest common ancestor of
//! the old group and the new one, and its error does not say which of the two was missing.

use plumbing::Fault;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::pipeline::record::Cgroup;

use crate::refusal::explain;

/// Moves this process into the group. `hierarchies` are those in which the group was made.
pub(crate) fn join(cgroup: &Cgroup, hierarchies: &Hierarchies) -> Result<(), Fault> {
    cgroup.join(hierarchies).map_err(|fault| why_not(cgroup, fault))
}

/// Adds the cause to `fault`, if the common ancestor is the one that refuses.
fn why_not(cgroup: &Cgroup, fault: Fault) -> Fault {
    // Ours: `hierarchies` may be those of a container's init.
    let Ok(hierarchies) = Hierarchies::discover() else { return fault };
    let Some(v2) = hierarchies.v2().filter(|_| cgroup.version == 2) else { return fault };
    let to = cgroup.path.to_path();
    let common = v2.own_path().ancestors().find(|ancestor| to.starts_with(ancestor));
    match common.and_then(|ancestor| v2.open(ancestor).ok()) {
        Some(group) => explain(fault, &group, "cgroup.procs"),
        None => fault,
    }
}
