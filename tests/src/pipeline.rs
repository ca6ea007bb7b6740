//! Rows about containers that several tools make together.

pub mod all_or_nothing;
pub mod engines;
pub mod foreign_holds;
pub mod guardians;
pub mod hold;
pub mod process_count;
pub mod recipes;
pub mod records;
pub mod shared_holds;

use crate::harness::row::Row;

/// The topics, in the order in which they run.
pub const TOPICS: &[&[Row]] = &[
    recipes::ROWS,
    records::ROWS,
    hold::ROWS,
    all_or_nothing::ROWS,
    guardians::ROWS,
    foreign_holds::ROWS,
    shared_holds::ROWS,
    process_count::ROWS,
];

/// Topics that need the host, because they start the engines that are installed there.
pub const HOST_TOPICS: &[&[Row]] = &[engines::ROWS];
