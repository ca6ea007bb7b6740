//! `cgdelete`: removes groups. `cgdelete(1)`.
//!
//! On v1 the processes of a group move to the group above it, as with libcgroup; on v2 a group with processes stays, because
//! the group above may have none.

use std::ffi::OsStr;

use nix::errno::Errno;
use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};
use plumbing::{Fault, Status, narrate};

use super::{spec, with_status};
use crate::existing::Existing;
use crate::refusal::explain;
use crate::walk::{Go, Step, present, walk};

/// A command line of cgdelete.
#[derive(Debug)]
pub(crate) struct Delete {
    pub(super) groups: Vec<Existing>,
    pub(super) recursive: bool,
}

/// How often the processes of a v1 group are moved before it is given up: they may fork meanwhile.
const ROUNDS: usize = 100;

impl Delete {
    /// Removes each group that can be removed; the status is that of the last one that cannot.
    pub(super) fn apply(&self) -> Result<Status, Fault> {
        let all = Hierarchies::discover()?;
        let mut status = Status::SUCCESS;
        for group in &self.groups {
            for (_, hierarchy) in group.hierarchies(&all)? {
                if let Err(fault) = self.remove(hierarchy, group) {
                    // libcgroup has one status for every refusal here, also for a missing group.
                    let fault =
                        if fault.errno().is_some() { fault.with_status(super::OTHER) } else { with_status(fault) };
                    status = fault.status();
                    narrate::remark(fault);
                }
            }
        }
        Ok(status)
    }

    fn remove(&self, hierarchy: &Hierarchy, existing: &Existing) -> Result<(), Fault> {
        let group = spec::open_in(hierarchy, existing)?;
        let (Some(above), Some(name)) = (group.path().parent(), existing.path().file_name()) else {
            return Err(Fault::new("cannot remove the root of a hierarchy").with_status(super::INVALID));
        };
        remove_from(&hierarchy.open(above)?, name, &group, self.recursive)
    }
}

/// Removes the group `name` of `above`, and with `recursive` the groups in it first.
fn remove_from(above: &Group, name: &OsStr, group: &Group, recursive: bool) -> Result<(), Fault> {
    if recursive {
        walk(group, None, |step| {
            // Another process may remove a group first.
            if let Step::Up(outer, inner) = step
                && let Some(group) = present(outer.child(inner))?
            {
                present(remove_from(outer, inner, &group, false))?;
            }
            Ok(Go::On)
        })?;
    }
    for round in 0..ROUNDS {
        if group.version == 1 {
            empty(group, above)?;
        }
        match above.remove(name, "as cgdelete asks") {
            Err(fault) if fault.errno() == Some(Errno::EBUSY) && group.version == 1 && round + 1 < ROUNDS => {}
            removed => return removed.map_err(|fault| explain(fault, group, ".")),
        }
    }
    Ok(())
}

/// Moves the processes of a v1 group to the group above.
fn empty(group: &Group, above: &Group) -> Result<(), Fault> {
    for pid in group.read("cgroup.procs")?.lines().filter(|pid| *pid != "0") {
        match above.write("cgroup.procs", pid, "its group is removed") {
            // It has ended meanwhile.
            Err(fault) if fault.errno() == Some(Errno::ESRCH) => {}
            moved => moved.map_err(|fault| explain(fault, above, "cgroup.procs"))?,
        }
    }
    Ok(())
}
