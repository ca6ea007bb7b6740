//! The cgroups of the process: limits, usage, and the limits of the groups above. `cgroups(7)`.
//!
//! The surprise: the init of a hold stays outside the container's group, which the record names.

use plumbing::Fault;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::cgroup::usage::Member;
use plumbing::pipeline::mark;
use plumbing::pipeline::record::{Cgroup, Record, Usage};
use plumbing::process::target::Target;
use serde::Serialize;

use super::reading::Reading;

/// The cgroups of a process, as a member of `isolation`.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    #[serde(flatten)]
    pub(super) usage: Usage,
    /// The smallest limits of the group and the groups above it, as far as we can see them.
    pub(super) effective: Effective,
}

/// The limits that apply; `None` if there is none.
#[derive(Debug, Serialize)]
pub(super) struct Effective {
    #[serde(rename = "memory.max")]
    pub(super) memory: Reading<Option<u64>>,
    #[serde(rename = "pids.max")]
    pub(super) pids: Reading<Option<u64>>,
}

impl Group {
    /// Reads the cgroups of the process; for the init of a hold, those of the record.
    pub(super) fn of(record: &Record, target: &Target) -> Result<Group, Fault> {
        let recorded: Option<Cgroup> = record.member()?;
        let usage = match recorded {
            Some(recorded) if mark::has_mark(target).unwrap_or(false) => {
                Usage::of_cgroup(&recorded, &Hierarchies::discover()?)?
            }
            _ => Usage::of_process(target)?,
        };
        let (memory, pids) = limits_above(target)?;
        let limit = |name: &str| usage.cgroup.limits.get(name).and_then(|limit| limit.as_u64());
        // A limit above that we can see is known even if the group itself cannot be read; its absence is not.
        let reading = |controller: &str, known: Option<u64>| match (usage.unreadable.get(controller), known) {
            (Some(reason), None) => Reading::Hidden { unreadable: reason.clone() },
            (_, known) => Reading::Value(known),
        };
        let effective = Effective {
            memory: reading("memory", smallest(memory, limit("memory.max"))),
            pids: reading("pids", smallest(pids, limit("pids.max"))),
        };
        Ok(Group { usage, effective })
    }
}

/// Returns the smallest limits of memory and processes of its groups and those above, as far as they can be opened.
fn limits_above(target: &Target) -> Result<(Option<u64>, Option<u64>), Fault> {
    let (mut memory, mut pids) = (None, None);
    for hierarchy in Hierarchies::of_process(target)?.iter().filter(|hierarchy| hierarchy.is_mounted()) {
        for path in hierarchy.own_path().ancestors() {
            // Groups above our own view cannot be opened.
            let Ok(group) = hierarchy.open(path) else { continue };
            let member = Member { controllers: hierarchy.controllers.clone(), group };
            if member.serves("memory") {
                memory = smallest(memory, member.memory_limits()?.0);
            }
            if member.serves("pids") {
                pids = smallest(pids, member.pids_limit()?);
            }
        }
    }
    Ok((memory, pids))
}

fn smallest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}
