//! `--show`: the groups of a running process, with limits and usage. `proc_pid_cgroup(5)`. Changes nothing.
//!
//! The surprise: the init of a hold stays outside the container's group, so for a hold the group is taken from the
//! record; for every other process it is taken from the kernel, whatever the record says.

use plumbing::Fault;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::cgroup::levels;
use plumbing::command_line::columns::aligned;
use plumbing::command_line::units::{bytes, percent};
use plumbing::pipeline::mark;
use plumbing::pipeline::record::{Cgroup, Member, Record, Usage};
use plumbing::process::target::Target;
use serde::Serialize;

use crate::ending::Members;
use crate::subject::Subject;
use crate::{effective, why};

/// The limits and the usage of groups.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    usage: Usage,
    effective: effective::All,
}

impl Member for Shown {
    const KEY: &'static str = Usage::KEY;
}

/// Adds groups, limits and usage to the record of a process.
pub(crate) fn add(record: &mut Record, target: &Target) -> Result<(), Fault> {
    let recorded: Option<Cgroup> = record.member()?;
    let shown = match recorded {
        Some(recorded) if mark::has_mark(target)? => {
            let hierarchies = Hierarchies::discover()?;
            let usage = Usage::of_cgroup(&recorded, &hierarchies)?;
            let members = Members::open(&recorded, &hierarchies)?;
            Shown { usage, effective: effective::of(&levels::above(members.iter(), &hierarchies))? }
        }
        _ => of(&Hierarchies::of_process(target)?)?,
    };
    record.set_member(&shown)
}

fn of(hierarchies: &Hierarchies) -> Result<Shown, Fault> {
    let usage = Usage::of_hierarchies(hierarchies)?;
    let members = Members::of_own(hierarchies)?;
    Ok(Shown { usage, effective: effective::of(&levels::above(members.iter(), hierarchies))? })
}

/// Returns the report on a process or a group, as a table or as JSON.
pub(crate) fn text(subject: &Subject, json: bool) -> Result<String, Fault> {
    let mut shown = of(&subject.to_view()?)?;
    if let Subject::Path(_) = subject {
        // A hierarchy in which nobody has made the group limits and counts nothing.
        let all = Hierarchies::discover()?;
        shown.usage.unreadable.retain(|controller, _| all.of(controller).is_err());
    }
    if !json {
        // The table has room for a question mark only.
        why::remark_unreadable(&shown.usage.unreadable);
    }
    if json {
        return plumbing::json::line("the cgroup's limits and usage", &shown);
    }
    let limits = if shown.effective.is_empty() {
        String::new()
    } else {
        format!(
            "\nlimits that hold, with those of the groups above:\n{}",
            why::limits(&shown.effective, |_| "-".to_owned())
        )
    };
    Ok(format!("{}{limits}", table(&shown.usage)))
}

fn table(shown: &Usage) -> String {
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
    for controller in shown.unreadable.keys() {
        let unknown = || "?".to_owned();
        let path = shown.cgroup.paths.get(controller).unwrap_or(&shown.cgroup.path).shown();
        rows.push([controller.clone(), unknown(), unknown(), unknown(), path]);
    }
    if rows.len() == 1 {
        let path = shown.cgroup.path.shown();
        rows.push(["-".to_owned(), none(), none(), none(), path]);
    }
    aligned(&rows)
}
