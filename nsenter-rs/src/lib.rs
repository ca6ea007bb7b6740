//! `nsenter-rs`: enter the namespaces of a process or of a container record, and find containers. `setns(2)`.
//!
//! Start reading at `plan.rs`: it lists the steps in the order in which the kernel wants them.
#![forbid(unsafe_code)]

pub mod options;
pub mod plan;

mod command;
mod docker;
mod enter;
mod find;
mod membership;
mod standard_input;

pub use options::command;
