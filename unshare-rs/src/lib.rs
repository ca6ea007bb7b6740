//! `unshare-rs`: create namespaces, and run a command in them or hold them open for a pipeline. `unshare(2)`.
//!
//! Start reading at `plan.rs`: it lists the steps in the order that the kernel requires.
#![forbid(unsafe_code)]

pub mod manual;
mod options;
pub mod plan;

mod accounts;
mod binfmt;
mod caller;
mod clock_offsets;
mod command;
mod credentials;
mod detached;
mod first_process;
mod fresh_proc;
mod hold;
mod host_name;
mod id_map;
mod init;
mod map_helper;
mod map_refusal;
mod mapping;
mod namespaces;
mod new_root;
mod old_namespaces;
mod persist;
mod proc_status;
mod propagation;
mod reaper;
mod refusal;
mod request;
mod security_module;
mod single_ids;
mod subid;
mod values;

pub use options::command;
