//! What connects the five tools: records, narration, error texts, identity by pidfd, guardians, confinement of a
//! command, cgroups, and the few unsafe wrappers. A mechanism that only one tool needs is a file in that tool.
//!
//! Invariants: parsing does no I/O; every state-changing kernel call goes through [`kernel::call`]; `unsafe` is only in
//! `kernel.rs`, its parts and `startup.rs`; everything is single-threaded, as `setns(2)` and `unshare(2)` demand.

pub mod assembly;
pub mod chain;
pub mod closing;
pub mod columns;
pub mod environment;
mod ephemeral;
pub mod errand;
pub mod examine;
pub mod exposure;
pub mod fault;
pub mod folding;
pub mod foreign_descriptor;
pub mod foreign_user;
pub mod gates;
pub mod group;
pub mod guardian;
pub mod hierarchy;
pub mod json;
pub mod kernel;
pub mod manual;
pub mod mark;
pub mod mountinfo;
pub mod name;
pub mod named_file;
pub mod namespace;
pub mod narrate;
pub mod options;
pub mod ordinary;
pub mod ownership;
pub mod pipe;
pub mod privilege;
pub mod procfs;
pub mod record;
mod record_in;
pub mod record_out;
pub mod regular;
pub mod sealed;
pub mod seccomp;
pub mod selinux;
pub mod sensitive;
pub mod session;
pub mod startup;
pub mod status;
pub mod target;
pub mod text;
pub mod trial;
pub mod units;
pub mod usage;

// Lets the derive of `Ordinary` name this crate in the same way inside and outside of it.
extern crate self as plumbing;

pub use fault::Fault;
pub use status::Status;
