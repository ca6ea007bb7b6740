//! `cgxget` and `cgxset`: parameters in the notation of one version, on a machine with the other one.
//!
//! The formulas are libcgroup's: a weight of 100 is 1024 shares, in proportion. `docs/cgroups.md` names the kernel's files of
//! both versions.

use plumbing::Fault;
use plumbing::cgroup::group::Group;

use super::spec::is_missing;

/// The notation of a command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Notation {
    /// The version whose names are used; `None`: that of the machine.
    pub(super) version: Option<u8>,
    /// Leave out what has no counterpart.
    pub(super) ignore_unmappable: bool,
}

/// How a value of v1 relates to that of v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Same,
    /// 1024 shares are a weight of 100.
    Shares,
    /// The first word of `cpu.max`; -1 is max.
    Quota,
    /// The second word of `cpu.max`.
    Period,
    /// A number of bytes; on v1 without a limit it is the highest one.
    Bytes,
    /// 1 is a root of a partition.
    Partition,
}

use Relation::{Bytes, Partition, Period, Quota, Same, Shares};

/// The parameters that both versions have: v1, v2.
const PAIRS: [(&str, &str, Relation); 10] = [
    ("cpu.shares", "cpu.weight", Shares),
    ("cpu.cfs_quota_us", "cpu.max", Quota),
    ("cpu.cfs_period_us", "cpu.max", Period),
    ("cpuset.effective_cpus", "cpuset.cpus.effective", Same),
    ("cpuset.effective_mems", "cpuset.mems.effective", Same),
    ("cpuset.cpus", "cpuset.cpus", Same),
    ("cpuset.mems", "cpuset.mems", Same),
    ("cpuset.cpu_exclusive", "cpuset.cpus.partition", Partition),
    ("memory.limit_in_bytes", "memory.max", Bytes),
    ("memory.soft_limit_in_bytes", "memory.high", Bytes),
];

/// What v1 shows where nothing is limited: LONG_MAX, rounded down to a page.
const NO_LIMIT: &str = "9223372036854771712";

impl Notation {
    /// Returns the files to write, with their values, for a parameter of the command line.
    pub(super) fn as_written(
        self,
        group: &Group,
        version: u8,
        name: &str,
        value: &str,
    ) -> Result<Vec<(String, String)>, Fault> {
        match self.foreign(version) {
            None => Ok(vec![(name.to_owned(), value.to_owned())]),
            Some(1) => self
                .or_none(name, v1_to_v2(name, value, || group.read("cpu.max")))
                .map(|pair| pair.into_iter().collect()),
            Some(_) => self.or_none(name, v2_to_v1(name, value)).map(Option::unwrap_or_default),
        }
    }

    /// Reads a parameter of the command line, and returns it in the notation of the command line.
    pub(super) fn as_read(self, group: &Group, version: u8, name: &str) -> Result<Option<(String, String)>, Fault> {
        let read = |file: &str| {
            group
                .read(file)
                .map_err(|fault| if is_missing(&fault) { fault.with_status(super::NO_VALUE) } else { fault })
        };
        match self.foreign(version) {
            None => Ok(Some((name.to_owned(), read(name)?))),
            Some(1) => {
                let pair = PAIRS.iter().find(|(v1, ..)| *v1 == name);
                let Some((_, file, relation)) = self.or_none(name, Ok(pair.copied()))? else { return Ok(None) };
                Ok(Some((name.to_owned(), in_v1(relation, &read(file)?)?)))
            }
            Some(_) if name == "cpu.max" => {
                let quota = read("cpu.cfs_quota_us")?;
                let quota = if quota == "-1" { "max" } else { &quota };
                Ok(Some((name.to_owned(), format!("{quota} {}", read("cpu.cfs_period_us")?))))
            }
            Some(_) => {
                let pair = PAIRS.iter().find(|(_, v2, _)| *v2 == name);
                let Some((file, _, relation)) = self.or_none(name, Ok(pair.copied()))? else { return Ok(None) };
                Ok(Some((name.to_owned(), in_v2(relation, &read(file)?)?)))
            }
        }
    }

    /// Returns the version of the command line's notation, if it is not that of the hierarchy.
    fn foreign(self, version: u8) -> Option<u8> {
        self.version.filter(|wanted| *wanted != version)
    }

    fn or_none<T>(self, name: &str, found: Result<Option<T>, Fault>) -> Result<Option<T>, Fault> {
        match found? {
            None if !self.ignore_unmappable => Err(Fault::new(format!(
                "cannot convert {name}: the version of cgroups here has nothing like it; -i leaves it out"
            ))
            .with_status(super::NO_CONVERSION)),
            found => Ok(found),
        }
    }
}

fn number(text: &str) -> Result<i128, Fault> {
    text.trim()
        .parse()
        .map_err(|_| Fault::new(format!("cannot convert {text:?}: expected a number")).with_status(super::INVALID))
}

/// Converts a value of v2 to v1.
fn in_v1(relation: Relation, value: &str) -> Result<String, Fault> {
    let word = |at| value.split(' ').nth(at).unwrap_or_default().to_owned();
    Ok(match relation {
        Same => value.to_owned(),
        Shares => (number(value)? * 1024 / 100).to_string(),
        Quota if word(0) == "max" => "-1".to_owned(),
        Quota => word(0),
        Period => word(1),
        Bytes if value == "max" => NO_LIMIT.to_owned(),
        Bytes => value.to_owned(),
        Partition => if value.starts_with("root") { "1" } else { "0" }.to_owned(),
    })
}

/// Converts a value of v1 to v2.
fn in_v2(relation: Relation, value: &str) -> Result<String, Fault> {
    Ok(match relation {
        Same | Period => value.to_owned(),
        Shares => (number(value)? * 100 / 1024).to_string(),
        Quota | Bytes if value == "-1" || value == NO_LIMIT => "max".to_owned(),
        Quota | Bytes => value.to_owned(),
        Partition => if value == "1" { "root" } else { "member" }.to_owned(),
    })
}

/// Returns the file of v2 and its new value; of `cpu.max`, the other word stays.
fn v1_to_v2(
    name: &str,
    value: &str,
    cpu_max: impl FnOnce() -> Result<String, Fault>,
) -> Result<Option<(String, String)>, Fault> {
    let Some((_, file, relation)) = PAIRS.iter().find(|(v1, ..)| *v1 == name) else { return Ok(None) };
    let value = in_v2(*relation, value)?;
    let value = match relation {
        Quota => format!("{value} {}", in_v1(Period, &cpu_max()?)?),
        Period => format!("{} {value}", cpu_max()?.split(' ').next().unwrap_or("max")),
        _ => value,
    };
    Ok(Some(((*file).to_owned(), value)))
}

/// Returns the files of v1 with their values.
fn v2_to_v1(name: &str, value: &str) -> Result<Option<Vec<(String, String)>>, Fault> {
    if name == "cpu.max" {
        let mut files = vec![("cpu.cfs_quota_us".to_owned(), in_v1(Quota, value)?)];
        if value.contains(' ') {
            // The period first: the quota may be too small for the one that is set now.
            files.insert(0, ("cpu.cfs_period_us".to_owned(), in_v1(Period, value)?));
        }
        return Ok(Some(files));
    }
    let Some((file, _, relation)) = PAIRS.iter().find(|(_, v2, _)| *v2 == name) else { return Ok(None) };
    let value = if *relation == Bytes && value == "max" { "-1".to_owned() } else { in_v1(*relation, value)? };
    Ok(Some(vec![((*file).to_owned(), value)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_v1_are_written_to_v2() {
        let to = |name: &str, value: &str| v1_to_v2(name, value, || Ok("max 100000".into())).unwrap();
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(to("cpu.shares", "512"), pair("cpu.weight", "50"));
        assert_eq!(to("cpu.cfs_quota_us", "50000"), pair("cpu.max", "50000 100000"));
        assert_eq!(to("cpu.cfs_quota_us", "-1"), pair("cpu.max", "max 100000"));
        assert_eq!(to("cpu.cfs_period_us", "20000"), pair("cpu.max", "max 20000"));
        assert_eq!(to("memory.limit_in_bytes", "-1"), pair("memory.max", "max"));
        assert_eq!(to("cpuset.cpu_exclusive", "1"), pair("cpuset.cpus.partition", "root"));
        assert_eq!(to("cpuset.memory_migrate", "1"), None);
    }

    #[test]
    fn parameters_of_v2_are_written_to_v1() {
        let to = |name: &str, value: &str| v2_to_v1(name, value).unwrap();
        let one = |name: &str, value: &str| Some(vec![(name.to_owned(), value.to_owned())]);
        assert_eq!(to("cpu.weight", "200"), one("cpu.shares", "2048"));
        assert_eq!(to("memory.max", "max"), one("memory.limit_in_bytes", "-1"));
        let both = [("cpu.cfs_period_us", "20000"), ("cpu.cfs_quota_us", "5000")];
        assert_eq!(to("cpu.max", "5000 20000"), Some(both.map(|(name, value)| (name.into(), value.into())).to_vec()));
        assert_eq!(to("cpu.max", "max"), one("cpu.cfs_quota_us", "-1"));
        assert_eq!(to("memory.oom.group", "1"), None);
        assert!(v2_to_v1("cpu.weight", "much").is_err());
    }
}
