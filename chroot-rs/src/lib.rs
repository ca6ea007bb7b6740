//! Changing the root: plain `chroot(2)`, or a container's root with its own mounts (`pivot_root(2)`) and few privileges.
//!
//! Where to start: `plan.rs` reads as the lesson. The mounts are data: `std_mounts.rs` and `host_root.rs` compute the
//! list, `asked.rs` adds what the options ask for, `oci.rs` what a bundle does, `tree.rs` applies it in order, `in_root.rs`
//! sees to it that no path of a foreign root leads out of it. `audit.rs` is the other side: it tries, from inside,
//! whether that holds.
#![forbid(unsafe_code)]

mod asked;
mod attach;
mod audit;
mod built;
mod confine;
mod confinement;
mod cover;
pub mod devices;
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
mod told;
mod tree;
mod views;

pub use options::command;
