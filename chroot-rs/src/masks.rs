//! The files of /proc and /sys that are hidden or read-only: Docker's list, because they concern the whole machine.
//! `proc(5)`, `sysfs(5)`.
//!
//! A mask is the host's /dev/null or an empty read-only directory, never a file of the root: if the root's own /dev/null
//! were a link, the root could choose what is mounted over the target (CVE-2025-31133).

use crate::entry::{Absent, Attributes, Entry, What};
use crate::facts::Facts;

/// The hidden files and directories.
pub const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// The read-only files and directories.
pub const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Returns the list. It comes after all mounts, because each mask is put on what is mounted at its target.
pub(crate) fn entries(facts: &Facts) -> Vec<Entry> {
    let masked =
        |path: String| Entry::new(path, What::Mask(Absent::PassOver), "it shows or controls the whole machine");
    let throttled = facts.throttled.iter().map(|cpu| format!("/sys/devices/system/cpu/{cpu}/thermal_throttle"));
    let mut list: Vec<_> = MASKED.map(str::to_owned).into_iter().chain(throttled).map(masked).collect();
    let what = What::Restrict(Attributes::MOUNT_ATTR_RDONLY, Absent::PassOver);
    list.extend(
        READ_ONLY
            .map(|path| Entry::new(path, what.clone(), "the command must not change settings of the whole machine")),
    );
    list
}
