//! Rows about cgexec-rs.

pub mod foreign_groups;

use crate::harness::row::Row;

/// The topics, in the order in which they run.
pub const TOPICS: &[&[Row]] = &[foreign_groups::ROWS];
