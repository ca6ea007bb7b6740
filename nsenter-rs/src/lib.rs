//! `nsenter-rs`: enters the namespaces of a process or of a container record, and finds, lists and inspects containers.
//! `setns(2)`.
//!
//! Start reading at `plan.rs`: one function for each way to work. The steps of entering are in `enter/plan.rs`.
#![forbid(unsafe_code)]

pub mod manual;
pub mod options;
pub mod plan;

mod attached_values;
mod copy;
mod enter;
pub(crate) use plumbing::find;
mod inspect;
pub mod list;
mod name_servers;
mod request;
mod stopped;
mod why;

pub use options::command;
