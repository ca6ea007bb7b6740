//! `--why`: which limits hold for a process or a group, which group sets each, and which of them have acted so far. Changes nothing.
//! `proc_pid_cgroup(5)`.
//!
//! The surprise: the limit that holds is the smallest one of the group and of all groups above it, and none of the files
//! of the group itself shows that.

use std::collections::{BTreeMap, BTreeSet};

use plumbing::cgroup::counters::{self, Counters};
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::cgroup::levels;
use plumbing::cgroup::verdict::{self, End, Verdict};
use plumbing::command_line::columns::aligned;
use plumbing::command_line::units::bytes;
use plumbing::pipeline::record::{Cgroup, Member, Record};
use plumbing::process::target::Target;
use plumbing::{Fault, narrate};
use serde::Serialize;
use serde_json::json;

use crate::ending::Members;
use crate::subject::{self, Subject};
use crate::{effective, programs};

/// The limits that hold for a group, and what they have done.
#[derive(Debug, Serialize)]
struct Why {
    /// The process, if one was named by its pid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    effective: effective::All,
    /// What the group has used since it was made.
    #[serde(flatten)]
    counters: Counters,
    /// The share of the last ten seconds in which a task of the group waited, in percent; by resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    waiting: BTreeMap<&'static str, f64>,
    verdict: Verdict,
    /// Controllers whose limits cannot be read here, with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unreadable: BTreeMap<String, String>,
}

/// Returns the report on a process or a group, as a table or as JSON.
pub(crate) fn text(subject: &Subject, json: bool) -> Result<String, Fault> {
    let why = of(&subject.to_view()?, subject.pid())?;
    if json {
        return plumbing::json::line("the limits of the group", &why);
    }
    remark_unreadable(&why.unreadable);
    Ok(why.table())
}

/// Adds the limits that hold, and the verdict, to the record of a process.
pub(crate) fn add(record: &mut Record, target: &Target) -> Result<(), Fault> {
    let why = of(&subject::view_of_record(target)?, None)?;
    let mut added = json!({"effective": why.effective, "verdict": why.verdict});
    if !why.waiting.is_empty() {
        added["waiting"] = json!(why.waiting);
    }
    if !why.unreadable.is_empty() {
        added["unreadable"] = json!(why.unreadable);
    }
    record.set(Cgroup::KEY, &added)
}

fn of(hierarchies: &Hierarchies, pid: Option<i32>) -> Result<Why, Fault> {
    let members = Members::of_own(hierarchies)?;
    let levels = levels::above(members.iter(), hierarchies);
    let counters = programs::counted(&members)?;
    Ok(Why {
        pid,
        effective: effective::of(&levels)?,
        waiting: counters::waiting(members.v2())?,
        verdict: verdict::judge(&counters, &levels::tallies(&levels)?, (&End::Own, &[])),
        counters,
        // Of our own: every process is in a group of each hierarchy.
        unreadable: Hierarchies::discover()?.unreadable(),
    })
}

/// Prints each reason why limits cannot be read: the tables have no room for it.
pub(crate) fn remark_unreadable(unreadable: &BTreeMap<String, String>) {
    unreadable.values().collect::<BTreeSet<_>>().into_iter().for_each(narrate::remark);
}

/// Returns the table of the limits that hold; `used` says what is used of each.
pub(crate) fn limits(all: &effective::All, used: impl Fn(&str) -> String) -> String {
    let mut rows = vec![["LIMIT", "VALUE", "USED", "ACTED", "SET BY"].map(str::to_owned)];
    for (key, limit) in all {
        let events = limit.events.map_or_else(|| "-".to_owned(), |events| events.to_string());
        rows.push([key.clone(), effective::shown(key, &limit.value), used(key), events, limit.group.shown()]);
    }
    if rows.len() == 1 { "no limit holds for this process\n".to_owned() } else { aligned(&rows) }
}

impl Why {
    fn table(&self) -> String {
        let waiting = |(resource, share): (&&str, &f64)| format!("{resource} {share}%");
        let waiting: Vec<_> = self.waiting.iter().map(waiting).collect();
        let waiting = if waiting.is_empty() {
            String::new()
        } else {
            format!("waiting in the last 10 s: {}\n", waiting.join(", "))
        };
        if self.effective.is_empty() && !self.unreadable.is_empty() {
            let unread: Vec<_> = self.unreadable.keys().map(String::as_str).collect();
            return format!("no limit can be seen; unreadable here: {}\n{waiting}", unread.join(", "));
        }
        format!("{}{waiting}so far: {}\n", limits(&self.effective, |file| self.used(file)), self.verdict.text)
    }

    fn used(&self, file: &str) -> String {
        let used = match file {
            "memory.max" | "memory.high" => {
                self.counters.memory.as_ref().and_then(|memory| memory.peak).map(|peak| format!("peak {}", bytes(peak)))
            }
            "pids.max" => self.counters.pids.as_ref().map(|pids| format!("peak {}", pids.peak)),
            "cpu.max" => self.counters.cpu.as_ref().map(|cpu| format!("{} ms", cpu.usage_usec / 1000)),
            _ => None,
        };
        used.unwrap_or_else(|| "-".to_owned())
    }
}
