//! Changing the root: plain `chroot(2)`, or a container's root with its own mounts (`pivot_root(2)`) and few privileges.
//!
//! Start reading at `plan.rs`. The mounts are data: `std_mounts.rs` and `host_root.rs` compute the list, `asked.rs` adds
//! the mounts of the options, `oci.rs` those of a bundle, `tree.rs` applies the list in order, and `in_root.rs` ensures
//! that no path inside a foreign root leads out of that root. `audit.rs` does the opposite: from inside a container, it
//! tests whether this holds.
#![forbid(unsafe_code)]

mod asked;
mod attach;
mod audit;
mod built;
mod confine;
mod confinement;
mod cover;
pub mod devices;
mod dry_run_tree;
mod entry;
mod explain;
mod facts;
mod form;
mod held;
mod host_root;
mod identity;
mod idmap;
mod in_root;
mod made;
pub mod manual;
pub mod masks;
mod oci;
mod options;
mod overlay;
pub mod plan;
mod reachable;
mod remount;
mod resolve;
mod root;
mod root_options;
mod std_mounts;
mod switch;

mod tree;
mod views;

pub use options::command;
