//! The limits that hold for a group: of each resource, the smallest one of the group and of all groups above it, and
//! which group sets it. The kernel's `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/`.
//!
//! The surprise: no file shows it, except for CPUs and memory nodes; a group without any limit may be the most limited
//! one. A frozen group above stops a process, too.

use std::collections::BTreeMap;

use plumbing::Fault;
use plumbing::cgroup::group::Group;
use plumbing::cgroup::levels::Level;
use plumbing::cgroup::usage::{Member, field, number, text};
use plumbing::command_line::units::{bytes, percent};
use plumbing::process::kernel_text;
use plumbing::text::Text;
use serde::Serialize;
use serde_json::Value;

use crate::removal::files;
use crate::value::Numbers;

/// A limit that holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Effective {
    pub(crate) value: Value,
    /// The group that sets it.
    pub(crate) group: Text,
    /// How often it has acted there, since that group was made; absent if the kernel does not count it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) events: Option<u64>,
    /// By which limits of one kind are compared.
    #[serde(skip)]
    size: u64,
}

/// The limits that hold, by the v2 file of each; `io.max` and the like with the device and the kind of the limit.
pub(crate) type All = BTreeMap<String, Effective>;

/// Files with one amount: the name in v2, that in v1, and the controller.
const AMOUNTS: [(&str, &str, &str); 6] = [
    ("memory.max", "memory.limit_in_bytes", "memory"),
    ("memory.high", "", "memory"),
    ("memory.swap.max", "", "memory"),
    ("memory.zswap.max", "", "memory"),
    ("memory.memsw.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory"),
    ("pids.max", "pids.max", "pids"),
];

/// Files with amounts by object, as `8:0 rbps=1 wbps=max` or `sev 4`.
const TABLES: [(&str, &str); 4] = [("io.max", ""), ("rdma.max", "rdma"), ("misc.max", "misc"), ("dmem.max", "dmem")];

/// v1's limits of a disk, with their names in `io.max`.
const THROTTLE: [(&str, &str); 4] = [
    ("blkio.throttle.read_bps_device", "rbps"),
    ("blkio.throttle.write_bps_device", "wbps"),
    ("blkio.throttle.read_iops_device", "riops"),
    ("blkio.throttle.write_iops_device", "wiops"),
];

/// Returns the smallest limit of each kind, with the lowest group that has it.
pub(crate) fn of(levels: &[Level]) -> Result<All, Fault> {
    let mut all = All::new();
    for level in levels {
        for (key, found) in limits(level.member())? {
            if all.get(&key).is_none_or(|known| found.size < known.size) {
                all.insert(key, found);
            }
        }
    }
    // All CPUs and all memory nodes of the machine are no limit.
    for (key, online) in
        [("cpuset.cpus", "/sys/devices/system/cpu/online"), ("cpuset.mems", "/sys/devices/system/node/online")]
    {
        let count = kernel_text::read(online).ok().and_then(|text| count(&text));
        if let (Some(found), Some(count)) = (all.get(key), count)
            && found.size >= count
        {
            all.remove(key);
        }
    }
    Ok(all)
}

/// Returns the limits that one group sets.
fn limits(member: &Member) -> Result<Vec<(String, Effective)>, Fault> {
    let group = &member.group;
    let mut found = Found { group, limits: Vec::new() };
    for (v2, v1, controller) in AMOUNTS {
        let file = if group.version == 2 { v2 } else { v1 };
        if !file.is_empty() && member.serves(controller) {
            found.add_amount(v2, number(group, file)?, events(group, v2)?);
        }
    }
    if member.serves("cpu")
        && let Some(limit) = member.cpu_limit()?
    {
        let events = text(group, "cpu.stat")?.and_then(|stat| field(&stat, "nr_throttled"));
        found.add("cpu.max".to_owned(), share(&limit).unwrap_or(u64::MAX), limit.into(), events);
    }
    if member.serves("cpuset") {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let list = text(group, file)?.filter(|list| !list.is_empty());
            if let Some((list, count)) = list.and_then(|list| Some((list.clone(), count(&list)?))) {
                found.add(file.to_owned(), count, list.into(), None);
            }
        }
    }
    tables(member, &mut found)?;
    add_huge_pages(member, &mut found)?;
    if is_frozen(member)? {
        found.add("cgroup.freeze".to_owned(), 0, 1.into(), None);
    }
    Ok(found.limits)
}

/// The limits of one group.
struct Found<'g> {
    group: &'g Group,
    limits: Vec<(String, Effective)>,
}

impl Found<'_> {
    fn add(&mut self, key: String, size: u64, value: Value, events: Option<u64>) {
        let group = Text::from(self.group.path());
        self.limits.push((key, Effective { value, group, events, size }));
    }

    fn add_amount(&mut self, key: &str, amount: Option<u64>, events: Option<u64>) {
        if let Some(amount) = amount {
            self.add(key.to_owned(), amount, amount.into(), events);
        }
    }
}

/// Returns how often a limit has acted in its own group, which only v2 counts.
fn events(group: &Group, file: &str) -> Result<Option<u64>, Fault> {
    if group.version != 2 {
        return Ok(None);
    }
    let (files, key): (&[&str], _) = match file {
        "memory.max" => (&["memory.events.local"], "oom"),
        "memory.high" => (&["memory.events.local"], "high"),
        "memory.swap.max" => (&["memory.swap.events"], "max"),
        "pids.max" => (&["pids.events.local", "pids.events"], "max"),
        _ => return Ok(None),
    };
    for file in files {
        if let Some(events) = text(group, file)? {
            return Ok(field(&events, key));
        }
    }
    Ok(None)
}

fn tables(member: &Member, found: &mut Found<'_>) -> Result<(), Fault> {
    let group = &member.group;
    for (file, v1) in TABLES {
        if group.version == 2 || (!v1.is_empty() && member.serves(v1)) {
            for (object, key, amount) in table(&text(group, file)?.unwrap_or_default()) {
                let key = if key.is_empty() { format!("{file} {object}") } else { format!("{file} {object} {key}") };
                found.add_amount(&key, Some(amount), None);
            }
        }
    }
    if group.version == 1 && member.serves("blkio") {
        for (file, key) in THROTTLE {
            for (device, _, amount) in table(&text(group, file)?.unwrap_or_default()) {
                found.add_amount(&format!("io.max {device} {key}"), Some(amount), None);
            }
        }
    }
    Ok(())
}

/// Reads lines such as `8:0 rbps=1 wbps=max`, `sev 4`: object, key and amount; `max` is no limit.
fn table(text: &str) -> Vec<(String, String, u64)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let object = words.next().unwrap_or_default();
        for word in words {
            let (key, amount) = word.split_once('=').unwrap_or(("", word));
            found.extend(amount.parse().ok().map(|amount| (object.to_owned(), key.to_owned(), amount)));
        }
    }
    found
}

fn add_huge_pages(member: &Member, found: &mut Found<'_>) -> Result<(), Fault> {
    if !member.serves("hugetlb") {
        return Ok(());
    }
    for (size, limit) in huge_pages(&member.group)? {
        let events = text(&member.group, &format!("hugetlb.{size}.events.local"))?;
        let events = events.and_then(|events| field(&events, "max"));
        found.add_amount(&format!("hugetlb.{size}.max"), limit, events);
    }
    Ok(())
}

/// Returns the sizes of huge pages and their limits in a group; `None` is no limit.
pub(crate) fn huge_pages(group: &Group) -> Result<Vec<(String, Option<u64>)>, Fault> {
    let ending = if group.version == 2 { ".max" } else { ".limit_in_bytes" };
    let mut limits = Vec::new();
    for file in files(group)? {
        let size = file.strip_prefix("hugetlb.").and_then(|rest| rest.strip_suffix(ending));
        if let Some(size) = size.filter(|size| !size.contains('.')) {
            // "No limit" may be the largest number of pages or of huge pages that fits, on v1, and on v2 in a group whose
            // limit nobody has written yet.
            limits.push((size.to_owned(), number(group, &file)?.filter(|limit| *limit < 1 << 62)));
        }
    }
    Ok(limits)
}

/// Returns whether this group itself is frozen, not one above it.
fn is_frozen(member: &Member) -> Result<bool, Fault> {
    if member.group.version == 2 {
        return Ok(text(&member.group, "cgroup.freeze")?.as_deref() == Some("1"));
    }
    Ok(member.serves("freezer") && text(&member.group, "freezer.self_freezing")?.as_deref() == Some("1"))
}

/// Returns the share of a CPU that `50000 100000` is, in millionths.
fn share(limit: &str) -> Option<u64> {
    let (quota, period) = limit.split_once(' ')?;
    quota.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_div(period.parse().ok()?)
}

fn count(list: &str) -> Option<u64> {
    Numbers::parse(list.trim_end()).map(|numbers| numbers.count())
}

/// Returns the limit as people read it.
pub(crate) fn shown(key: &str, value: &Value) -> String {
    let is_count = key.starts_with("pids.")
        || key.starts_with("misc.")
        || key.starts_with("rdma.")
        || key.ends_with("iops")
        || key == "cgroup.freeze";
    match (value.as_u64(), value.as_str()) {
        (Some(amount), _) if is_count => amount.to_string(),
        (Some(amount), _) if key.starts_with("io.max") => format!("{}/s", bytes(amount)),
        (Some(amount), _) => bytes(amount),
        (None, Some(text)) => percent(text).unwrap_or_else(|| text.to_owned()),
        (None, None) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_by_object_and_key() {
        let of =
            |text: &str| table(text).into_iter().map(|(one, two, n)| format!("{one}|{two}|{n}")).collect::<Vec<_>>();
        assert_eq!(of("8:0 rbps=5 wbps=max riops=7 wiops=max\n"), ["8:0|rbps|5", "8:0|riops|7"]);
        assert_eq!(of("sev max\nsev_es 4"), ["sev_es||4"]);
        assert_eq!(of(""), [""; 0]);
    }

    #[test]
    fn limits_are_shown_in_their_unit() {
        let of = |key: &str, value: Value| shown(key, &value);
        assert_eq!(of("memory.max", (64 << 20).into()), "64M");
        assert_eq!(of("pids.max", 64.into()), "64");
        assert_eq!(of("cpu.max", "50000 100000".into()), "50%");
        assert_eq!(of("cpuset.cpus", "0-1".into()), "0-1");
        assert_eq!(of("io.max 8:0 rbps", (1 << 20).into()), "1M/s");
        assert_eq!(of("io.max 8:0 wiops", 3.into()), "3");
        assert_eq!(share("50000 100000"), Some(500_000));
    }
}
