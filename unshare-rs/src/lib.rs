//! `unshare-rs`: create namespaces, and run a command in them or hold them open for a pipeline. `unshare(2)`.
//!
//! Start reading at `plan.rs`: it lists the steps in the order in which the kernel wants them.
#![forbid(unsafe_code)]

pub mod options;
pub mod plan;

mod first_process;
mod fresh_proc;
mod hold;
mod host_name;
mod id_map;
mod init;
mod propagation;
mod refusal;

pub use options::command;
