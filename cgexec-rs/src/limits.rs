//! Limits, and the files that set them: one table for the names of cgroup v2 and v1.
//!
//! The kernel's `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/`. The surprises: v1 limits the *sum* of
//! memory and swap, and has two files for CPU time where v2 has one; both refuse a quota below one millisecond.

use plumbing::Fault;
use plumbing::cgroup::usage::Member;
use plumbing::command_line::units::Limit;

/// The requested limits; `None` means no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    pub(crate) memory: Option<Limit>,
    pub(crate) swap: Option<Limit>,
    pub(crate) pids: Option<Limit>,
    /// The CPU time, in thousandths of one CPU.
    pub(crate) cpus: Option<u64>,
}

/// One write that sets a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) file: &'static str,
    pub(crate) value: String,
    pub(crate) why: &'static str,
}

impl Limits {
    /// Returns the limits that a group has.
    pub(crate) fn of(member: &Member) -> Result<Limits, Fault> {
        let (memory, swap) = member.memory_limits()?;
        let cpus = member.cpu_limit()?.and_then(|limit| {
            let (quota, period) = limit.split_once(' ')?;
            quota.parse::<u64>().ok()?.checked_mul(1000)?.checked_div(period.parse().ok()?)
        });
        Ok(Limits {
            memory: memory.map(Limit::Amount),
            swap: swap.map(Limit::Amount),
            pids: member.pids_limit()?.map(Limit::Amount),
            cpus: cpus.map(|thousandths| thousandths.max(1)),
        })
    }

    /// Reports whether no limit is requested.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Limits::default()
    }

    /// Returns the stricter one of each limit and that of `others`.
    pub(crate) fn tightened(self, others: Limits) -> Limits {
        Limits {
            memory: tighter(self.memory, others.memory),
            swap: tighter(self.swap, others.swap),
            pids: tighter(self.pids, others.pids),
            cpus: self.cpus.into_iter().chain(others.cpus).min(),
        }
    }

    /// Returns the controllers that the limits need, in the order of the report.
    pub(crate) fn controllers(&self) -> Vec<&'static str> {
        let memory = self.memory.is_some() || self.swap.is_some();
        let wanted = [("memory", memory), ("pids", self.pids.is_some()), ("cpu", self.cpus.is_some())];
        wanted.into_iter().filter(|(_, wanted)| *wanted).map(|(controller, _)| controller).collect()
    }

    /// Returns the writes for one controller, in the order in which the kernel accepts them.
    pub(crate) fn settings(&self, controller: &str, version: u8) -> Result<Vec<Setting>, Fault> {
        Ok(match (controller, version) {
            ("memory", 1) => self.memory_v1()?,
            ("memory", _) => self.memory_v2(),
            ("pids", _) => self.pids.iter().map(|pids| set("pids.max", word(*pids, "max"), PIDS)).collect(),
            ("cpu", version) => self.cpus.iter().flat_map(|cpus| cpu(*cpus, version)).collect(),
            _ => Vec::new(),
        })
    }

    fn memory_v2(&self) -> Vec<Setting> {
        let memory = self.memory.map(|memory| set("memory.max", word(memory, "max"), MEMORY));
        let swap = self.swap.map(|swap| set("memory.swap.max", word(swap, "max"), SWAP));
        memory.into_iter().chain(swap).collect()
    }

    fn memory_v1(&self) -> Result<Vec<Setting>, Fault> {
        let memory = self.memory.map(|memory| set("memory.limit_in_bytes", word(memory, "-1"), MEMORY));
        let sum = match (self.memory, self.swap) {
            (_, None | Some(Limit::Max)) => None,
            (Some(Limit::Amount(memory)), Some(Limit::Amount(swap))) => {
                let sum = memory.saturating_add(swap).to_string();
                Some(set("memory.memsw.limit_in_bytes", sum, "cgroup v1 limits the sum of memory and swap"))
            }
            (_, Some(Limit::Amount(_))) => {
                return Err(Fault::new(
                    "cannot limit swap: --swap needs --memory SIZE here, because cgroup v1 limits only the sum of both",
                ));
            }
        };
        Ok(memory.into_iter().chain(sum).collect())
    }
}

const MEMORY: &str = "above it the kernel reclaims memory, then kills (OOM)";
const SWAP: &str = "swap space, in addition to the memory";
const PIDS: &str = "above it fork(2) fails with EAGAIN; threads count";
const CPU: &str = "CPU time in each period, in microseconds, over all CPUs";

fn tighter(one: Option<Limit>, other: Option<Limit>) -> Option<Limit> {
    let amount = |limit: &Limit| match limit {
        Limit::Amount(amount) => *amount,
        Limit::Max => u64::MAX,
    };
    one.into_iter().chain(other).min_by_key(amount)
}

fn set(file: &'static str, value: String, why: &'static str) -> Setting {
    Setting { file, value, why }
}

fn word(limit: Limit, unlimited: &str) -> String {
    match limit {
        Limit::Amount(amount) => amount.to_string(),
        Limit::Max => unlimited.to_owned(),
    }
}

/// Returns quota and period. 100 ms is the kernel's default period; a tiny share needs a longer one, because no quota
/// may be below 1 ms and no period above 1 s.
fn quota(thousandths: u64) -> (u64, u64) {
    let period = if thousandths < 10 { 1_000_000 } else { 100_000 };
    (thousandths.saturating_mul(period / 1000), period)
}

fn cpu(thousandths: u64, version: u8) -> Vec<Setting> {
    let (quota, period) = quota(thousandths);
    match version {
        1 => vec![
            set("cpu.cfs_period_us", period.to_string(), "the period to which the quota applies"),
            set("cpu.cfs_quota_us", quota.to_string(), CPU),
        ],
        _ => vec![set("cpu.max", format!("{quota} {period}"), CPU)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(limits: &Limits, version: u8) -> Vec<(&'static str, String)> {
        let settings = |controller| limits.settings(controller, version).unwrap();
        limits.controllers().into_iter().flat_map(settings).map(|set| (set.file, set.value)).collect()
    }

    fn limits() -> Limits {
        Limits {
            memory: Some(Limit::Amount(256 << 20)),
            swap: Some(Limit::Amount(1 << 20)),
            pids: Some(Limit::Max),
            cpus: Some(1500),
        }
    }

    #[test]
    fn v2_has_one_file_for_each_limit() {
        let expected = [
            ("memory.max", "268435456"),
            ("memory.swap.max", "1048576"),
            ("pids.max", "max"),
            ("cpu.max", "150000 100000"),
        ];
        assert_eq!(writes(&limits(), 2), expected.map(|(file, value)| (file, value.to_owned())));
    }

    #[test]
    fn v1_limits_the_sum_of_memory_and_swap_and_has_two_files_for_the_cpu() {
        let expected = [
            ("memory.limit_in_bytes", "268435456"),
            ("memory.memsw.limit_in_bytes", "269484032"),
            ("pids.max", "max"),
            ("cpu.cfs_period_us", "100000"),
            ("cpu.cfs_quota_us", "150000"),
        ];
        assert_eq!(writes(&limits(), 1), expected.map(|(file, value)| (file, value.to_owned())));
        let swap_alone = Limits { swap: Some(Limit::Amount(0)), ..Limits::default() };
        assert!(swap_alone.settings("memory", 1).unwrap_err().to_string().contains("--swap needs --memory"));
    }

    #[test]
    fn no_quota_is_below_what_the_kernel_accepts() {
        for thousandths in 1..2000 {
            let (quota, period) = quota(thousandths);
            assert!(quota >= 1000 && period <= 1_000_000, "{thousandths}");
            assert_eq!(quota * 1000, thousandths * period, "{thousandths}");
        }
    }

    #[test]
    fn the_stricter_limit_applies() {
        let outer =
            Limits { memory: Some(Limit::Amount(1 << 20)), pids: Some(Limit::Amount(7)), cpus: Some(500), swap: None };
        let both = limits().tightened(outer);
        assert_eq!((both.memory, both.pids, both.cpus), (outer.memory, outer.pids, outer.cpus));
        assert_eq!(both.swap, limits().swap);
        assert_eq!(Limits::default().tightened(outer), outer);
    }

    #[test]
    fn only_controllers_with_a_limit_are_needed() {
        assert!(Limits::default().controllers().is_empty());
        assert_eq!(Limits { swap: Some(Limit::Max), ..Limits::default() }.controllers(), ["memory"]);
    }
}
