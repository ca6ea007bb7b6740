//! Rows about netns-rs.

pub mod attacks;
pub mod connect;
pub mod connection;
pub mod fence;
pub mod ip_netns;
pub mod publish;
pub mod rate;

use crate::harness::row::Row;

/// The topics, in the order in which they run.
pub const TOPICS: &[&[Row]] =
    &[attacks::ROWS, fence::ROWS, connection::ROWS, ip_netns::ROWS, publish::ROWS, connect::ROWS, rate::ROWS];
