//! The limits and the usage of a group: read from its files, reported in cgroup v2's names for both versions.
//!
//! The kernel's `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/`. The surprises: the root group has no such
//! files at all, and v1 writes "unlimited" as the largest number of pages that fits, in bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use serde_json::{Map, Value};

use crate::cgroup::group::Group;
use crate::cgroup::hierarchy::{Hierarchies, Hierarchy};
use crate::pipeline::record::{Cgroup, Cpu, Memory, Pids, Usage};
use crate::process::target::Target;
use crate::text::Text;
use crate::{Fault, narrate};

/// A group, and the controllers that it is used for; none on v2, where one group serves for all.
#[derive(Debug)]
pub struct Member {
    /// The controllers, by name.
    pub controllers: Vec<String>,
    /// The group.
    pub group: Group,
}

/// The controllers whose limits and usage are reported.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// A group in which a process is.
struct Place<'p> {
    hierarchy: &'p Hierarchy,
    controllers: &'p [String],
    path: &'p Path,
    /// The inode that the group must have.
    inode: Option<u64>,
}

/// Returns the record's member `cgroup` for opened groups, with the limits that the kernel reports.
pub fn describe<'m>(members: impl Iterator<Item = &'m Member> + Clone) -> Result<Cgroup, Fault> {
    let mut cgroup = identify(members.clone())?;
    // A group that a dry run did not make cannot be read.
    if !narrate::is_dry_run() {
        cgroup.limits = limits(members)?;
    }
    Ok(cgroup)
}

/// Returns the same without limits.
pub fn identify<'m>(members: impl Iterator<Item = &'m Member> + Clone) -> Result<Cgroup, Fault> {
    let places =
        members.clone().map(|member| (member.group.version, member.controllers.as_slice(), member.group.path()));
    let mut cgroup = name(places)?;
    if !narrate::is_dry_run() {
        for member in members {
            let inode = member.group.inode()?;
            match member.group.version {
                2 => cgroup.inode = Some(inode),
                _ => cgroup.inodes.extend(member.controllers.iter().map(|controller| (controller.clone(), inode))),
            }
        }
    }
    Ok(cgroup)
}

/// Returns the member without limits, for groups by version, controllers and path.
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
    Ok(Cgroup { version, path, paths, inode: None, inodes: BTreeMap::new(), limits: Map::new() })
}

/// Returns the limits in force, in the same order for both versions; nothing for a resource without limit.
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
    /// Returns the usage of a process, as the kernel reports it.
    pub fn of_process(target: &Target) -> Result<Usage, Fault> {
        Usage::of_hierarchies(&Hierarchies::of_process(target)?)
    }

    /// Returns the usage of the own groups of `hierarchies`.
    pub fn of_hierarchies(hierarchies: &Hierarchies) -> Result<Usage, Fault> {
        let has_limits = |hierarchy: &&Hierarchy| hierarchy.version == 1 || v2_has_limits(hierarchies);
        let mounted = hierarchies.iter().filter(|hierarchy| hierarchy.is_mounted()).filter(has_limits);
        let place = |hierarchy| Place {
            hierarchy,
            controllers: &hierarchy.controllers,
            path: hierarchy.own_path(),
            inode: None,
        };
        let mut usage = Usage::of_places(&mounted.map(place).collect::<Vec<_>>(), hierarchies)?;
        for controller in CONTROLLERS {
            if let Err(fault) = hierarchies.of(controller) {
                usage.unreadable.insert(controller.to_owned(), fault.to_string());
            }
        }
        Ok(usage)
    }

    /// Returns the usage of the groups in a record.
    pub fn of_cgroup(cgroup: &Cgroup, hierarchies: &Hierarchies) -> Result<Usage, Fault> {
        let controllers: Vec<_> = cgroup.paths.keys().cloned().collect();
        let v2 = hierarchies.v2().filter(|_| cgroup.version == 2);
        let (path, inode) = (Path::new(&cgroup.path.0), cgroup.inode);
        let v2 = v2.map(|hierarchy| Place { hierarchy, controllers: &[], path, inode });
        let v1 = controllers.iter().zip(cgroup.paths.values()).filter_map(|(controller, path)| {
            let hierarchy = hierarchies.v1(controller)?;
            let inode = cgroup.inodes.get(controller).copied();
            Some(Place { hierarchy, controllers: std::slice::from_ref(controller), path: Path::new(&path.0), inode })
        });
        let mut usage = Usage::of_places(&v2.into_iter().chain(v1).collect::<Vec<_>>(), hierarchies)?;
        (usage.cgroup.inode, usage.cgroup.inodes) = (cgroup.inode, cgroup.inodes.clone());
        Ok(usage)
    }

    fn of_places(places: &[Place<'_>], hierarchies: &Hierarchies) -> Result<Usage, Fault> {
        let named = places.iter().map(|place| (place.hierarchy.version, place.controllers, place.path));
        let mut usage =
            Usage { cgroup: name(named)?, memory: None, pids: None, cpu: None, unreadable: BTreeMap::new() };
        let mut members = Vec::new();
        for place in places {
            match place.hierarchy.open(place.path).and_then(|group| group.known(place.inode)) {
                Ok(group) => members.push(Member { controllers: place.controllers.to_vec(), group }),
                // A group that cannot be seen from here must not prevent the report on the others.
                Err(fault) => {
                    let is_of = |controller: &&&str| match place.hierarchy.version {
                        2 => hierarchies.v1(controller).is_none(),
                        _ => place.controllers.iter().any(|name| name == **controller),
                    };
                    let reason = fault.to_string();
                    let unread = CONTROLLERS.iter().filter(is_of).map(|name| ((*name).to_owned(), reason.clone()));
                    usage.unreadable.extend(unread);
                    narrate::remark(fault);
                }
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

/// Returns whether v2 has a controller with limits: on a hybrid machine its groups usually report nothing.
fn v2_has_limits(hierarchies: &Hierarchies) -> bool {
    ["memory", "pids", "cpu"].iter().any(|controller| hierarchies.v1(controller).is_none())
}

impl Member {
    /// Returns whether the group is used for this controller.
    pub fn serves(&self, controller: &str) -> bool {
        self.group.version == 2 || self.controllers.iter().any(|name| name == controller)
    }

    /// Returns the limits of memory and of swap.
    pub fn memory_limits(&self) -> Result<(Option<u64>, Option<u64>), Fault> {
        if self.group.version == 2 {
            return Ok((number(&self.group, "memory.max")?, number(&self.group, "memory.swap.max")?));
        }
        let max = number(&self.group, "memory.limit_in_bytes")?;
        let sum = number(&self.group, "memory.memsw.limit_in_bytes")?;
        Ok((max, max.zip(sum).map(|(max, sum)| sum.saturating_sub(max))))
    }

    /// Returns quota and period, as in v2's `cpu.max`.
    pub fn cpu_limit(&self) -> Result<Option<String>, Fault> {
        if self.group.version == 2 {
            return Ok(text(&self.group, "cpu.max")?.filter(|limit| !limit.starts_with("max")));
        }
        let quota = number(&self.group, "cpu.cfs_quota_us")?;
        Ok(quota.zip(number(&self.group, "cpu.cfs_period_us")?).map(|(quota, period)| format!("{quota} {period}")))
    }

    /// Returns the limit of processes and threads.
    pub fn pids_limit(&self) -> Result<Option<u64>, Fault> {
        number(&self.group, "pids.max")
    }

    /// Returns the memory usage; `None` if this group does not report it.
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

    /// Returns the number of processes; `None` if this group does not report it.
    pub fn pids(&self) -> Result<Option<Pids>, Fault> {
        match number(&self.group, "pids.current")? {
            Some(current) if self.serves("pids") => Ok(Some(Pids { current, max: number(&self.group, "pids.max")? })),
            _ => Ok(None),
        }
    }

    /// Returns the CPU time; `None` if this group does not report it.
    pub fn cpu(&self) -> Result<Option<Cpu>, Fault> {
        let usage_usec = match self.group.version {
            2 => text(&self.group, "cpu.stat")?.and_then(|stat| field(&stat, "usage_usec")),
            _ => number(&self.group, "cpuacct.usage")?.map(|nanoseconds| nanoseconds / 1000),
        };
        Ok(usage_usec.map(|usage_usec| Cpu { usage_usec }))
    }
}

/// Returns a file's text; `None` if the group has no such file: another kernel, a controller that is not enabled, the
/// root.
pub fn text(group: &Group, file: &str) -> Result<Option<String>, Fault> {
    match group.read(file) {
        Ok(text) => Ok(Some(text)),
        Err(fault) if matches!(fault.errno(), Some(Errno::ENOENT | Errno::EOPNOTSUPP)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Returns a file's number; `None` also for "no limit".
pub fn number(group: &Group, file: &str) -> Result<Option<u64>, Fault> {
    Ok(text(group, file)?.as_deref().and_then(amount))
}

/// Parses an amount; `max`, -1 and v1's largest number of pages mean: no limit. No page is larger than 64 KiB, and no
/// memory near 8 EiB.
fn amount(text: &str) -> Option<u64> {
    text.parse().ok().filter(|amount| *amount < i64::MAX as u64 - 0xffff)
}

/// Returns the number after a key, in a file with one key on each line.
pub fn field(stat: &str, key: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_written_in_many_ways() {
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
