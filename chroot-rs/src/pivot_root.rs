//! `pivot_root(2)`: it moves the root mount itself, for every process of the mount namespace, so that the old root can be
//! unmounted.
//!
//! The surprise: with "." for both of its arguments, the old root is mounted on top of the new one, and no directory in
//! the new root is needed for it.

use std::path::Path;

use plumbing::kernel::call;
use plumbing::{Fault, narrate};
use rustix::mount::{UnmountFlags, unmount};

use crate::chroot::chdir_to_root;
use crate::in_root::InRoot;
use crate::mount_api::MOST_STACKED;
use crate::mount_id::mount_id;
use crate::refusal;

/// Makes `root` the root of every process of this mount namespace, and unmounts the old root with all its mounts.
pub(crate) fn pivot(root: &InRoot) -> Result<(), Fault> {
    let goal = "change the root";
    root.chdir(goal)?;
    let why = "the new root replaces the old one, which is mounted on top of it; pivot_root(2)";
    call(goal, "pivot_root(\".\", \".\")", why, || rustix::process::pivot_root(".", "."))
        .map_err(refusal::no_root_mount)?;
    unmount_old_root()?;
    chdir_to_root(goal)
}

/// Unmounts the old root, and other mounts over the new one first: the topmost is unmounted first.
fn unmount_old_root() -> Result<(), Fault> {
    const GOAL: &str = "unmount the old root";
    let why = "afterwards no path and no .. leads to the old root";
    for _ in 0..MOST_STACKED {
        call(GOAL, "umount2(\".\", MNT_DETACH)", why, || unmount(".", UnmountFlags::DETACH))?;
        // At the root, `..` leads to the topmost mount over it.
        if narrate::is_dry_run() || mount_id(Path::new("."))? == mount_id(Path::new(".."))? {
            return Ok(());
        }
    }
    Err(Fault::new(format!("cannot {GOAL}: more than {MOST_STACKED} mounts are on top of it")))
}
