//! What of /proc and /sys is hidden or read-only: Docker's list, since these files speak for the whole machine.
//! `proc(5)`, `sysfs(5)`.
//!
//! A mask is the host's /dev/null or an empty read-only directory, never a file of the root: a root that makes its
//! own /dev/null a link would turn a mask into a mount of its choice (CVE-2025-31133).

use crate::entry::{Absent, Attributes, Entry, What};
use crate::facts::Facts;

/// Nothing of these is seen.
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

/// Nothing of these is changed.
pub const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The list. It comes after all mounts, since each of them works on what is mounted there.
pub(crate) fn entries(facts: &Facts) -> Vec<Entry> {
    let masked = |path: String| {
        Entry::new(path, What::Mask(Absent::PassOver), "it tells or changes what is the whole machine's")
    };
    let throttled = facts.throttled.iter().map(|cpu| format!("/sys/devices/system/cpu/{cpu}/thermal_throttle"));
    let mut list: Vec<_> = MASKED.map(str::to_owned).into_iter().chain(throttled).map(masked).collect();
    let what = What::Restrict(Attributes::MOUNT_ATTR_RDONLY, Absent::PassOver);
    list.extend(
        READ_ONLY.map(|path| Entry::new(path, what.clone(), "settings of the whole machine are not to change")),
    );
    list
}
