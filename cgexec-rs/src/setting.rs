//! From a limit to the writes that set it, for either version, and whether the kernel has kept what was written.
//!
//! The surprise: a write that succeeds may have done something else. The kernel rounds memory down to whole pages, and
//! it accepts every partition of CPUs, and then says in the same file that the partition is invalid.

use plumbing::Fault;
use plumbing::command_line::units::Limit;

use crate::limits::{Kind, Row, V1};
use crate::oci::OF_BLKIO;
use crate::value::{Numbers, Value};

/// One write that sets a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) file: String,
    pub(crate) value: String,
    pub(crate) why: &'static str,
    pub(crate) reads: Reads,
}

/// How a file reads after the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// As it was written, numbers in any notation.
    Same,
    /// A number, rounded down by less than this.
    Rounded(u64),
    /// A list of the same numbers.
    List,
    /// One of the lines begins with the first word that was written, and has the others.
    Line,
    /// Not known: a file that `--set` names.
    Unknown,
}

/// The largest page of any machine.
const PAGE: u64 = 64 << 10;

impl Setting {
    /// Makes a setting that reads as it was written.
    pub(crate) fn new(file: impl Into<String>, value: impl Into<String>, why: &'static str) -> Setting {
        Setting { file: file.into(), value: value.into(), why, reads: Reads::Same }
    }

    fn reading(self, reads: Reads) -> Setting {
        Setting { reads, ..self }
    }

    /// Returns whether the kernel kept the value, which its file now has as `text`.
    pub(crate) fn is_kept(&self, text: &str) -> bool {
        match self.reads {
            Reads::Unknown => true,
            Reads::Same => is_same(&self.value, text),
            Reads::Rounded(unit) => match (self.value.parse::<u64>(), text.parse::<u64>()) {
                (Ok(written), Ok(kept)) => kept <= written && written - kept < unit,
                // -1 is read as the largest number of pages.
                (Err(_), Ok(kept)) => self.value == "-1" && kept > u64::MAX / 4,
                _ => self.value == text,
            },
            Reads::List => Numbers::parse(&self.value) == Numbers::parse(text),
            Reads::Line => {
                let mut words = self.value.split(' ');
                let object = words.next().unwrap_or_default();
                let of_object = |line: &&str| line.split(' ').next() == Some(object);
                let line = text.lines().find(of_object).unwrap_or_default();
                let unlimited = |word: &str| word == "max" || word.ends_with("=max");
                let has = |word: &str| line.split(' ').skip(1).any(|kept| kept == word);
                words.all(|word| has(word) || (line.is_empty() && unlimited(word)))
            }
        }
    }
}

/// Returns whether both are the same words; the kernel prints 20 as 20.00, and a period after `max`.
fn is_same(written: &str, kept: &str) -> bool {
    let number = |word: &str| word.parse::<f64>().ok();
    let (written, kept): (Vec<_>, Vec<_>) = (written.split_whitespace().collect(), kept.split_whitespace().collect());
    let is_equal =
        |(written, kept): (&&str, &&str)| written == kept || number(written).is_some_and(|it| number(kept) == Some(it));
    (written.len() == kept.len() || written == ["max"]) && written.iter().zip(&kept).all(is_equal)
}

/// Returns the writes for a limit, in the order in which the kernel accepts them. `memory` is the limit of memory that is
/// set together with it, on which v1's limit of swap depends.
pub(crate) fn settings(
    row: &'static Row,
    value: &Value,
    version: u8,
    memory: Option<&Value>,
) -> Result<Vec<Setting>, Fault> {
    if version == 2 {
        return Ok(vec![of_file(row.file, row, value)]);
    }
    let set = |file: &str, value: String| Setting::new(file, value, row.why);
    Ok(match (&row.v1, value) {
        (V1::File(file), Value::Limit(Limit::Max)) if file.ends_with("_in_bytes") => {
            vec![set(file, "-1".to_owned()).reading(Reads::Rounded(PAGE))]
        }
        (V1::File(file), Value::Of { object, numbers }) if row.kind == Kind::DeviceWeight => {
            // This file has the range of v1, up to 1000.
            let number = numbers.first().map(|(_, limit)| word(*limit, "max")).unwrap_or_default();
            match object.as_str() {
                "default" => vec![set(file, number)],
                device => vec![set(&format!("{file}_device"), format!("{device} {number}")).reading(Reads::Line)],
            }
        }
        (V1::File(file), _) => vec![of_file(file, row, value)],
        (V1::Quota, value) => quota_v1(row, value),
        (V1::Shares, Value::Shares(shares)) => vec![set("cpu.shares", shares.clamp(&2, &262_144).to_string())],
        (V1::Shares, Value::Number(weight)) => vec![set("cpu.shares", ((weight * 1024 + 50) / 100).max(2).to_string())],
        (V1::Sum, value) => sum(row, value, memory)?,
        (V1::Throttle, Value::Of { object, numbers }) => throttle(row, object, numbers),
        (V1::Missing(instead), _) => {
            return Err(Fault::new(format!(
                "cannot set {} (--{}): its controller is in a cgroup v1 hierarchy, which has no such limit; {instead}",
                row.file, row.option
            )));
        }
        (V1::Shares | V1::Throttle, _) => Vec::new(),
    })
}

/// Returns the write of a value to a file in the notation of v2.
fn of_file(file: &str, row: &Row, value: &Value) -> Setting {
    let set = |value: String| Setting::new(file, value, row.why);
    match (value, row.kind) {
        (Value::Limit(limit), Kind::Size | Kind::Memory) => set(word(*limit, "max")).reading(Reads::Rounded(PAGE)),
        (Value::Limit(limit), _) => set(word(*limit, "max")),
        (Value::Thousandths(thousandths), _) => {
            let (quota, period) = quota(*thousandths);
            set(format!("{quota} {period}"))
        }
        // Computed before; a kernel refuses this notation.
        (Value::Part(thousandths), _) => set(format!("{thousandths}/1000")),
        (Value::Quota(quota, period), _) => set(format!("{} {period}", word(*quota, "max"))),
        (Value::Shares(shares), _) => set(weight_of_shares(*shares).to_string()),
        (Value::Number(number), _) => set(number.to_string()),
        (Value::Text(text), Kind::List) => set(text.clone()).reading(Reads::List),
        (Value::Text(text), _) => set(text.clone()),
        (Value::Of { object, numbers }, Kind::PageSize) => {
            let limit = numbers.first().map_or(Limit::Max, |(_, limit)| *limit);
            let unlimited = if file.ends_with("_in_bytes") { "-1" } else { "max" };
            // Rounded down to whole huge pages, of which the largest are of 16 GiB.
            Setting::new(file.replace("SIZE", object), word(limit, unlimited), row.why)
                .reading(Reads::Rounded(16 << 30))
        }
        (Value::Of { object, numbers }, kind) => {
            let pair = |(key, limit): &(String, Limit)| match key.as_str() {
                "" => word(*limit, "max"),
                OF_BLKIO => word(weight_of_blkio(*limit), "max"),
                key => format!("{key}={}", word(*limit, "max")),
            };
            let words: Vec<_> = std::iter::once(object.clone()).chain(numbers.iter().map(pair)).collect();
            let reads = if kind == Kind::Region { Reads::Unknown } else { Reads::Line };
            set(words.join(" ")).reading(reads)
        }
    }
}

fn sum(row: &'static Row, swap: &Value, memory: Option<&Value>) -> Result<Vec<Setting>, Fault> {
    match (memory, swap) {
        (_, Value::Limit(Limit::Max)) => Ok(Vec::new()),
        (Some(Value::Limit(Limit::Amount(memory))), Value::Limit(Limit::Amount(swap))) => {
            let sum = memory.saturating_add(*swap).to_string();
            let why = "cgroup v1 limits the sum of memory and swap";
            Ok(vec![Setting::new("memory.memsw.limit_in_bytes", sum, why).reading(Reads::Rounded(PAGE))])
        }
        _ => Err(Fault::new(format!(
            "cannot limit swap: --{} needs --memory SIZE here, because cgroup v1 limits only the sum of both",
            row.option
        ))),
    }
}

fn quota_v1(row: &'static Row, value: &Value) -> Vec<Setting> {
    match value {
        Value::Thousandths(thousandths) => {
            let (quota, period) = quota(*thousandths);
            let why = "the period to which the quota applies";
            vec![
                Setting::new("cpu.cfs_period_us", period.to_string(), why),
                Setting::new("cpu.cfs_quota_us", quota.to_string(), row.why),
            ]
        }
        Value::Quota(quota, period) => {
            let why = "the period to which the quota applies";
            vec![
                Setting::new("cpu.cfs_period_us", period.to_string(), why),
                Setting::new("cpu.cfs_quota_us", word(*quota, "-1"), row.why),
            ]
        }
        _ => vec![Setting::new("cpu.cfs_quota_us", "-1", row.why)],
    }
}

fn throttle(row: &'static Row, device: &str, numbers: &[(String, Limit)]) -> Vec<Setting> {
    let of = |(key, limit): &(String, Limit)| {
        let name = match key.as_str() {
            "rbps" => "read_bps",
            "wbps" => "write_bps",
            "riops" => "read_iops",
            _ => "write_iops",
        };
        // 0 removes the limit, and its line.
        let reads = if *limit == Limit::Max { Reads::Unknown } else { Reads::Line };
        Setting::new(format!("blkio.throttle.{name}_device"), format!("{device} {}", word(*limit, "0")), row.why)
            .reading(reads)
    };
    numbers.iter().map(of).collect()
}

fn word(limit: Limit, unlimited: &str) -> String {
    match limit {
        Limit::Amount(amount) => amount.to_string(),
        Limit::Max => unlimited.to_owned(),
    }
}

/// Converts shares of v1 to a weight of v2, as runc and crun do since 2025: the default stays the default, and the limits
/// of one are those of the other.
fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let exponent = (shares as f64).log2();
            let power = (exponent * exponent + 125.0 * exponent) / 612.0 - 7.0 / 34.0;
            // A whole number must not become the next one by a rounding error.
            (10_f64.powf(power) - 1e-6).ceil() as u64
        }
    }
}

/// Converts a weight of v1's disks, 10 to 1000, to one of v2, 1 to 10000.
fn weight_of_blkio(weight: Limit) -> Limit {
    match weight {
        Limit::Amount(weight) => Limit::Amount(1 + weight.saturating_sub(10) * 9999 / 990),
        Limit::Max => Limit::Max,
    }
}

/// Returns quota and period. 100 ms is the kernel's default period; a tiny share needs a longer one, because no quota
/// may be below 1 ms and no period above 1 s.
fn quota(thousandths: u64) -> (u64, u64) {
    let period = if thousandths < 10 { 1_000_000 } else { 100_000 };
    (thousandths.saturating_mul(period / 1000), period)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::row_of;

    fn writes(option: &str, text: &str, version: u8) -> Vec<(String, String)> {
        let row = row_of(option).unwrap();
        let memory = Value::Limit(Limit::Amount(256 << 20));
        let value = Value::parse(row.kind, text).unwrap();
        let settings = settings(row, &value, version, Some(&memory)).unwrap();
        settings.into_iter().map(|set| (set.file, set.value)).collect()
    }

    #[test]
    fn each_limit_is_written_as_its_version_wants_it() {
        for (option, text, version, expected) in [
            ("memory", "256M", 2, &[("memory.max", "268435456")][..]),
            ("memory", "max", 1, &[("memory.limit_in_bytes", "-1")]),
            ("swap", "1M", 2, &[("memory.swap.max", "1048576")]),
            ("swap", "1M", 1, &[("memory.memsw.limit_in_bytes", "269484032")]),
            ("pids", "max", 1, &[("pids.max", "max")]),
            ("cpus", "1.5", 2, &[("cpu.max", "150000 100000")]),
            ("cpus", "1.5", 1, &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "150000")]),
            ("cpus", "max", 1, &[("cpu.cfs_quota_us", "-1")]),
            ("cpu-weight", "300", 1, &[("cpu.shares", "3072")]),
            ("io-max", "8:0:rbps=1M,wiops=max", 2, &[("io.max", "8:0 rbps=1048576 wiops=max")]),
            (
                "io-max",
                "8:0:rbps=1M,wiops=max",
                1,
                &[("blkio.throttle.read_bps_device", "8:0 1048576"), ("blkio.throttle.write_iops_device", "8:0 0")],
            ),
            ("io-weight", "200", 2, &[("io.weight", "default 200")]),
            ("io-weight", "8:0:200", 1, &[("blkio.bfq.weight_device", "8:0 200")]),
            ("io-latency", "8:0:10ms", 2, &[("io.latency", "8:0 target=10000")]),
            ("hugetlb-max", "2M=64M", 2, &[("hugetlb.2MB.max", "67108864")]),
            ("hugetlb-max", "2M=max", 1, &[("hugetlb.2MB.limit_in_bytes", "-1")]),
            ("rdma-max", "mlx5_0:hca_handle=2", 2, &[("rdma.max", "mlx5_0 hca_handle=2")]),
            ("misc-max", "sev=4", 1, &[("misc.max", "sev 4")]),
            ("cpu-max-burst", "20ms", 1, &[("cpu.cfs_burst_us", "20000")]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(file, value)| ((*file).into(), (*value).into())).collect();
            assert_eq!(writes(option, text, version), expected, "{option} {text} v{version}");
        }
    }

    #[test]
    fn shares_become_the_weights_of_other_runtimes() {
        let weights = [2, 100, 256, 512, 1024, 2048, 10_000, 262_144].map(weight_of_shares);
        assert_eq!(weights, [1, 17, 35, 59, 100, 174, 627, 10_000]);
        let weights = [10, 500, 1000].map(|weight| weight_of_blkio(Limit::Amount(weight)));
        assert_eq!(weights, [1, 4950, 10_000].map(Limit::Amount));
    }

    #[test]
    fn what_v1_lacks_is_an_error_that_says_so() {
        let row = row_of("memory-high").unwrap();
        let error = settings(row, &Value::Limit(Limit::Max), 1, None).unwrap_err().to_string();
        assert!(error.contains("memory.high") && error.contains("v1") && error.contains("--memory"), "{error}");
        let swap = settings(row_of("swap").unwrap(), &Value::Limit(Limit::Amount(0)), 1, None);
        assert!(swap.unwrap_err().to_string().contains("--swap needs --memory"));
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
    fn the_kernel_keeps_a_value_in_its_own_notation_or_not_at_all() {
        let kept = |value: &str, kept, text: &str| Setting::new("f", value, "").reading(kept).is_kept(text);
        assert!(kept("12345", Reads::Rounded(PAGE), "12288") && !kept("123450", Reads::Rounded(PAGE), "4096"));
        assert!(kept("-1", Reads::Rounded(PAGE), "9223372036854771712") && kept("max", Reads::Rounded(PAGE), "max"));
        assert!(kept("20", Reads::Same, "20.00") && kept("max", Reads::Same, "max 100000"));
        assert!(kept("root", Reads::Same, "root") && !kept("root", Reads::Same, "root invalid (x)"));
        assert!(kept("0,1", Reads::List, "0-1") && !kept("0-3", Reads::List, "0-1"));
        let lines = "8:0 rbps=1 wbps=max riops=max wiops=9\n8:16 rbps=2 wbps=max riops=max wiops=max";
        assert!(kept("8:0 rbps=1 wiops=9", Reads::Line, lines) && !kept("8:16 rbps=1", Reads::Line, lines));
        assert!(kept("8:32 rbps=max", Reads::Line, lines) && !kept("8:32 rbps=1", Reads::Line, lines));
    }
}
