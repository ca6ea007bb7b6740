//! The cgroups of the process: limits, usage, and the limits of the groups above. `cgroups(7)`.
//!
//! The surprise: the init of a hold stays outside the container's group, which the record names.

use plumbing::Fault;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::cgroup::usage::Member;
use plumbing::pipeline::assembly;
use plumbing::pipeline::record::{Cgroup, Record, Usage};
use plumbing::process::target::Target;
use serde::Serialize;

/// The cgroups of a process, as a member of `isolation`.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    #[serde(flatten)]
    pub(super) usage: Usage,
    /// The smallest limits of the group and the groups above it, as far as we can see them.
    pub(super) effective: Effective,
}

/// The limits that apply; `None` if there is none.
#[derive(Debug, Default, Serialize)]
pub(super) struct Effective {
    #[serde(rename = "memory.max")]
    pub(super) memory: Option<u64>,
    #[serde(rename = "pids.max")]
    pub(super) pids: Option<u64>,
}

impl Group {
    /// Reads the cgroups of the process; for the init of a hold, those of the record.
    pub(super) fn of(record: &Record, target: &Target) -> Result<Group, Fault> {
        let recorded: Option<Cgroup> = record.member()?;
        let usage = match recorded {
            Some(recorded) if assembly::has_mark(target).unwrap_or(false) => {
                Usage::of_cgroup(&recorded, &Hierarchies::discover()?)?
            }
            _ => Usage::of_process(target)?,
        };
        let above = Effective::above(target)?;
        let limit = |name: &str| usage.cgroup.limits.get(name).and_then(|limit| limit.as_u64());
        let effective = Effective {
            memory: smallest(above.memory, limit("memory.max")),
            pids: smallest(above.pids, limit("pids.max")),
        };
        Ok(Group { usage, effective })
    }
}

impl Effective {
    fn above(target: &Target) -> Result<Effective, Fault> {
        let mut effective = Effective::default();
        for hierarchy in Hierarchies::of_process(target)?.iter().filter(|hierarchy| hierarchy.is_mounted()) {
            for path in hierarchy.own_path().ancestors() {
                // Groups above our own view cannot be opened.
                let Ok(group) = hierarchy.open(path) else { continue };
                let member = Member { controllers: hierarchy.controllers.clone(), group };
                if member.serves("memory") {
                    effective.memory = smallest(effective.memory, member.memory_limits()?.0);
                }
                if member.serves("pids") {
                    effective.pids = smallest(effective.pids, member.pids_limit()?);
                }
            }
        }
        Ok(effective)
    }
}

fn smallest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}
