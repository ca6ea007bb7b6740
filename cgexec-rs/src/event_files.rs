//! The files of a group that count what happened to it, and what changed in them. Pure, except for reading.
//!
//! The kernel's `Documentation/admin-guide/cgroup-v2.rst`. v2 reports a change of most of these files by inotify(7); what it
//! does not report, and all of v1, is read again every second.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use plumbing::cgroup::hierarchy::Hierarchy;
use plumbing::cgroup::usage::field;
use rustix::io::Errno;

use crate::node_files::text;

/// A counter of a group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counter {
    file: &'static str,
    /// The key in the file; empty if the file has one number.
    key: &'static str,
    /// The name of the event.
    pub(crate) event: &'static str,
    /// The file of the limit that was reached.
    pub(crate) limit: Option<&'static str>,
    /// The controller in v1; empty for v2.
    v1: &'static str,
    /// Whether each value is an event of its own, not only a larger one.
    pub(crate) is_state: bool,
}

const fn counter(
    (file, key, v1): (&'static str, &'static str, &'static str),
    event: &'static str,
    limit: Option<&'static str>,
) -> Counter {
    Counter { file, key, event, limit, v1, is_state: false }
}

const fn state(key: &'static str, event: &'static str) -> Counter {
    Counter { file: "cgroup.events", key, event, limit: None, v1: "", is_state: true }
}

const MEMORY: &str = "memory.events.local";

/// All counters. The local files count for the group alone.
const COUNTERS: &[Counter] = &[
    counter((MEMORY, "oom_kill", ""), "memory.oom_kill", None),
    counter((MEMORY, "oom", ""), "memory.oom", Some("memory.max")),
    counter((MEMORY, "max", ""), "memory.max", Some("memory.max")),
    counter((MEMORY, "high", ""), "memory.high", Some("memory.high")),
    counter(("memory.swap.events", "max", ""), "memory.swap.max", Some("memory.swap.max")),
    counter(("pids.events.local", "max", ""), "pids.max", Some("pids.max")),
    // Before Linux 6.12, and on v1.
    counter(("pids.events", "max", ""), "pids.max", Some("pids.max")),
    counter(("misc.events.local", "max", ""), "misc.max", Some("misc.max")),
    counter(("cpu.stat", "nr_throttled", ""), "cpu.max", Some("cpu.max")),
    state("populated", "cgroup.populated"),
    state("frozen", "cgroup.frozen"),
    counter(("memory.oom_control", "oom_kill", "memory"), "memory.oom_kill", None),
    counter(("memory.failcnt", "", "memory"), "memory.max", Some("memory.limit_in_bytes")),
    counter(("pids.events", "max", "pids"), "pids.max", Some("pids.max")),
    counter(("cpu.stat", "nr_throttled", "cpu"), "cpu.max", Some("cpu.cfs_quota_us")),
];

/// The last values of the counters that a group has.
#[derive(Debug, Default)]
pub(crate) struct Values(BTreeMap<usize, u64>);

impl Values {
    /// Reads the counters, and returns those that have changed, with the old and the new value.
    pub(crate) fn update(
        &mut self,
        dir: BorrowedFd<'_>,
        hierarchy: &Hierarchy,
    ) -> Result<Vec<(&'static Counter, u64, u64)>, Errno> {
        let mut changed = Vec::new();
        let mut texts: BTreeMap<&str, Option<String>> = BTreeMap::new();
        for (place, counter) in COUNTERS.iter().enumerate() {
            let is_of_group = match hierarchy.version {
                2 => counter.v1.is_empty(),
                _ => !counter.v1.is_empty() && hierarchy.controllers.iter().any(|name| name == counter.v1),
            };
            // Both files count the same.
            let is_second =
                counter.file == "pids.events" && texts.get("pids.events.local").is_some_and(Option::is_some);
            if !is_of_group || is_second {
                continue;
            }
            let read = match texts.get(counter.file) {
                Some(read) => read.clone(),
                None => texts.entry(counter.file).or_insert(text(dir, counter.file)?).clone(),
            };
            let Some(now) = read.as_deref().and_then(|text| counter.value(text)) else { continue };
            let before = self.0.insert(place, now).unwrap_or(0);
            if now > before || (counter.is_state && now != before) {
                changed.push((counter, before, now));
            }
        }
        Ok(changed)
    }
}

impl Counter {
    fn value(&self, text: &str) -> Option<u64> {
        match self.key {
            "" => text.trim_end().parse().ok(),
            key => field(text, key),
        }
    }
}

/// Returns the files of v2 whose changes inotify(7) reports.
pub(crate) fn reported() -> impl Iterator<Item = &'static str> {
    let files = COUNTERS.iter().filter(|counter| counter.v1.is_empty() && counter.file != "cpu.stat");
    let files: std::collections::BTreeSet<_> = files.map(|counter| counter.file).collect();
    files.into_iter()
}
