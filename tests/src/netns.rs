//! Rows about netns-rs.

pub mod attacks;
pub mod change;
pub mod cni;
pub mod connect;
pub mod connection;
pub mod disconnect;
pub mod doctor;
pub mod fence;
pub mod ip_netns;
pub mod isolation;
pub mod map;
pub mod moved;
pub mod name_servers;
pub mod pasta;
pub mod publish;
pub mod rate;
pub mod relay;
pub mod stacked;
pub mod stopped;
pub mod top;

use crate::harness::row::Row;

/// The topics, in the order in which they run.
pub const TOPICS: &[&[Row]] = &[
    attacks::ROWS,
    fence::ROWS,
    isolation::ROWS,
    connection::ROWS,
    ip_netns::ROWS,
    publish::ROWS,
    connect::ROWS,
    stacked::ROWS,
    moved::ROWS,
    name_servers::ROWS,
    disconnect::ROWS,
    rate::ROWS,
    change::ROWS,
    cni::ROWS,
    relay::ROWS,
    pasta::ROWS,
    map::ROWS,
    doctor::ROWS,
    stopped::ROWS,
    top::ROWS,
];
