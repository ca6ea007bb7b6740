//! Changing the root: plain `chroot(2)`, or a container's root with its own mounts (`pivot_root(2)`) and few privileges.
//!
//! Start reading at `plan.rs`. The mounts are data: `std_mounts.rs` and `host_root.rs` compute the list,
//! `mount_options.rs` adds the mounts of the options, `oci.rs` those of a bundle, `populate.rs` applies the list in order,
//! and `in_root.rs` ensures that no path inside a foreign root leads out of that root. `audit.rs` does the opposite: from
//! inside a container, it tests whether this holds.
#![forbid(unsafe_code)]

mod accounts;
mod audit;
mod bundle_root;
mod capabilities;
mod cgroup_view;
mod chroot;
mod cleanup;
mod command;
mod confinement;
mod confinement_options;
mod console;
mod copy_up;
pub mod devices;
mod dry_run_tree;
mod entry;
mod facts;
mod host;
mod host_root;
mod identity;
mod idmap;
mod in_root;
mod keep_root;
mod landlock_options;
mod made;
pub mod manual;
mod mask;
pub mod masks;
mod mount_api;
mod mount_id;
mod mount_namespace;
mod mount_options;
mod name_servers;
mod oci;
mod options;
mod overlay;
mod overlay_refusal;
mod own_user;
mod parameters;
mod peers;
mod pivot_root;
pub mod plan;
mod populate;
mod reachable;
mod record;
mod refusal;
mod remount;
mod removal;
mod request;
mod root;
mod root_options;
mod setns;
mod source;
mod specification;
mod std_mounts;
mod std_places;
mod switch_root;
mod sysctl;
mod working_directory;
mod writable_copy;

pub use options::command;
