//! What connects the five tools: records, narration, error texts, identity by pidfd, guardians, confinement of a
//! command, cgroups. A mechanism that only one tool needs is a file in that tool.
//!
//! Invariants: parsing does no I/O; every state-changing kernel call goes through [`kernel::call`]; `unsafe` is
//! only in the crate `plumbing/kernel`; everything is single-threaded, as `setns(2)` and `unshare(2)` demand.

#![forbid(unsafe_code)]

pub mod cgroup;
pub mod command_line;
pub mod confinement;
pub mod fault;
pub mod find;
pub mod json;
pub mod kernel;
pub mod narrate;
pub mod pipeline;
pub mod process;
pub mod text;

// Lets the derive of `Ordinary` name this crate in the same way inside and outside of it.
extern crate self as plumbing;

pub use fault::Fault;
pub use process::status::Status;
