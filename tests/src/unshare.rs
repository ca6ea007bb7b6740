//! Rows about unshare-rs.

pub mod agreement;
pub mod apparmor_policy;
pub mod detach;
pub mod die_with_parent;
pub mod explained;
pub mod init;
pub mod maps;
pub mod odd_subuid;
pub mod options;
pub mod refusals;
pub mod security_modules;
#[cfg(target_arch = "x86_64")]
pub mod traced;
pub mod without_clone3;

use crate::harness::row::Row;

/// The topics, in the order in which they run.
pub const TOPICS: &[&[Row]] = &[
    options::ROWS,
    maps::ROWS,
    init::ROWS,
    #[cfg(target_arch = "x86_64")]
    traced::ROWS,
    refusals::ROWS,
    explained::ROWS,
    without_clone3::ROWS,
    security_modules::ROWS,
];

/// Topics that need the host, because they compare with the programs that are installed there or are many.
pub const HOST_TOPICS: &[&[Row]] = &[agreement::ROWS, detach::ROWS, die_with_parent::ROWS, odd_subuid::ROWS];
