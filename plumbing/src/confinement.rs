//! What reduces the rights of a command: ids, capabilities, limits, filters, Landlock, security modules.

pub mod command_label;
pub mod empty_root;
pub mod privilege;
pub mod seccomp;
pub mod security_label;
pub mod selinux;
pub mod sensitive;
