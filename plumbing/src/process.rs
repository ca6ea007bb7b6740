//! Processes: the one that runs, the one that a record names, and what is executed next.

pub mod accounts;
pub mod chain;
pub mod closing;
pub mod console;
pub mod environment;
pub mod errand;
pub mod examine;
pub mod exposure;
pub mod foreign_descriptor;
pub mod foreign_user;
pub mod forward;
pub mod inherited;
pub mod kernel_text;
pub mod missing_proc;
pub mod mount_tree;
pub mod mountinfo;
pub mod namespace;
pub mod namespace_root;
pub mod nsid;
pub mod pid_file;
pub mod pid_namespaces;
pub mod procfs;
pub(crate) mod removed_directory;
pub mod resolv_conf;
pub mod resolve;
pub mod sealed;
pub mod session;
pub mod socket_message;
pub mod socket_table;
pub mod startup;
pub mod status;
pub mod target;
mod thread;
pub mod timed_reads;
pub mod trail;

pub use plumbing_kernel::trial;
