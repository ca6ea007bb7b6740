//! The options that set limits: one for each row of the table in `limits.rs`, whose notation the table also has.

use std::path::PathBuf;

use plumbing::command_line::ordinary::Ordinary;

/// The options, with their values as they were written.
#[derive(Debug, Default, clap::Args, Ordinary)]
pub struct LimitOptions {
    /// Memory limit, e.g. 256M, 1.5G, 50% (of what there is), max
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub(crate) memory: Option<String>,
    /// Swap limit, in addition to memory, e.g. 0, 512M, max
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub(crate) swap: Option<String>,
    /// Limit of processes and threads, e.g. 100, max
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) pids: Option<String>,
    /// CPU time limit, e.g. 1.5 (CPUs), 50% (of one CPU)
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) cpus: Option<String>,

    /// Memory above which processes are slowed down, not killed
    #[arg(long, value_name = "SIZE", help_heading = "More limits")]
    pub(crate) memory_high: Option<String>,
    /// Memory that is reclaimed only if nothing else can be
    #[arg(long, value_name = "SIZE", help_heading = "More limits")]
    pub(crate) memory_low: Option<String>,
    /// Memory that is never reclaimed
    #[arg(long, value_name = "SIZE", help_heading = "More limits")]
    pub(crate) memory_min: Option<String>,
    /// Limit of compressed swap
    #[arg(long, value_name = "SIZE", help_heading = "More limits")]
    pub(crate) memory_zswap_max: Option<String>,
    /// Kill all processes of the group when memory runs out, not one
    #[arg(long, help_heading = "More limits")]
    pub(crate) memory_oom_group: bool,
    /// Unused CPU time that may be used later, above the limit, e.g. 20ms
    #[arg(long, value_name = "TIME", help_heading = "More limits")]
    pub(crate) cpu_max_burst: Option<String>,
    /// Share of the CPUs, 1 to 10000; default: 100
    #[arg(long, value_name = "N", help_heading = "More limits")]
    pub(crate) cpu_weight: Option<String>,
    /// Share of the CPUs as a nice value, -20 to 19
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = "More limits")]
    pub(crate) cpu_weight_nice: Option<String>,
    /// Run only when no other group wants the CPU
    #[arg(long, help_heading = "More limits")]
    pub(crate) cpu_idle: bool,
    /// Minimum CPU speed to request while the group runs, e.g. 20% (utilization clamp)
    #[arg(long, value_name = "PERCENT", help_heading = "More limits")]
    pub(crate) cpu_uclamp_min: Option<String>,
    /// Maximum CPU speed to request while the group runs, e.g. 80%, max (utilization clamp)
    #[arg(long, value_name = "PERCENT", help_heading = "More limits")]
    pub(crate) cpu_uclamp_max: Option<String>,
    /// CPUs on which the group may run, e.g. 0-3,8
    #[arg(long, value_name = "LIST", help_heading = "More limits")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes that the group may use, e.g. 0
    #[arg(long, value_name = "LIST", help_heading = "More limits")]
    pub(crate) cpuset_mems: Option<String>,
    /// Partition type: root or isolated reserve the CPUs of --cpuset-cpus for the group, member does not
    #[arg(long, value_name = "WORD", help_heading = "More limits")]
    pub(crate) cpuset_cpus_partition: Option<String>,
    /// Limit the I/O rates of a disk, e.g. /dev/sda:rbps=10M,wiops=100; or of the disk that a path is on (repeatable)
    #[arg(long, value_name = "DEVICE:RATES", help_heading = "More limits")]
    pub(crate) io_max: Vec<String>,
    /// Share of the disks, 1 to 10000, or of one: DEVICE:N (repeatable)
    #[arg(long, value_name = "N", help_heading = "More limits")]
    pub(crate) io_weight: Vec<String>,
    /// Waiting time for a disk above which other groups are slowed down: DEVICE:10ms (repeatable)
    #[arg(long, value_name = "DEVICE:TIME", help_heading = "More limits")]
    pub(crate) io_latency: Vec<String>,
    /// Limit of huge pages of a size, e.g. 2M=64M (repeatable)
    #[arg(long, value_name = "SIZE=LIMIT", help_heading = "More limits")]
    pub(crate) hugetlb_max: Vec<String>,
    /// Handles and objects of an RDMA device: NAME:hca_handle=2,hca_object=max (repeatable)
    #[arg(long, value_name = "NAME:LIMITS", help_heading = "More limits")]
    pub(crate) rdma_max: Vec<String>,
    /// Limit of a resource of the misc controller: NAME=N (repeatable)
    #[arg(long, value_name = "NAME=N", help_heading = "More limits")]
    pub(crate) misc_max: Vec<String>,
    /// Limit of a region of device memory: REGION=SIZE (repeatable)
    #[arg(long, value_name = "REGION=SIZE", help_heading = "More limits")]
    pub(crate) dmem_max: Vec<String>,
    /// Take the limits from linux.resources of an OCI bundle, or of its config.json; other options come before it
    #[arg(long, value_name = "BUNDLE", help_heading = "More limits")]
    pub(crate) oci: Option<PathBuf>,
    /// Devices that the group may open and make: none, docker (what Docker allows), or all
    #[arg(long, value_name = "WORD", help_heading = "More limits")]
    pub(crate) devices: Option<String>,
    /// Allow a device: TYPE:MAJOR:MINOR[:rwm] such as c:1:3 or c:136:*:rw, or PATH[:rwm]; all others are denied (repeatable)
    #[allow(rustdoc::broken_intra_doc_links, reason = "the brackets are those of the option's syntax")]
    #[arg(long, value_name = "DEVICE", help_heading = "More limits")]
    pub(crate) device_allow: Vec<String>,
    /// Rate at which sockets of the group send, e.g. 10mbit, or 10mbit,burst=64K
    #[arg(long, value_name = "RATE", help_heading = "More limits")]
    pub(crate) net_rate: Option<String>,
    /// Write VALUE unchanged to FILE of the group, after the limits (repeatable)
    #[arg(long, value_name = "FILE=VALUE", help_heading = "More limits")]
    pub(crate) set: Vec<String>,
}

impl LimitOptions {
    /// Returns the given options with their values, one entry for each value, in the order of the table.
    pub(crate) fn given(&self) -> Vec<(&'static str, &str)> {
        fn one<'a>(option: &'static str, value: &'a Option<String>) -> (&'static str, Vec<&'a str>) {
            (option, value.as_deref().into_iter().collect())
        }
        fn many<'a>(option: &'static str, values: &'a [String]) -> (&'static str, Vec<&'a str>) {
            (option, values.iter().map(String::as_str).collect())
        }
        let switch = |option, given: bool| (option, if given { vec!["1"] } else { Vec::new() });
        let all = [
            one("memory", &self.memory),
            one("swap", &self.swap),
            one("memory-high", &self.memory_high),
            one("memory-low", &self.memory_low),
            one("memory-min", &self.memory_min),
            one("memory-zswap-max", &self.memory_zswap_max),
            switch("memory-oom-group", self.memory_oom_group),
            one("pids", &self.pids),
            one("cpus", &self.cpus),
            one("cpu-max-burst", &self.cpu_max_burst),
            one("cpu-weight", &self.cpu_weight),
            one("cpu-weight-nice", &self.cpu_weight_nice),
            switch("cpu-idle", self.cpu_idle),
            one("cpu-uclamp-min", &self.cpu_uclamp_min),
            one("cpu-uclamp-max", &self.cpu_uclamp_max),
            one("cpuset-cpus", &self.cpuset_cpus),
            one("cpuset-mems", &self.cpuset_mems),
            one("cpuset-cpus-partition", &self.cpuset_cpus_partition),
            many("io-max", &self.io_max),
            many("io-weight", &self.io_weight),
            many("io-latency", &self.io_latency),
            many("hugetlb-max", &self.hugetlb_max),
            many("rdma-max", &self.rdma_max),
            many("misc-max", &self.misc_max),
            many("dmem-max", &self.dmem_max),
            many("set", &self.set),
        ];
        all.into_iter().flat_map(|(option, values)| values.into_iter().map(move |value| (option, value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::limits::ROWS;

    #[test]
    fn each_row_of_the_table_has_an_option_and_each_option_a_row() {
        use clap::Args;
        let command = super::LimitOptions::augment_args(clap::Command::new("limits"));
        let options: Vec<_> = command.get_arguments().filter_map(|argument| argument.get_long()).collect();
        for row in ROWS {
            assert!(options.contains(&row.option), "--{} is not declared", row.option);
        }
        // These are no files.
        const OTHERS: [&str; 5] = ["set", "oci", "devices", "device-allow", "net-rate"];
        for option in options.iter().filter(|option| !OTHERS.contains(*option)) {
            assert!(ROWS.iter().any(|row| row.option == *option), "--{option} has no row");
        }
    }
}
