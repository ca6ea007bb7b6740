//! `nsenter-rs`: enters the namespaces of a process or of a container record, and finds, lists and inspects containers.
//! `setns(2)`.
//!
//! Start reading at `plan.rs`, which chooses the task; the steps of entering are in `entering.rs` and `enter.rs`.
#![forbid(unsafe_code)]

pub mod manual;
pub mod options;
pub mod plan;

mod attached_values;
mod enter;
mod entering;
mod find;
mod inspect;
pub mod list;

pub use options::command;
