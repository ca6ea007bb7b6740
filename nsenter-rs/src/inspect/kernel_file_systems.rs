//! File systems of the kernel, and which of them containers usually do not have; `filesystems(5)`.
//!
//! The surprise: some store no files at all, but writing to them changes the host.

/// The kernel's file systems that containers usually do not have, and what access to them gives.
pub(super) const KERNEL: &[(&str, &str)] = &[
    ("debugfs", "exposes internals of the host's kernel; it was made for debugging, without regard to isolation"),
    ("tracefs", "traces every process of the host"),
    ("securityfs", "configures the host's security modules"),
    ("efivarfs", "changes the settings of the host's firmware"),
    ("configfs", "configures the host's kernel drivers"),
    ("binfmt_misc", "names programs that run when files are executed on the host"),
    ("bpf", "holds BPF programs of the host's kernel"),
];
/// File systems that other findings report, or that are the same everywhere.
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
