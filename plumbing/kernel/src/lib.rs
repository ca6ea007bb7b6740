//! The kernel calls that no library wraps, each as a function that is safe to call: all unsafe code of the project.
//!
//! Nothing here narrates, and an error is an errno: `plumbing::kernel` makes these calls for the tools, with the text of
//! the narration and of the error. The surprise: what makes many of them safe is that our processes have one thread.

pub use bpf::{Instruction, iterate, link_task_iterator, load_iterator_program};
pub use children::{Cloned, Parent, clone, clone3};
pub use descriptors::{adopt, close, close_on_exec, close_range, is_open, place};
pub use executable::run_from;
pub use group_programs::{
    Hook, attach_group_program, detach_group_program, device_programs, group_programs, load_group_program,
    make_numbers_map, map_by_id, program_by_id, program_info, read_numbers,
};
pub use keyring::{has_session_keyring, join_new_session_keyring};
pub use landlock::{
    landlock_add_path, landlock_add_port, landlock_create_ruleset, landlock_restrict_self, landlock_version,
};
pub use memory::forget_text;
pub use mounts::{mount_idmap, mount_setattr};
pub use nsfs::{namespace_by_id, namespace_id, namespace_owner, socket_namespace};
pub use pty::{give_up_terminal, signal_foreground};
pub use scheduling::{Scheduling, ioprio_set, personality, sched_setattr};
pub use seccomp::set_seccomp_filter;
pub use signals::{block_every_signal, kill_by_number, reset_signals, set_disposition};
pub use socket_filter::set_socket_filter;
pub use socket_option::read_socket_option;
pub use startup::{Argv, arguments, auxiliary, environ, exit_now, forget_environment, keep_arguments};
pub use tracing::{seccomp_filter_of, seccomp_flags_of};
pub use trial::attempt;

mod bpf;
mod children;
mod descriptors;
mod executable;
mod group_programs;
mod keyring;
mod landlock;
mod memory;
mod mounts;
pub mod nsfs;
mod pty;
mod scheduling;
mod seccomp;
mod signals;
mod socket_filter;
mod socket_option;
mod startup;
mod tracing;
pub mod trial;
