//! Entering a process or a container: a file for each kernel mechanism. `setns(2)`, `nsenter(1)`.
//!
//! Everything that is looked up outside is opened before the first namespace is joined, because afterwards each path
//! means something else.

mod btf;
pub(crate) mod chroot_chdir;
pub(crate) mod command;
pub(crate) mod credentials;
pub(crate) mod environ;
pub(crate) mod fork;
mod host_program;
pub(crate) mod join_cgroup;
pub(crate) mod like_target;
mod namespace_id;
pub(crate) mod pid_or_name;
mod pty;
pub(crate) mod record_environ;
mod seccomp_filters;
mod securebits;
mod security_label;
pub(crate) mod setns;
pub(crate) mod stdin;
mod userns_owners;
mod wait;
