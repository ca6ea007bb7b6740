//! The groups from one group up to the root, and the events of their limits: which of them stopped a process.
//!
//! The kernel's `Documentation/admin-guide/cgroup-v2.rst`, `memory.events.local`. A process is subject to the limits of
//! all these groups, but the kernel's counters of a group include those of the groups in it; only the local ones say
//! which limit acted. The surprise: v1 counts a refused fork in the group of the process that forks, whichever group has
//! the limit; and for memory it counts nothing, so a group at its limit is the one.

use crate::Fault;
use crate::cgroup::group::Group;
use crate::cgroup::hierarchy::Hierarchies;
use crate::cgroup::usage::{Member, field, number, text};
use crate::text::Text;

/// One of the groups.
#[derive(Debug)]
pub struct Level {
    member: Member,
    is_own: bool,
}

/// The events and the limits of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The path of the group.
    pub group: Option<Text>,
    /// 1 or 2.
    pub version: u8,
    /// Whether this is the group itself, not one above it.
    pub is_own: bool,
    /// Times at which memory ran out because of this limit.
    pub oom: u64,
    /// Whether a v1 group has been at its limit of memory, or of memory and swap.
    pub is_full: bool,
    /// The limit of memory.
    pub memory_max: Option<u64>,
    /// Times at which memory was above `memory.high`.
    pub memory_high_events: u64,
    /// The limit above which memory is reclaimed.
    pub memory_high: Option<u64>,
    /// Forks that failed.
    pub pids_events: u64,
    /// The limit of processes.
    pub pids_max: Option<u64>,
    /// Periods of the CPU limit.
    pub nr_periods: u64,
    /// Periods in which the limit stopped the group.
    pub nr_throttled: u64,
    /// The time for which it did.
    pub throttled_usec: u64,
    /// The CPU limit.
    pub cpu_max: Option<String>,
    /// The time for which the group was stopped by its own limit or one above it; `None`: not counted by this kernel.
    pub stopped_usec: Option<u64>,
}

/// Opens the groups from each directory of a group up to the root, as far as they can be seen.
pub fn above<'m>(members: impl Iterator<Item = &'m Member>, hierarchies: &Hierarchies) -> Vec<Level> {
    let mut levels = Vec::new();
    for member in members {
        let hierarchy = match member.group.version {
            2 => hierarchies.v2(),
            _ => member.controllers.first().and_then(|controller| hierarchies.v1(controller)),
        };
        let Some(hierarchy) = hierarchy else { continue };
        for path in member.group.path().ancestors() {
            let Ok(group) = hierarchy.open(path) else { continue };
            let is_own = path == member.group.path();
            levels.push(Level { member: Member { controllers: member.controllers.clone(), group }, is_own });
        }
    }
    levels
}

/// Opens those of them that count the events of limits.
pub fn counted<'m>(members: impl Iterator<Item = &'m Member>, hierarchies: &Hierarchies) -> Vec<Level> {
    let counts = |member: &&Member| ["memory", "pids", "cpu"].iter().any(|controller| member.serves(controller));
    above(members.filter(counts), hierarchies)
}

/// Reads the events before a run; its own group is new, and has none.
pub fn before(levels: &[Level]) -> Result<Vec<Tally>, Fault> {
    levels.iter().map(|level| if level.is_own { Ok(Tally::default()) } else { level.events() }).collect()
}

/// Reads the events, and the limits that a verdict may name.
pub fn tallies(levels: &[Level]) -> Result<Vec<Tally>, Fault> {
    levels.iter().map(|level| level.with_limits(level.events()?)).collect()
}

impl Level {
    /// Returns the directory of the group.
    pub fn member(&self) -> &Member {
        &self.member
    }

    fn events(&self) -> Result<Tally, Fault> {
        let Member { group, .. } = &self.member;
        let mut tally = Tally {
            group: Some(Text::from(group.path())),
            version: group.version,
            is_own: self.is_own,
            ..Tally::default()
        };
        // v1 counts nothing here.
        if group.version == 2 {
            let events = text(group, "memory.events.local")?.unwrap_or_default();
            let of = |key| field(&events, key).unwrap_or(0);
            (tally.oom, tally.memory_high_events) = (of("oom"), of("high"));
        }
        if self.member.serves("pids") {
            let events =
                text(group, "pids.events.local")?.map_or_else(|| text(group, "pids.events"), |it| Ok(Some(it)));
            tally.pids_events = events?.and_then(|events| field(&events, "max")).unwrap_or(0);
        }
        if self.member.serves("cpu") {
            let stat = text(group, "cpu.stat")?.unwrap_or_default();
            let of = |key| field(&stat, key);
            tally.nr_periods = of("nr_periods").unwrap_or(0);
            tally.nr_throttled = of("nr_throttled").unwrap_or(0);
            tally.throttled_usec = of("throttled_usec").or(of("throttled_time").map(|time| time / 1000)).unwrap_or(0);
        }
        Ok(tally)
    }

    /// Adds the limits, as far as a verdict needs them.
    fn with_limits(&self, mut tally: Tally) -> Result<Tally, Fault> {
        let Member { group, .. } = &self.member;
        match group.version {
            1 if self.member.serves("memory") => {
                let (is_full, limit) = memory_v1(group, "memory.")?;
                tally.is_full = is_full || memory_v1(group, "memory.memsw.")?.0;
                tally.memory_max = limit;
            }
            2 => {
                tally.memory_max = number(group, "memory.max")?;
                tally.memory_high = number(group, "memory.high")?;
            }
            _ => {}
        }
        if self.member.serves("pids") {
            tally.pids_max = number(group, "pids.max")?;
        }
        if self.member.serves("cpu") && tally.nr_throttled > 0 {
            tally.cpu_max = self.member.cpu_limit()?;
        }
        if self.member.serves("cpu") && self.is_own {
            let local = text(group, "cpu.stat.local")?.unwrap_or_default();
            tally.stopped_usec =
                field(&local, "throttled_usec").or(field(&local, "throttled_time").map(|time| time / 1000));
        }
        Ok(tally)
    }
}

/// Returns whether the usage of a v1 group has ever been at its limit, and the limit: memory is charged in batches of this
/// size. `memory.failcnt` counts that on some kernels only.
fn memory_v1(group: &Group, prefix: &str) -> Result<(bool, Option<u64>), Fault> {
    const BATCH: u64 = 256 << 10;
    let Some(limit) = number(group, &format!("{prefix}limit_in_bytes"))? else { return Ok((false, None)) };
    let peak = number(group, &format!("{prefix}max_usage_in_bytes"))?;
    Ok((peak.is_some_and(|peak| peak.saturating_add(BATCH) >= limit), Some(limit)))
}

impl Tally {
    /// Returns what was added since `before`.
    pub fn since(&self, before: &Tally) -> Tally {
        Tally {
            oom: self.oom.saturating_sub(before.oom),
            memory_high_events: self.memory_high_events.saturating_sub(before.memory_high_events),
            pids_events: self.pids_events.saturating_sub(before.pids_events),
            nr_periods: self.nr_periods.saturating_sub(before.nr_periods),
            nr_throttled: self.nr_throttled.saturating_sub(before.nr_throttled),
            throttled_usec: self.throttled_usec.saturating_sub(before.throttled_usec),
            stopped_usec: self.stopped_usec.map(|now| now.saturating_sub(before.stopped_usec.unwrap_or(0))),
            ..self.clone()
        }
    }
}
