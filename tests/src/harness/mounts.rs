//! The mounts of our namespace, read from /proc/self/mountinfo: proc_pid_mountinfo(5).

use std::fs;

/// One mount.
pub struct Mount {
    /// The mount point.
    pub point: String,
    /// The type of its file system, such as `cgroup2`.
    pub kind: String,
}

/// Returns all mounts, in the kernel's order.
pub fn mounts() -> Vec<Mount> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("/proc/self/mountinfo");
    table.lines().filter_map(Mount::parse).collect()
}

/// Returns the mounts of one type.
pub fn mounts_of(kind: &str) -> Vec<Mount> {
    mounts().into_iter().filter(|mount| mount.kind == kind).collect()
}

impl Mount {
    /// Parses `36 35 98:0 /root /point options tags… - type source options`.
    fn parse(line: &str) -> Option<Self> {
        let (place, source) = line.split_once(" - ")?;
        let kind = source.split(' ').next()?.to_owned();
        Some(Self { point: place.split(' ').nth(4)?.to_owned(), kind })
    }
}
