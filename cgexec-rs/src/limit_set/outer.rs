//! The limits of the groups that a process leaves for a new group: they go with it, and of two limits the stricter one
//! applies. `cgroups(7)`.

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::cgroup::group::Group;
use plumbing::command_line::units::Limit;

use super::Limits;
use crate::effective::huge_pages;
use crate::limits::{Kind, Row, row_of, row_of_file};
use crate::value::{Numbers, Value};

/// The limits that hold for a process which leaves the group, too: without them, a limit inside a limit would undo the
/// outer one. Protection and shares are not among them.
const OUTER: [&str; 11] = [
    "memory.max",
    "memory.swap.max",
    "memory.high",
    "memory.zswap.max",
    "pids.max",
    "cpu.max",
    "cpuset.cpus",
    "cpuset.mems",
    "io.max",
    "rdma.max",
    "misc.max",
];

impl Limits {
    /// Returns the limits of a group of v2 that hold for a process which leaves the group.
    pub(crate) fn outer(group: &Group) -> Result<Limits, Fault> {
        let mut rows = Vec::new();
        for row in OUTER.into_iter().filter_map(row_of_file) {
            if let Some(text) = present(group.read(row.file))? {
                rows.extend(in_force(row, &text).into_iter().map(|value| (row, value)));
            }
        }
        if let Some(row) = row_of("hugetlb-max") {
            for (size, limit) in huge_pages(group)? {
                let of = |limit| Value::Of { object: size, numbers: vec![(String::new(), Limit::Amount(limit))] };
                rows.extend(limit.map(|limit| (row, of(limit))));
            }
        }
        Ok(Limits { rows, ..Limits::default() })
    }

    /// Returns the stricter one of each limit and that of `others`.
    pub(crate) fn tightened(&self, others: &Limits) -> Result<Limits, Fault> {
        let mut tightened = self.clone();
        for (row, theirs) in &others.rows {
            let same = |(known, ours): &&mut (&'static Row, Value)| known == row && object(ours) == object(theirs);
            match tightened.rows.iter_mut().find(same) {
                Some((_, ours)) => *ours = stricter(row, ours, theirs)?,
                None => tightened.rows.push((row, theirs.clone())),
            }
        }
        tightened.sort();
        Ok(tightened)
    }
}

/// Returns the limits in the text of a file.
fn in_force(row: &Row, text: &str) -> Vec<Value> {
    match row.kind {
        Kind::Cpus => cpus(text).into_iter().map(Value::Thousandths).collect(),
        Kind::List => Numbers::parse(text).map(|_| Value::Text(text.to_owned())).into_iter().collect(),
        Kind::DeviceRates | Kind::DeviceCounts | Kind::Resource => text.lines().filter_map(line).collect(),
        _ => text.parse().ok().map(|amount| Value::Limit(Limit::Amount(amount))).into_iter().collect(),
    }
}

/// Reads `50000 100000` as thousandths of a CPU, at least one.
fn cpus(text: &str) -> Option<u64> {
    let (quota, period) = text.split_once(' ')?;
    let thousandths = quota.parse::<u64>().ok()?.checked_mul(1000)?.checked_div(period.parse().ok()?)?;
    Some(thousandths.max(1))
}

/// Reads `8:0 rbps=1048576 wbps=max`, or `sev 4`.
fn line(line: &str) -> Option<Value> {
    let (object, numbers) = line.split_once(' ')?;
    let number = |word: &str| {
        let (key, number) = word.split_once('=').unwrap_or(("", word));
        Some((key.to_owned(), Limit::Amount(number.parse().ok()?)))
    };
    let numbers: Vec<_> = numbers.split(' ').filter_map(number).collect();
    (!numbers.is_empty()).then(|| Value::Of { object: object.to_owned(), numbers })
}

fn object(value: &Value) -> Option<&str> {
    match value {
        Value::Of { object, .. } => Some(object),
        _ => None,
    }
}

fn stricter(row: &Row, ours: &Value, theirs: &Value) -> Result<Value, Fault> {
    let amount = |limit: &Limit| match limit {
        Limit::Amount(amount) => *amount,
        Limit::Max => u64::MAX,
    };
    Ok(match (ours, theirs) {
        (Value::Limit(one), Value::Limit(other)) => {
            Value::Limit(if amount(one) <= amount(other) { *one } else { *other })
        }
        (Value::Thousandths(_) | Value::Quota(..), Value::Thousandths(other)) => {
            if thousandths(ours).is_some_and(|one| one <= *other) { ours.clone() } else { theirs.clone() }
        }
        (Value::Limit(Limit::Max), theirs) => theirs.clone(),
        (Value::Text(ours), Value::Text(theirs)) if row.kind == Kind::List => {
            match (Numbers::parse(ours), Numbers::parse(theirs)) {
                (Some(one), Some(other)) if one.is_within(&other) => Value::Text(ours.clone()),
                _ => {
                    return Err(Fault::new(format!(
                        "cannot use {ours} (--{}): the current group is limited to {theirs}",
                        row.option
                    )));
                }
            }
        }
        (Value::Of { object, numbers: ours }, Value::Of { numbers: theirs, .. }) => {
            let mut numbers = ours.clone();
            for (key, limit) in theirs {
                match numbers.iter_mut().find(|(known, _)| known == key) {
                    Some((_, ours)) if amount(ours) > amount(limit) => *ours = *limit,
                    Some(_) => {}
                    None => numbers.push((key.clone(), *limit)),
                }
            }
            Value::Of { object: object.clone(), numbers }
        }
        (ours, _) => ours.clone(),
    })
}

/// Returns CPU time in thousandths of one CPU; `None` without a limit.
fn thousandths(value: &Value) -> Option<u64> {
    match value {
        Value::Thousandths(thousandths) => Some(*thousandths),
        Value::Quota(Limit::Amount(quota), period) => quota.checked_mul(1000)?.checked_div(*period),
        _ => None,
    }
}

/// Returns `None` for a file that the group does not have.
fn present(text: Result<String, Fault>) -> Result<Option<String>, Fault> {
    match text {
        Err(fault) if matches!(fault.errno(), Some(Errno::ENOENT | Errno::EOPNOTSUPP)) => Ok(None),
        text => text.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::limits;
    use super::*;

    #[test]
    fn the_stricter_limit_applies() {
        let ours = limits(&[("memory", "256M"), ("pids", "max"), ("io-max", "8:0:rbps=5,wbps=9")]);
        let outer =
            limits(&[("memory", "1M"), ("pids", "7"), ("cpus", "0.5"), ("io-max", "8:0:rbps=7,wbps=3,riops=1")]);
        let both = limits(&[("memory", "1M"), ("pids", "7"), ("cpus", "0.5"), ("io-max", "8:0:rbps=5,wbps=3,riops=1")]);
        assert_eq!(ours.tightened(&outer).unwrap(), both);
        assert_eq!(Limits::default().tightened(&outer).unwrap(), outer);
        let all = limits(&[("cpuset-cpus", "0-3")]);
        assert_eq!(limits(&[("cpuset-cpus", "1")]).tightened(&all).unwrap(), limits(&[("cpuset-cpus", "1")]));
        assert!(all.tightened(&limits(&[("cpuset-cpus", "1")])).unwrap_err().to_string().contains("--cpuset-cpus"));
    }

    #[test]
    fn limits_in_force_are_read_in_the_kernels_notation() {
        let read = |option: &str, text: &str| in_force(row_of(option).unwrap(), text);
        assert_eq!(read("cpus", "50000 100000"), [Value::Thousandths(500)]);
        assert_eq!(read("cpus", "max 100000"), []);
        assert_eq!(read("memory", "max"), []);
        assert_eq!(read("cpuset-cpus", ""), []);
        let io = "8:0 rbps=5 wbps=max riops=max wiops=max\n8:16 rbps=max wbps=max riops=max wiops=max";
        assert_eq!(read("io-max", io), [Value::parse(Kind::DeviceRates, "8:0:rbps=5").unwrap()]);
        assert_eq!(read("misc-max", "sev max\nsev_es 4"), [Value::parse(Kind::Resource, "sev_es=4").unwrap()]);
    }
}
