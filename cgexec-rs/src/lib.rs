//! To be filled.
#![forbid(unsafe_code)]

pub mod options;
pub mod plan;

pub use options::command;
