//! The table of limits: option, files of cgroup v2 and v1, notation, and what a process sees that reaches one.
//!
//! The kernel's `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/`. An option is the name of the v2 file with
//! dashes, or one of the four short names. The surprise: v1 lacks many of these files, and has others for the same
//! purpose with another notation, so each row says what its v1 file is or what to use instead.

/// A limit that an option sets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The option, without its dashes.
    pub(crate) option: &'static str,
    /// The controller.
    pub(crate) controller: &'static str,
    /// The file of cgroup v2; `SIZE` in it is a size of huge pages.
    pub(crate) file: &'static str,
    /// The counterpart in cgroup v1.
    pub(crate) v1: V1,
    /// The notation of the value.
    pub(crate) kind: Kind,
    /// The reason that `--explain` prints.
    pub(crate) why: &'static str,
    /// What a process sees that reaches the limit; for the manual.
    pub(crate) sees: &'static str,
    /// The files that count it; for the manual.
    pub(crate) counts: &'static str,
}

/// The counterpart of a file in cgroup v1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum V1 {
    /// A file with the same notation, except that -1 is the word for no limit.
    File(&'static str),
    /// `memory.memsw.limit_in_bytes`, the sum of memory and swap.
    Sum,
    /// `cpu.cfs_period_us` and `cpu.cfs_quota_us`.
    Quota,
    /// `cpu.shares`, 1024 for a weight of 100, as the kernel itself converts it.
    Shares,
    /// The four files `blkio.throttle.…_device`.
    Throttle,
    /// None, with what to do instead.
    Missing(&'static str),
}

/// The notation of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `256M`, `max`, `50%`.
    Memory,
    /// `256M`, `max`.
    Size,
    /// `100`, `max`.
    Count,
    /// `1.5`, `50%`.
    Cpus,
    /// `20ms`, in microseconds.
    Time,
    /// A number between two others.
    Between(i64, i64),
    /// A switch: 1.
    Switch,
    /// `20%`, `max`.
    Percent,
    /// `0-3,8`.
    List,
    /// `root`, `isolated`, `member`.
    Partition,
    /// `DEVICE:rbps=10M,wiops=100`.
    DeviceRates,
    /// `100`, or `DEVICE:100`.
    DeviceWeight,
    /// `DEVICE:10ms`.
    DeviceTime,
    /// `2M=64M`.
    PageSize,
    /// `NAME:key=3,key=4`.
    DeviceCounts,
    /// `NAME=3`.
    Resource,
    /// `REGION=64M`.
    Region,
}

const fn row(
    (option, controller, file): (&'static str, &'static str, &'static str),
    v1: V1,
    kind: Kind,
    why: &'static str,
    (sees, counts): (&'static str, &'static str),
) -> Row {
    Row { option, controller, file, v1, kind, why, sees, counts }
}

const MAX_INSTEAD: &str = "use --memory";
const NO_PROTECTION: &str = "cgroup v1 protects no memory from reclaim";

/// All limits, in the order in which the kernel accepts them: no burst before its quota, no partition before its CPUs.
pub(crate) const ROWS: &[Row] = &[
    row(
        ("memory", "memory", "memory.max"),
        V1::File("memory.limit_in_bytes"),
        Kind::Memory,
        "above it the kernel reclaims memory, then kills (OOM)",
        ("killed (SIGKILL), after the kernel has tried to reclaim memory", "`memory.events` `max`, `oom_kill`"),
    ),
    row(
        ("swap", "memory", "memory.swap.max"),
        V1::Sum,
        Kind::Size,
        "swap space, in addition to the memory",
        (
            "nothing; its memory can no longer be swapped out, so it reaches the memory limit earlier",
            "`memory.swap.events` `max`",
        ),
    ),
    row(
        ("memory-high", "memory", "memory.high"),
        V1::Missing(MAX_INSTEAD),
        Kind::Memory,
        "above it processes are slowed down while the kernel reclaims memory; it never kills",
        ("slowed down, possibly to a standstill; never killed", "`memory.events` `high`, `memory.pressure`"),
    ),
    row(
        ("memory-low", "memory", "memory.low"),
        V1::File("memory.soft_limit_in_bytes"),
        Kind::Memory,
        "below it the memory is reclaimed only if nothing else can be",
        ("nothing; it keeps this memory while others can give up theirs", "`memory.events` `low`"),
    ),
    row(
        ("memory-min", "memory", "memory.min"),
        V1::Missing(NO_PROTECTION),
        Kind::Memory,
        "below it the memory is never reclaimed",
        ("nothing; it always keeps this memory", "none"),
    ),
    row(
        ("memory-zswap-max", "memory", "memory.zswap.max"),
        V1::Missing("cgroup v1 does not limit compressed swap"),
        Kind::Memory,
        "compressed swap space in memory",
        ("nothing; its pages go to the swap device instead", "`memory.zswap.current`"),
    ),
    row(
        ("memory-oom-group", "memory", "memory.oom.group"),
        V1::Missing("cgroup v1 kills one process at a time"),
        Kind::Switch,
        "when memory runs out, all processes of the group are killed, not one",
        ("killed together with all other processes of the group", "`memory.events` `oom_group_kill`"),
    ),
    row(
        ("pids", "pids", "pids.max"),
        V1::File("pids.max"),
        Kind::Count,
        "above it fork(2) fails with EAGAIN; threads count",
        ("`fork` and `clone` fail with `EAGAIN`; threads count", "`pids.events` `max`"),
    ),
    row(
        ("cpus", "cpu", "cpu.max"),
        V1::Quota,
        Kind::Cpus,
        "CPU time in each period, in microseconds, over all CPUs",
        ("stopped until the next period begins", "`cpu.stat` `nr_throttled`, `throttled_usec`"),
    ),
    row(
        ("cpu-max-burst", "cpu", "cpu.max.burst"),
        V1::File("cpu.cfs_burst_us"),
        Kind::Time,
        "CPU time that was not used in earlier periods and may be used above the limit",
        ("nothing", "`cpu.stat` `nr_bursts`"),
    ),
    row(
        ("cpu-weight", "cpu", "cpu.weight"),
        V1::Shares,
        Kind::Between(1, 10000),
        "the share of the CPUs, relative to the groups next to this one; 100 is the default",
        ("slower, only while groups next to it want the same CPUs", "`cpu.pressure`"),
    ),
    row(
        ("cpu-weight-nice", "cpu", "cpu.weight.nice"),
        V1::Missing("use --cpu-weight"),
        Kind::Between(-20, 19),
        "the share of the CPUs, as a nice value",
        ("slower, only while groups next to it want the same CPUs", "`cpu.pressure`"),
    ),
    row(
        ("cpu-idle", "cpu", "cpu.idle"),
        V1::File("cpu.idle"),
        Kind::Switch,
        "runs only when no other group wants the CPU; sched(7), SCHED_IDLE",
        ("almost stopped while others want the same CPUs", "`cpu.pressure`"),
    ),
    row(
        ("cpu-uclamp-min", "cpu", "cpu.uclamp.min"),
        V1::File("cpu.uclamp.min"),
        Kind::Percent,
        "the CPU runs at least at this fraction of its speed for the group",
        ("nothing", "none"),
    ),
    row(
        ("cpu-uclamp-max", "cpu", "cpu.uclamp.max"),
        V1::File("cpu.uclamp.max"),
        Kind::Percent,
        "the CPU runs at most at this fraction of its speed for the group",
        ("slower", "none"),
    ),
    row(
        ("cpuset-cpus", "cpuset", "cpuset.cpus"),
        V1::File("cpuset.cpus"),
        Kind::List,
        "the CPUs on which the group may run; cpuset(7)",
        ("runs on these CPUs only; `sched_setaffinity` to others fails with `EINVAL`", "`cpuset.cpus.effective`"),
    ),
    row(
        ("cpuset-mems", "cpuset", "cpuset.mems"),
        V1::File("cpuset.mems"),
        Kind::List,
        "the memory nodes from which the group gets memory; cpuset(7)",
        ("memory from these nodes only", "`cpuset.mems.effective`"),
    ),
    row(
        ("cpuset-cpus-partition", "cpuset", "cpuset.cpus.partition"),
        V1::Missing("cgroup v1 has no partitions"),
        Kind::Partition,
        "whether these CPUs belong to the group alone",
        ("nothing; others lose these CPUs", "`cpuset.cpus.partition`"),
    ),
    row(
        ("io-max", "io", "io.max"),
        V1::Throttle,
        Kind::DeviceRates,
        "bytes and operations per second of a disk",
        ("direct reads and writes wait; buffered writes do not, their write-back does", "`io.stat`, `io.pressure`"),
    ),
    row(
        ("io-weight", "io", "io.weight"),
        V1::File("blkio.bfq.weight"),
        Kind::DeviceWeight,
        "the share of a disk, relative to the groups next to this one; 100 is the default",
        ("slower, only while groups next to it use the same disk", "`io.stat`, `io.pressure`"),
    ),
    row(
        ("io-latency", "io", "io.latency"),
        V1::Missing("use --io-max for the other groups"),
        Kind::DeviceTime,
        "groups next to this one are slowed down if this one waits longer for the disk, in microseconds",
        ("nothing; others are slowed down", "`io.stat`"),
    ),
    row(
        ("hugetlb-max", "hugetlb", "hugetlb.SIZE.max"),
        V1::File("hugetlb.SIZE.limit_in_bytes"),
        Kind::PageSize,
        "huge pages of this size; above it a process gets SIGBUS",
        ("killed by `SIGBUS`", "`hugetlb.SIZE.events` `max`"),
    ),
    row(
        ("rdma-max", "rdma", "rdma.max"),
        V1::File("rdma.max"),
        Kind::DeviceCounts,
        "handles and objects of a device for remote memory access",
        ("the call to the device fails with `EAGAIN`", "`rdma.current`"),
    ),
    row(
        ("misc-max", "misc", "misc.max"),
        V1::File("misc.max"),
        Kind::Resource,
        "a resource that is counted by number",
        ("the call that needs one more fails with `EBUSY`", "`misc.events` `max`"),
    ),
    row(
        ("dmem-max", "dmem", "dmem.max"),
        V1::File("dmem.max"),
        Kind::Region,
        "memory of a device",
        ("the device evicts memory, or the call fails with `EAGAIN`", "`dmem.current`"),
    ),
];

/// Returns the row of an option.
pub(crate) fn row_of(option: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.option == option)
}

/// Returns the row of a file of cgroup v2.
pub(crate) fn row_of_file(file: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.file == file)
}

impl V1 {
    /// Names the counterpart for the table in the manual.
    #[cfg(test)]
    fn name(&self) -> String {
        match self {
            V1::File(file) => format!("`{file}`"),
            V1::Sum => "`memory.memsw.limit_in_bytes` (the sum with memory)".to_owned(),
            V1::Quota => "`cpu.cfs_quota_us`, `cpu.cfs_period_us`".to_owned(),
            V1::Shares => "`cpu.shares` (100 is 1024)".to_owned(),
            V1::Throttle => "`blkio.throttle.read_bps_device` and three more".to_owned(),
            V1::Missing(instead) => format!("none: {instead}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_cgroups_has_a_row_for_each_limit() {
        let page = include_str!("../../docs/cgroups.md");
        for row in ROWS {
            let Row { option, file, sees, counts, .. } = row;
            let line = format!("| `--{option}` | {sees} | {counts} | `{file}` | {} |", row.v1.name());
            assert!(page.lines().any(|found| found == line), "docs/cgroups.md lacks:\n{line}");
        }
    }

    #[test]
    fn an_option_is_the_name_of_its_file_or_one_of_the_short_names() {
        for row in ROWS {
            let long = row.file.replace('.', "-").replace("-SIZE", "");
            assert!(row.option == long || ["memory", "swap", "pids", "cpus"].contains(&row.option), "{}", row.option);
            assert!(row.file.starts_with(row.controller), "{}", row.file);
        }
    }
}
