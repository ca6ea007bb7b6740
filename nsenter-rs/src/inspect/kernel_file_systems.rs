//! File systems of the kernel, and which of them are not in a container; `filesystems(5)`.
//!
//! The surprise: some hold no files at all, but to write to them changes the host.

/// The kernel's own file systems that are not in a container, and what writing there does.
pub(super) const KERNEL: &[(&str, &str)] = &[
    ("debugfs", "the kernel's inside, made for debugging and not for walls"),
    ("tracefs", "traces every process of the host"),
    ("securityfs", "sets the host's security modules"),
    ("efivarfs", "sets the host's firmware"),
    ("configfs", "sets the host's kernel drivers"),
    ("binfmt_misc", "names programs that run for the host's files"),
    ("bpf", "holds programs of the host's kernel"),
];
/// Told elsewhere, or the same everywhere.
pub(super) const NO_FILES: &[&str] = &[
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "devpts",
    "mqueue",
    "hugetlbfs",
    "selinuxfs",
    "fusectl",
    "pstore",
    "debugfs",
    "tracefs",
    "securityfs",
    "efivarfs",
    "configfs",
    "binfmt_misc",
    "bpf",
    "devtmpfs",
];
