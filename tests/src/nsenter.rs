//! Rows about nsenter-rs: entering, finding, inspecting and listing.

pub mod agreement;
pub mod attacks;
pub mod callers_session;
pub mod confinement_attacks;
pub mod console;
pub mod copy;
pub mod covered_mounts;
pub mod docker;
pub mod environ;
pub mod found;
pub mod fuse;
pub mod inspect;
pub mod inspect_held;
pub mod inspect_walls;
pub mod labels;
pub mod like;
pub mod list;
pub mod list_agreement;
pub mod list_limits;
pub mod options;
pub mod rights;
pub mod state_files;
pub mod state_limits;
pub mod stopped;
pub mod terminal;
pub mod threads;
pub mod tools;
pub mod why;

use crate::harness::row::Row;

/// The topics, in the order in which they run.
pub const TOPICS: &[&[Row]] = &[
    options::ROWS,
    attacks::ROWS,
    callers_session::ROWS,
    environ::ROWS,
    rights::ROWS,
    terminal::ROWS,
    like::ROWS,
    labels::ROWS,
    confinement_attacks::ROWS,
    found::ROWS,
    state_files::ROWS,
    state_limits::ROWS,
    threads::ROWS,
    docker::ROWS,
    inspect::ROWS,
    inspect_walls::ROWS,
    inspect_held::ROWS,
    list::ROWS,
    list_limits::ROWS,
    fuse::ROWS,
];

/// Topics that need the host, because they compare with the programs that are installed there or are many.
pub const HOST_TOPICS: &[&[Row]] = &[
    agreement::ROWS,
    list_agreement::ROWS,
    console::ROWS,
    covered_mounts::ROWS,
    tools::ROWS,
    copy::ROWS,
    stopped::ROWS,
    why::ROWS,
];
