//! What a group may use, and what it uses: read from its files, told in cgroup v2's names whatever the version.
//!
//! The kernel's `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/`. The surprises: the root group has no such
//! files at all, and v1 writes "unlimited" as the largest number of pages that fits, in bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::group::Group;
use crate::hierarchy::{Cgroup, Hierarchies, Hierarchy};
use crate::target::Target;
use crate::text::Text;
use crate::{Fault, narrate};

/// A group, and the controllers that are asked of it; none on v2: there it is one group for all.
#[derive(Debug)]
pub struct Member {
    /// By name.
    pub controllers: Vec<String>,
    /// The group.
    pub group: Group,
}

/// Bytes of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Now.
    pub current: u64,
    /// `None`: no limit.
    pub max: Option<u64>,
    /// Since the group was made; absent before Linux 5.19 on v2.
    pub peak: Option<u64>,
}

/// Processes and threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pids {
    /// Now.
    pub current: u64,
    /// `None`: no limit.
    pub max: Option<u64>,
}

/// CPU time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// In microseconds, since the group was made.
    pub usage_usec: u64,
}

/// The member `cgroup` with what the group uses.
#[derive(Debug, Serialize)]
pub struct Usage {
    /// The groups, and their limits.
    #[serde(flatten)]
    pub cgroup: Cgroup,
    /// Where the memory controller tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Where the pids controller tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<Pids>,
    /// Where the cpu controller tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
}

/// A group that a process is in.
struct Place<'p> {
    hierarchy: &'p Hierarchy,
    controllers: &'p [String],
    path: &'p Path,
}

/// The record's member `cgroup` for groups at hand, with the limits that the kernel says they have.
pub fn describe<'m>(members: impl Iterator<Item = &'m Member> + Clone) -> Result<Cgroup, Fault> {
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
pub fn name<'p>(places: impl Iterator<Item = (u8, &'p [String], &'p Path)>) -> Result<Cgroup, Fault> {
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
pub fn limits<'m>(members: impl Iterator<Item = &'m Member> + Clone) -> Result<Map<String, Value>, Fault> {
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

impl Usage {
    /// Of a process, by what the kernel says.
    pub fn of_process(target: &Target) -> Result<Usage, Fault> {
        let hierarchies = Hierarchies::of_process(target)?;
        let told = |hierarchy: &&Hierarchy| hierarchy.version == 1 || is_needed(&hierarchies);
        let mounted = hierarchies.iter().filter(|hierarchy| hierarchy.is_mounted()).filter(told);
        let place = |hierarchy| Place { hierarchy, controllers: &hierarchy.controllers, path: hierarchy.own_path() };
        Usage::of_places(&mounted.map(place).collect::<Vec<_>>())
    }

    /// Of groups that a record tells.
    pub fn of_cgroup(cgroup: &Cgroup, hierarchies: &Hierarchies) -> Result<Usage, Fault> {
        let controllers: Vec<_> = cgroup.paths.keys().cloned().collect();
        let v2 = hierarchies.v2().filter(|_| cgroup.version == 2);
        let v2 = v2.map(|hierarchy| Place { hierarchy, controllers: &[], path: Path::new(&cgroup.path.0) });
        let v1 = controllers.iter().zip(cgroup.paths.values()).filter_map(|(controller, path)| {
            let hierarchy = hierarchies.v1(controller)?;
            Some(Place { hierarchy, controllers: std::slice::from_ref(controller), path: Path::new(&path.0) })
        });
        Usage::of_places(&v2.into_iter().chain(v1).collect::<Vec<_>>())
    }

    fn of_places(places: &[Place<'_>]) -> Result<Usage, Fault> {
        let named = places.iter().map(|place| (place.hierarchy.version, place.controllers, place.path));
        let mut usage = Usage { cgroup: name(named)?, memory: None, pids: None, cpu: None };
        let mut members = Vec::new();
        for place in places {
            match place.hierarchy.open(place.path) {
                Ok(group) => members.push(Member { controllers: place.controllers.to_vec(), group }),
                // A group that cannot be seen from here is no reason to tell nothing of the others.
                Err(fault) => narrate::remark(fault),
            }
        }
        usage.cgroup.limits = limits(members.iter())?;
        for member in &members {
            usage.memory = member.memory()?.or(usage.memory);
            usage.pids = member.pids()?.or(usage.pids);
            // v1 counts CPU time in a hierarchy of its own, where the group may be another one.
            if member.group.path() == usage.cpu_path() {
                usage.cpu = member.cpu()?.or(usage.cpu);
            }
        }
        Ok(usage)
    }

    fn cpu_path(&self) -> PathBuf {
        self.cgroup.paths.get("cpu").unwrap_or(&self.cgroup.path).to_path()
    }
}

/// Whether v2 has a controller that limits: on a hybrid machine its groups mostly tell nothing.
fn is_needed(hierarchies: &Hierarchies) -> bool {
    ["memory", "pids", "cpu"].iter().any(|controller| hierarchies.v1(controller).is_none())
}

impl Member {
    /// Whether this controller is asked of it.
    pub fn serves(&self, controller: &str) -> bool {
        self.group.version == 2 || self.controllers.iter().any(|name| name == controller)
    }

    /// Of memory, and of swap.
    pub fn memory_limits(&self) -> Result<(Option<u64>, Option<u64>), Fault> {
        if self.group.version == 2 {
            return Ok((number(&self.group, "memory.max")?, number(&self.group, "memory.swap.max")?));
        }
        let max = number(&self.group, "memory.limit_in_bytes")?;
        let sum = number(&self.group, "memory.memsw.limit_in_bytes")?;
        Ok((max, max.zip(sum).map(|(max, sum)| sum.saturating_sub(max))))
    }

    /// Quota and period, as in v2's `cpu.max`.
    pub fn cpu_limit(&self) -> Result<Option<String>, Fault> {
        if self.group.version == 2 {
            return Ok(text(&self.group, "cpu.max")?.filter(|limit| !limit.starts_with("max")));
        }
        let quota = number(&self.group, "cpu.cfs_quota_us")?;
        Ok(quota.zip(number(&self.group, "cpu.cfs_period_us")?).map(|(quota, period)| format!("{quota} {period}")))
    }

    /// Processes and threads.
    pub fn pids_limit(&self) -> Result<Option<u64>, Fault> {
        number(&self.group, "pids.max")
    }

    /// `None` where this group does not tell.
    pub fn memory(&self) -> Result<Option<Memory>, Fault> {
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
    pub fn pids(&self) -> Result<Option<Pids>, Fault> {
        match number(&self.group, "pids.current")? {
            Some(current) if self.serves("pids") => Ok(Some(Pids { current, max: number(&self.group, "pids.max")? })),
            _ => Ok(None),
        }
    }

    /// `None` where this group does not tell.
    pub fn cpu(&self) -> Result<Option<Cpu>, Fault> {
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
