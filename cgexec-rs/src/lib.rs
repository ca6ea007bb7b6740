//! `cgexec-rs`: limits for a command or a container, with control groups; `cgroups(7)`.
//!
//! Start reading at [`plan`]: it parses argv, and its `apply` lists the steps. Each other module is one mechanism.
#![forbid(unsafe_code)]

mod assembler;
mod cgroup_namespace;
mod device;
mod device_rules;
mod effective;
mod ending;
mod ephemeral;
mod event_files;
mod events;
mod exclusions;
mod existing;
mod groups;
mod kept;
mod leaf;
mod leftovers;
mod libcgroup;
mod limit_options;
mod limit_set;
mod limits;
mod listing;
pub mod manual;
mod membership;
mod memory;
mod net_rate;
mod node_files;
mod oci;
mod oom_guard;
pub mod options;
mod parent;
mod place;
pub mod plan;
mod pressure;
mod programs;
mod refusal;
mod removal;
mod report;
mod request;
mod setting;
mod show;
mod sites;
mod subject;
mod supervise;
mod systemd;
mod top;
mod value;
mod verbs;
mod victims;
mod view_options;
mod views;
mod walk;
mod watched;
mod why;

pub use options::command;
