//! Going on from a read-only view of our executable: a clone of the mount that it lies on, attached nowhere.
//! `open_tree(2)`.
//!
//! That a mount is read-only can be undone by who has the right to change mounts, but only as long as the mount belongs
//! to a mount namespace. A detached one belongs to none from the moment on in which the last descriptor of its tree is
//! closed: what keeps it then is the executable file of a process, and the kernel refuses to change, clone or attach it
//! (EINVAL), whoever asks.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::thread::CapabilitySet;

use super::OWN_FILE;
use crate::Fault;
use crate::fault::IntoErrno;
use crate::kernel::{call, mount_setattr, run_from};
use crate::privilege::holds;
use crate::target::stat_field;

/// Whether we have gone on from one already: of that, which is attached nowhere, there can be no other.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

const GOAL: &str = "go on from a read-only view of our executable";

/// Goes on from one; `false` where our rights or this kernel do not suffice, for a copy does as well.
pub(super) fn take_place() -> bool {
    if IS_TAKEN.load(Ordering::Relaxed) {
        return true;
    }
    // An error: Linux before 5.12, or without CONFIG_CHECKPOINT_RESTORE, or a mount that may not be cloned.
    let is_taken = holds(CapabilitySet::SYS_ADMIN) == Some(true) && clone_of_own_mount().and_then(go_on_from).is_ok();
    IS_TAKEN.store(is_taken, Ordering::Relaxed);
    is_taken
}

fn clone_of_own_mount() -> Result<OwnedFd, Fault> {
    let text = format!("open_tree(AT_FDCWD, {OWN_FILE:?}, OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)");
    let tree =
        call(GOAL, text, "our executable, on a mount of its own that is attached nowhere; open_tree(2)", || {
            open_tree(rustix::fs::CWD, OWN_FILE, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
        })?;
    let text = "mount_setattr(tree, \"\", AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_RDONLY})";
    let why = "nobody can undo it once only we have it: it belongs to no namespace then; mount_setattr(2)";
    call(GOAL, text, why, || mount_setattr(&tree, false, libc::MOUNT_ATTR_RDONLY, 0, 0))?;
    Ok(tree)
}

/// To execute the view would do the same, but a program's start is what takes the time: to find out what the processor
/// can do, the C library asks it things that a hypervisor answers.
fn go_on_from(tree: OwnedFd) -> Result<(), Fault> {
    let why = "what the container will see as our executable cannot be written; PR_SET_MM(2const)";
    call(GOAL, "prctl(PR_SET_MM, PR_SET_MM_MAP, {exe_fd=view})", why, || {
        let view = File::open(format!("/proc/self/fd/{}", tree.as_raw_fd())).map_err(IntoErrno::into_errno)?;
        let stat = std::fs::read_to_string("/proc/self/stat").map_err(IntoErrno::into_errno)?;
        run_from(&view, |field| stat_field(&stat, field))
    })
}
