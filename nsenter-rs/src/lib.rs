//! `nsenter-rs`: enters the namespaces of a process or of a container record, and finds, lists and inspects containers.
//! `setns(2)`.
//!
//! Start reading at `plan.rs`, which chooses the task; the steps of entering are in `entering.rs` and `enter.rs`.
#![forbid(unsafe_code)]

pub mod manual;
pub mod options;
pub mod plan;

mod address;
mod attached;
mod btf;
mod command;
mod containers;
mod context;
mod credentials;
mod directory;
mod enter;
mod entering;
mod entrance;
mod environ;
mod filters;
mod find;
mod host;
mod inspect;
mod like_target;
pub mod list;
mod membership;
mod namespace_id;
mod outside;
mod owners;
mod recorded;
mod securebits;
mod standard_input;
mod terminal;

pub use options::command;
