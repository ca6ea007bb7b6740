//! A read-only view of our executable: a clone of the mount that it lies on, attached nowhere. `open_tree(2)`.
//!
//! That a mount is read-only can be undone by who has the right to change mounts, but only as long as the mount belongs
//! to a mount namespace. A detached one belongs to none from the moment on in which the last descriptor of its tree is
//! closed, as execveat(2) does with ours: what keeps it then is the executable file of a process, and the kernel refuses
//! to change, clone or attach it (EINVAL), whoever asks.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::thread::{CapabilitySet, capabilities};

use super::OWN_FILE;
use crate::Fault;
use crate::kernel::{call, look, mount_setattr};

const GOAL: &str = "make a read-only view of our executable";

/// Whether we run from a view: nothing else that is executed is the root of a mount which is attached nowhere.
pub(super) fn is_view(path: &Path) -> Result<bool, Fault> {
    if path != Path::new("/") {
        return Ok(false);
    }
    let on = look("look at our own executable", format!("statfs({OWN_FILE:?})"), || statvfs(OWN_FILE))?;
    Ok(on.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Makes one; `None` where our rights or this kernel do not suffice, for a copy does as well.
pub(super) fn open() -> Result<Option<OwnedFd>, Fault> {
    if !capabilities(None).is_ok_and(|held| held.effective.contains(CapabilitySet::SYS_ADMIN)) {
        return Ok(None);
    }
    // Before Linux 5.12, or on a mount that may not be cloned.
    Ok(clone_of_own_mount().ok())
}

fn clone_of_own_mount() -> Result<OwnedFd, Fault> {
    let text = format!("open_tree(AT_FDCWD, {OWN_FILE:?}, OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)");
    let tree =
        call(GOAL, text, "our executable, on a mount of its own that is attached nowhere; open_tree(2)", || {
            open_tree(rustix::fs::CWD, OWN_FILE, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
        })?;
    let text = "mount_setattr(tree, \"\", AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_RDONLY})";
    let why = "nobody can undo it once we run from it: the mount belongs to no namespace then; mount_setattr(2)";
    call(GOAL, text, why, || mount_setattr(&tree, false, libc::MOUNT_ATTR_RDONLY, 0, 0))?;
    Ok(tree)
}
