//! The mounts of our namespace, from /proc/self/mountinfo: proc_pid_mountinfo(5).

use std::fs;

/// One mount.
pub struct Mount {
    /// Where it is.
    pub point: String,
    /// The type of its file system, such as `cgroup2`.
    pub kind: String,
}

/// All of them, in the kernel's order.
pub fn mounts() -> Vec<Mount> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("/proc/self/mountinfo");
    table.lines().filter_map(Mount::parse).collect()
}

/// Those of one type.
pub fn mounts_of(kind: &str) -> Vec<Mount> {
    mounts().into_iter().filter(|mount| mount.kind == kind).collect()
}

impl Mount {
    /// Reads `36 35 98:0 /root /point options tags… - type source options`.
    fn parse(line: &str) -> Option<Self> {
        let (place, source) = line.split_once(" - ")?;
        let kind = source.split(' ').next()?.to_owned();
        Some(Self { point: place.split(' ').nth(4)?.to_owned(), kind })
    }
}
