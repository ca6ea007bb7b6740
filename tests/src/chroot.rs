//! Rows about chroot-rs: roots, mounts, confinement, bundles and the audit.

pub mod agreement;
pub mod as_written;
pub mod audit;
pub mod bundles;
pub mod copy_up;
pub mod engines;
pub mod hostile_roots;
pub mod keep_root;
pub mod landlock;
pub mod landlock_links;
pub mod landlock_signal;
pub mod landlock_sockets;
pub mod made;
pub mod mounts;
pub mod oci;
pub mod oci_process;
pub mod oci_runtime;
pub mod oci_words;
pub mod pivot;
pub mod planted;
pub mod privilege;
pub mod promises;
pub mod read_only_roots;
pub mod seccomp;
pub mod start;
pub mod warnings;

use crate::harness::row::Row;

/// The topics, in the order in which they run.
pub const TOPICS: &[&[Row]] = &[
    seccomp::ROWS,
    as_written::ROWS,
    landlock::ROWS,
    landlock_links::ROWS,
    landlock_signal::ROWS,
    landlock_sockets::ROWS,
    keep_root::ROWS,
    privilege::ROWS,
    oci::ROWS,
    oci_process::ROWS,
    oci_runtime::ROWS,
    oci_words::ROWS,
    audit::ROWS,
];

/// Topics that need the host, because they compare with the programs that are installed there or are many.
pub const HOST_TOPICS: &[&[Row]] = &[
    mounts::ROWS,
    agreement::ROWS,
    pivot::ROWS,
    planted::ROWS,
    read_only_roots::ROWS,
    hostile_roots::ROWS,
    promises::ROWS,
    bundles::ROWS,
    copy_up::ROWS,
    engines::ROWS,
    start::ROWS,
    warnings::ROWS,
    made::ROWS,
];
