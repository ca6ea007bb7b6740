//! `--show`: the groups of a running process, with limits and use. `proc_pid_cgroup(5)`. Changes nothing.
//!
//! The surprise: the init of a container that `--hold` made stays outside the container's group, so for those the
//! record tells the group; for every other process the kernel is asked, whatever a record claims.

use std::path::{Path, PathBuf};

use plumbing::assembly;
use plumbing::hierarchy::{Cgroup, Hierarchies, Hierarchy};
use plumbing::record::Record;
use plumbing::target::Target;
use plumbing::{Fault, narrate};
use serde::Serialize;

use crate::usage::{self, Cpu, Member, Memory, Pids};

/// The member `cgroup` with what the group uses.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    cgroup: Cgroup,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pids: Option<Pids>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Cpu>,
}

/// A group that a process is in.
struct Place<'p> {
    hierarchy: &'p Hierarchy,
    controllers: &'p [String],
    path: &'p Path,
}

/// Adds it to the record of a process.
pub(crate) fn add(record: &mut Record, target: &Target) -> Result<(), Fault> {
    let told: Option<Cgroup> = record.get("cgroup")?;
    let shown = match told {
        Some(told) if assembly::has_mark(target)? => Shown::of_cgroup(&told, &Hierarchies::discover()?)?,
        _ => Shown::of_process(target)?,
    };
    record.set("cgroup", &shown)
}

/// For a person, or as JSON: of process `pid`, or our own.
pub(crate) fn text(pid: Option<i32>, json: bool) -> Result<String, Fault> {
    let target = Target::of_pid(pid.unwrap_or(std::process::id() as i32))?;
    let shown = Shown::of_process(&target)?;
    match json {
        true => serde_json::to_string(&shown)
            .map(|line| line + "\n")
            .map_err(|error| Fault::new(format!("cannot show the cgroup: {error}"))),
        false => Ok(table(&shown)),
    }
}

impl Shown {
    fn of_process(target: &Target) -> Result<Shown, Fault> {
        let hierarchies = Hierarchies::of_process(target)?;
        let told = |hierarchy: &&Hierarchy| hierarchy.version == 1 || is_needed(&hierarchies);
        let mounted = hierarchies.iter().filter(|hierarchy| hierarchy.is_mounted()).filter(told);
        let place = |hierarchy| Place { hierarchy, controllers: &hierarchy.controllers, path: hierarchy.own_path() };
        Shown::of_places(&mounted.map(place).collect::<Vec<_>>())
    }

    fn of_cgroup(cgroup: &Cgroup, hierarchies: &Hierarchies) -> Result<Shown, Fault> {
        let controllers: Vec<_> = cgroup.paths.keys().cloned().collect();
        let v2 = hierarchies.v2().filter(|_| cgroup.version == 2);
        let v2 = v2.map(|hierarchy| Place { hierarchy, controllers: &[], path: Path::new(&cgroup.path.0) });
        let v1 = controllers.iter().zip(cgroup.paths.values()).filter_map(|(controller, path)| {
            let hierarchy = hierarchies.v1(controller)?;
            Some(Place { hierarchy, controllers: std::slice::from_ref(controller), path: Path::new(&path.0) })
        });
        Shown::of_places(&v2.into_iter().chain(v1).collect::<Vec<_>>())
    }

    fn of_places(places: &[Place<'_>]) -> Result<Shown, Fault> {
        let named = places.iter().map(|place| (place.hierarchy.version, place.controllers, place.path));
        let mut shown = Shown { cgroup: usage::name(named)?, memory: None, pids: None, cpu: None };
        let mut members = Vec::new();
        for place in places {
            match place.hierarchy.open(place.path) {
                Ok(group) => members.push(Member { controllers: place.controllers.to_vec(), group }),
                // A group that cannot be seen from here is no reason to tell nothing of the others.
                Err(fault) => narrate::remark(fault),
            }
        }
        shown.cgroup.limits = usage::limits(members.iter())?;
        for member in &members {
            shown.memory = member.memory()?.or(shown.memory);
            shown.pids = member.pids()?.or(shown.pids);
            // v1 counts CPU time in a hierarchy of its own, where the group may be another one.
            if member.group.path() == shown.cpu_path() {
                shown.cpu = member.cpu()?.or(shown.cpu);
            }
        }
        Ok(shown)
    }

    fn cpu_path(&self) -> PathBuf {
        self.cgroup.paths.get("cpu").unwrap_or(&self.cgroup.path).to_path()
    }
}

/// Whether v2 has a controller that limits: on a hybrid machine its groups mostly tell nothing.
fn is_needed(hierarchies: &Hierarchies) -> bool {
    ["memory", "pids", "cpu"].iter().any(|controller| hierarchies.v1(controller).is_none())
}

fn table(shown: &Shown) -> String {
    let none = || "-".to_owned();
    let amount = |amount: Option<u64>, unit: fn(u64) -> String| amount.map_or_else(none, unit);
    let limit = |limit: Option<u64>, unit: fn(u64) -> String| limit.map_or_else(|| "max".to_owned(), unit);
    let mut rows = vec![["CONTROLLER", "CURRENT", "MAX", "PEAK", "GROUP"].map(str::to_owned)];
    let mut row = |name: &str, [current, max, peak]: [String; 3]| {
        let path = shown.cgroup.paths.get(name).unwrap_or(&shown.cgroup.path).shown();
        rows.push([name.to_owned(), current, max, peak, path]);
    };
    if let Some(memory) = &shown.memory {
        row("memory", [bytes(memory.current), limit(memory.max, bytes), amount(memory.peak, bytes)]);
    }
    if let Some(pids) = &shown.pids {
        row("pids", [pids.current.to_string(), limit(pids.max, |count| count.to_string()), none()]);
    }
    let quota = shown.cgroup.limits.get("cpu.max").and_then(|limit| percent(limit.as_str()?));
    if shown.cpu.is_some() || quota.is_some() {
        let used = shown
            .cpu
            .as_ref()
            .map(|cpu| format!("{}.{:02}s", cpu.usage_usec / 1_000_000, cpu.usage_usec / 10_000 % 100));
        row("cpu", [used.unwrap_or_else(none), quota.unwrap_or_else(|| "max".to_owned()), none()]);
    }
    if rows.len() == 1 {
        let path = shown.cgroup.path.shown();
        rows.push(["-".to_owned(), none(), none(), none(), path]);
    }
    aligned(&rows)
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// `1.5G`: one place of fraction, powers of 1024.
fn bytes(amount: u64) -> String {
    let (mut tenths, mut units) = (u128::from(amount) * 10, "KMGT".chars());
    let mut unit = None;
    while tenths >= 10240
        && let Some(next) = units.next()
    {
        tenths /= 1024;
        unit = Some(next);
    }
    match (tenths % 10, unit) {
        (_, None) => amount.to_string(),
        (0, Some(unit)) => format!("{}{unit}", tenths / 10),
        (fraction, Some(unit)) => format!("{}.{fraction}{unit}", tenths / 10),
    }
}

/// `50000 100000` as a share of one CPU: `50%`.
fn percent(cpu_max: &str) -> Option<String> {
    let (quota, period) = cpu_max.split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    let tenths = quota.checked_mul(1000)?.checked_div(period)?;
    Some(if tenths % 10 == 0 { format!("{}%", tenths / 10) } else { format!("{}.{}%", tenths / 10, tenths % 10) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_as_people_write_them() {
        assert_eq!([0, 1023, 1024, 1536, 256 << 20, 3 << 40].map(bytes), ["0", "1023", "1K", "1.5K", "256M", "3T"]);
        assert_eq!(percent("50000 100000").as_deref(), Some("50%"));
        assert_eq!(percent("5000 1000000").as_deref(), Some("0.5%"));
        assert_eq!(percent("max 100000"), None);
    }

    #[test]
    fn columns_line_up() {
        let rows = [["A", "LONG"], ["wide", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "A     LONG\nwide  x\n");
    }
}
