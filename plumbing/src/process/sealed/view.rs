//! Continuing from a read-only view of our executable: a clone of the mount on which it is, attached nowhere.
//! `open_tree(2)`.
//!
//! A process with the right to change mounts can make a read-only mount writable again, but only as long as the mount
//! belongs to a mount namespace. A detached mount belongs to none from the moment when the last descriptor of its tree
//! is closed: then only the executable file of a process keeps it, and the kernel refuses to change, clone or attach it
//! (EINVAL), for every process.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::thread::CapabilitySet;

use super::OWN_FILE;
use crate::Fault;
use crate::confinement::privilege::capabilities::holds;
use crate::fault::IntoErrno;
use crate::kernel::{call, mount_setattr, run_from};
use crate::process::procfs;
use crate::process::target::stat_field;

/// Whether we already run from a view: there can be no view of a mount that is attached nowhere.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

const GOAL: &str = "continue from an executable that cannot be written";

/// Continues from a view; `false` if our rights or this kernel do not suffice, because then a copy serves as well.
pub(super) fn take_place() -> bool {
    if IS_TAKEN.load(Ordering::Relaxed) {
        return true;
    }
    // An error: Linux before 5.12, or without CONFIG_CHECKPOINT_RESTORE, or a mount that may not be cloned.
    let is_taken = holds(CapabilitySet::SYS_ADMIN) == Some(true)
        && clone_of_own_mount().and_then(|tree| go_on_from(&tree, "view")).is_ok();
    IS_TAKEN.store(is_taken, Ordering::Relaxed);
    is_taken
}

/// Continues from a file with the contents of our executable; `false` if our rights or this kernel do not suffice, because
/// then it can be executed.
pub(super) fn become_file(file: &OwnedFd, name: &str) -> bool {
    holds(CapabilitySet::SYS_ADMIN) == Some(true) && go_on_from(file, name).is_ok()
}

fn clone_of_own_mount() -> Result<OwnedFd, Fault> {
    let text = format!("open_tree(AT_FDCWD, {OWN_FILE:?}, OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)");
    let tree =
        call(GOAL, text, "our executable on a mount of its own, which is attached nowhere; open_tree(2)", || {
            open_tree(rustix::fs::CWD, OWN_FILE, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
        })?;
    let text = "mount_setattr(tree, \"\", AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_RDONLY})";
    let why = "it cannot be undone once only we have the mount: then it belongs to no namespace; mount_setattr(2)";
    call(GOAL, text, why, || mount_setattr(&tree, false, libc::MOUNT_ATTR_RDONLY, 0, 0))?;
    Ok(tree)
}

/// Makes the file our executable. Executing it would have the same result, but the start of a program takes most of the
/// time: to determine the features of the processor, the C library executes instructions that a hypervisor has to
/// emulate.
fn go_on_from(file: &OwnedFd, name: &str) -> Result<(), Fault> {
    let why = "the file that the container will see as our executable cannot be written; PR_SET_MM(2const)";
    call(GOAL, format!("prctl(PR_SET_MM, PR_SET_MM_MAP, {{exe_fd={name}}})"), why, || {
        let view = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(IntoErrno::into_errno)?;
        let stat = procfs::read_short("self/stat").map_err(IntoErrno::into_errno)?;
        run_from(&view, |field| stat_field(&stat, field))
    })
}
