//! `--why`: which limits hold for a process, which group sets each, and which of them have acted so far. Changes nothing.
//! `proc_pid_cgroup(5)`.
//!
//! The surprise: the limit that holds is the smallest one of the group and of all groups above it, and none of the files
//! of the group itself shows that.

use std::collections::BTreeMap;

use plumbing::Fault;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::command_line::columns::aligned;
use plumbing::command_line::units::{bytes, percent};
use plumbing::process::target::Target;
use plumbing::text::Text;
use serde::Serialize;
use serde_json::Value;

use crate::counters::{self, Counters};
use crate::ending::Members;
use crate::levels::{self, Tally};
use crate::verdict::{self, Verdict};

/// The limits that hold for a process, and what they have done.
#[derive(Debug, Serialize)]
struct Why {
    pid: i32,
    /// By the v2 file of the limit.
    effective: BTreeMap<&'static str, Effective>,
    /// What the process's group has used since it was made.
    #[serde(flatten)]
    counters: Counters,
    /// The share of the last ten seconds in which a task of the group waited, in percent; by resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    waiting: BTreeMap<&'static str, f64>,
    verdict: Verdict,
}

/// A limit that holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Effective {
    value: Value,
    /// The group that sets it.
    group: Text,
    /// How often it has acted there, since that group was made; absent if the kernel does not count it.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u64>,
}

/// Returns the report on process `pid`, or on our own, as a table or as JSON.
pub(crate) fn text(pid: Option<i32>, json: bool) -> Result<String, Fault> {
    let target = Target::of_pid(pid.unwrap_or(std::process::id() as i32))?;
    let hierarchies = Hierarchies::of_process(&target)?;
    let members = Members::of_process(&hierarchies)?;
    let tallies = levels::tallies(&levels::above(&members, &hierarchies))?;
    let counters = Counters::of(&members)?;
    let why = Why {
        pid: target.pid(),
        effective: effective(&tallies),
        waiting: counters::waiting(&members)?,
        verdict: verdict::judge(&counters, &tallies, None),
        counters,
    };
    if json { plumbing::json::line("the limits of the process", &why) } else { Ok(why.table()) }
}

/// Returns the smallest limit of each kind, with the lowest group that has it.
fn effective(tallies: &[Tally]) -> BTreeMap<&'static str, Effective> {
    let mut effective = BTreeMap::new();
    let mut least = |file, limit: fn(&Tally) -> Option<u64>, events: fn(&Tally) -> Option<u64>| {
        let limited = tallies.iter().filter(|tally| limit(tally).is_some());
        if let Some(tally) = limited.min_by_key(|tally| limit(tally))
            && let (Some(value), Some(group)) = (limit(tally), tally.group.clone())
        {
            effective.insert(file, Effective { value: value.into(), group, events: events(tally) });
        }
    };
    least("memory.max", |tally| tally.memory_max, |tally| (tally.version == 2).then_some(tally.oom));
    least("memory.high", |tally| tally.memory_high, |tally| Some(tally.memory_high_events));
    least("pids.max", |tally| tally.pids_max, |tally| (tally.version == 2).then_some(tally.pids_events));
    let cpus = tallies.iter().filter_map(|tally| Some((tally, tally.cpu_max.clone()?)));
    if let Some((tally, limit)) = cpus.min_by_key(|(_, limit)| share(limit))
        && let Some(group) = tally.group.clone()
    {
        effective.insert("cpu.max", Effective { value: limit.into(), group, events: Some(tally.nr_throttled) });
    }
    effective
}

/// Returns the share of a CPU that `50000 100000` is, in millionths.
fn share(limit: &str) -> Option<u64> {
    let (quota, period) = limit.split_once(' ')?;
    quota.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_div(period.parse().ok()?)
}

impl Why {
    fn table(&self) -> String {
        let mut rows = vec![["LIMIT", "VALUE", "USED", "ACTED", "SET BY"].map(str::to_owned)];
        for (file, Effective { value, group, events }) in &self.effective {
            let shown = match (value.as_u64(), *file) {
                (Some(amount), "pids.max") => amount.to_string(),
                (Some(amount), _) => bytes(amount),
                (None, _) => value.as_str().and_then(percent).unwrap_or_else(|| "-".to_owned()),
            };
            let events = events.map_or_else(|| "-".to_owned(), |events| events.to_string());
            rows.push([(*file).to_owned(), shown, self.used(file), events, group.shown()]);
        }
        let waiting = |(resource, share): (&&str, &f64)| format!("{resource} {share}%");
        let waiting: Vec<_> = self.waiting.iter().map(waiting).collect();
        let waiting = if waiting.is_empty() {
            String::new()
        } else {
            format!("waiting in the last 10 s: {}\n", waiting.join(", "))
        };
        let limits = if rows.len() == 1 { "no limit holds for this process\n".to_owned() } else { aligned(&rows) };
        format!("{limits}{waiting}so far: {}\n", self.verdict.text)
    }

    fn used(&self, file: &str) -> String {
        let used = match file {
            "memory.max" | "memory.high" => {
                self.counters.memory.as_ref().and_then(|memory| memory.peak).map(|peak| format!("peak {}", bytes(peak)))
            }
            "pids.max" => self.counters.pids.as_ref().map(|pids| format!("peak {}", pids.peak)),
            _ => self.counters.cpu.as_ref().map(|cpu| format!("{} ms", cpu.usage_usec / 1000)),
        };
        used.unwrap_or_else(|| "-".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(path: &str) -> Tally {
        Tally { group: Some(Text::from(std::path::Path::new(path))), version: 2, ..Tally::default() }
    }

    #[test]
    fn the_smallest_limit_holds_wherever_it_is_set() {
        let own = Tally { memory_max: Some(64), cpu_max: Some("100000 100000".into()), ..tally("/a/b") };
        let outer = Tally {
            memory_max: Some(32),
            pids_max: Some(9),
            oom: 2,
            cpu_max: Some("20000 40000".into()),
            ..tally("/a")
        };
        let found = effective(&[own, outer, tally("/")]);
        let by = |file: &str| (found[file].value.clone(), found[file].group.shown(), found[file].events);
        assert_eq!(by("memory.max"), (32.into(), "/a".to_owned(), Some(2)));
        assert_eq!(by("pids.max"), (9.into(), "/a".to_owned(), Some(0)));
        assert_eq!(by("cpu.max"), ("20000 40000".into(), "/a".to_owned(), Some(0)));
        assert!(!found.contains_key("memory.high"));
    }
}
