//! What a group may use, and what it uses: read from its files, told in cgroup v2's names whatever the version.
//!
//! The kernel's `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/`. The surprises: the root group has no such
//! files at all, and v1 writes "unlimited" as the largest number of pages that fits, in bytes.

use std::collections::BTreeMap;
use std::path::Path;

use nix::errno::Errno;
use plumbing::group::Group;
use plumbing::hierarchy::Cgroup;
use plumbing::text::Text;
use plumbing::units::Limit;
use plumbing::{Fault, narrate};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::limits::Limits;

/// A group, and the controllers that are asked of it; none on v2: there it is one group for all.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) controllers: Vec<String>,
    pub(crate) group: Group,
}

/// Bytes of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    pub(crate) current: u64,
    /// `None`: no limit.
    pub(crate) max: Option<u64>,
    /// Since the group was made; absent before Linux 5.19 on v2.
    pub(crate) peak: Option<u64>,
}

/// Processes and threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Pids {
    pub(crate) current: u64,
    /// `None`: no limit.
    pub(crate) max: Option<u64>,
}

/// CPU time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Cpu {
    pub(crate) usage_usec: u64,
}

/// The record's member `cgroup` for groups at hand, with the limits that the kernel says they have.
pub(crate) fn describe<'m>(members: impl Iterator<Item = &'m Member> + Clone) -> Result<Cgroup, Fault> {
    let places =
        members.clone().map(|member| (member.group.version, member.controllers.as_slice(), member.group.path()));
    let mut cgroup = name(places)?;
    // What a dry run did not make cannot be read.
    if !narrate::is_dry_run() {
        cgroup.limits = limits(members)?;
    }
    Ok(cgroup)
}

/// The member without limits, for groups by version, controllers and path.
pub(crate) fn name<'p>(places: impl Iterator<Item = (u8, &'p [String], &'p Path)>) -> Result<Cgroup, Fault> {
    let (mut v2, mut paths) = (None, BTreeMap::new());
    for (version, controllers, path) in places {
        match version {
            2 => v2 = Some(Text::from(path)),
            _ => paths.extend(controllers.iter().map(|controller| (controller.clone(), Text::from(path)))),
        }
    }
    let version = if v2.is_some() { 2 } else { 1 };
    let path = v2.or_else(|| paths.get("memory").or(paths.values().next()).cloned());
    let path = path.ok_or_else(|| Fault::new("cannot describe the cgroup: no hierarchy is mounted here"))?;
    Ok(Cgroup { version, path, paths, limits: Map::new() })
}

/// The limits that hold, in one order whatever the version; none where there is no limit.
pub(crate) fn limits<'m>(members: impl Iterator<Item = &'m Member> + Clone) -> Result<Map<String, Value>, Fault> {
    let mut limits = Map::new();
    let of = |controller: &str| members.clone().find(|member| member.serves(controller));
    if let Some(member) = of("memory") {
        let (max, swap) = member.memory_limits()?;
        limits.extend(max.map(|max| ("memory.max".to_owned(), max.into())));
        limits.extend(swap.map(|max| ("memory.swap.max".to_owned(), max.into())));
    }
    if let Some(member) = of("pids") {
        limits.extend(number(&member.group, "pids.max")?.map(|max| ("pids.max".to_owned(), max.into())));
    }
    if let Some(member) = of("cpu") {
        limits.extend(member.cpu_limit()?.map(|max| ("cpu.max".to_owned(), max.into())));
    }
    Ok(limits)
}

impl Member {
    fn serves(&self, controller: &str) -> bool {
        self.group.version == 2 || self.controllers.iter().any(|name| name == controller)
    }

    /// The same as they would be asked for.
    pub(crate) fn limits(&self) -> Result<Limits, Fault> {
        let (memory, swap) = self.memory_limits()?;
        let cpus = self.cpu_limit()?.and_then(|limit| {
            let (quota, period) = limit.split_once(' ')?;
            quota.parse::<u64>().ok()?.checked_mul(1000)?.checked_div(period.parse().ok()?)
        });
        Ok(Limits {
            memory: memory.map(Limit::Amount),
            swap: swap.map(Limit::Amount),
            pids: number(&self.group, "pids.max")?.map(Limit::Amount),
            cpus: cpus.map(|thousandths| thousandths.max(1)),
        })
    }

    /// Of memory, and of swap.
    fn memory_limits(&self) -> Result<(Option<u64>, Option<u64>), Fault> {
        if self.group.version == 2 {
            return Ok((number(&self.group, "memory.max")?, number(&self.group, "memory.swap.max")?));
        }
        let max = number(&self.group, "memory.limit_in_bytes")?;
        let sum = number(&self.group, "memory.memsw.limit_in_bytes")?;
        Ok((max, max.zip(sum).map(|(max, sum)| sum.saturating_sub(max))))
    }

    /// Quota and period, as in v2's `cpu.max`.
    fn cpu_limit(&self) -> Result<Option<String>, Fault> {
        if self.group.version == 2 {
            return Ok(text(&self.group, "cpu.max")?.filter(|limit| !limit.starts_with("max")));
        }
        let quota = number(&self.group, "cpu.cfs_quota_us")?;
        Ok(quota.zip(number(&self.group, "cpu.cfs_period_us")?).map(|(quota, period)| format!("{quota} {period}")))
    }

    /// `None` where this group does not tell.
    pub(crate) fn memory(&self) -> Result<Option<Memory>, Fault> {
        let (current, peak) = match self.group.version {
            2 => ("memory.current", "memory.peak"),
            _ => ("memory.usage_in_bytes", "memory.max_usage_in_bytes"),
        };
        match number(&self.group, current)? {
            Some(current) if self.serves("memory") => {
                Ok(Some(Memory { current, max: self.memory_limits()?.0, peak: number(&self.group, peak)? }))
            }
            _ => Ok(None),
        }
    }

    /// `None` where this group does not tell.
    pub(crate) fn pids(&self) -> Result<Option<Pids>, Fault> {
        match number(&self.group, "pids.current")? {
            Some(current) if self.serves("pids") => Ok(Some(Pids { current, max: number(&self.group, "pids.max")? })),
            _ => Ok(None),
        }
    }

    /// `None` where this group does not tell.
    pub(crate) fn cpu(&self) -> Result<Option<Cpu>, Fault> {
        let usage_usec = match self.group.version {
            2 => text(&self.group, "cpu.stat")?.and_then(|stat| field(&stat, "usage_usec")),
            _ => number(&self.group, "cpuacct.usage")?.map(|nanoseconds| nanoseconds / 1000),
        };
        Ok(usage_usec.map(|usage_usec| Cpu { usage_usec }))
    }
}

/// A file's text; `None` where the group has no such file: another kernel, a controller not handed down, the root.
fn text(group: &Group, file: &str) -> Result<Option<String>, Fault> {
    match group.read(file) {
        Ok(text) => Ok(Some(text)),
        Err(fault) if matches!(fault.errno(), Some(Errno::ENOENT | Errno::EOPNOTSUPP)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// A file's number; `None` also for "no limit".
fn number(group: &Group, file: &str) -> Result<Option<u64>, Fault> {
    Ok(text(group, file)?.as_deref().and_then(amount))
}

/// `max`, -1 and v1's largest number of pages mean: no limit. No page is larger than 64 KiB, no memory near 8 EiB.
fn amount(text: &str) -> Option<u64> {
    text.parse().ok().filter(|amount| *amount < i64::MAX as u64 - 0xffff)
}

fn field(stat: &str, key: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_has_many_names() {
        for text in ["max", "-1", "9223372036854771712", "9223372036854710272", "9223372036854775807"] {
            assert_eq!(amount(text), None, "{text}");
        }
        assert_eq!(amount("268435456"), Some(268435456));
        assert_eq!(amount("0"), Some(0));
    }

    #[test]
    fn a_stat_line_is_found_by_its_whole_key() {
        let stat = "usage_usec_total 1\nusage_usec 254387\nuser_usec 200000";
        assert_eq!(field(stat, "usage_usec"), Some(254387));
        assert_eq!(field(stat, "nr_periods"), None);
    }
}
