//! Changing the root: `chroot(2)` moves one process's idea of "/", `pivot_root(2)` moves the mount itself and lets go
//! of the old one.
//!
//! The surprise: a process with CAP_SYS_CHROOT and an open directory walks out of a chroot; after a pivot there is
//! nothing left to walk to.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use plumbing::kernel::{call, look, mount_setattr};
use plumbing::namespace::{Kind, KindSet};
use plumbing::{Fault, narrate};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{UnmountFlags, unmount};
use rustix::thread::CapabilitySet;

use crate::entry::Attributes;
use crate::in_root::InRoot;
use crate::{attach, explain, host_root};

/// What becomes the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A directory of the host.
    Directory(PathBuf),
    /// One made on the spot from the host's own programs.
    Host,
}

/// `chroot(2)`, as chroot(8) does it: nothing else changes, and the working directory follows unless told otherwise.
pub(crate) fn chroot(path: &Path, skip_chdir: bool) -> Result<(), Fault> {
    let goal = format!("change the root to {}", path.display());
    let why = "path names that begin with / begin there from now on; chroot(2)";
    call(&goal, format!("chroot({:?})", path.to_string_lossy()), why, || rustix::process::chroot(path))
        .map_err(|fault| explain::missing(fault, CapabilitySet::SYS_CHROOT))?;
    match skip_chdir || narrate::is_dry_run() {
        true => Ok(()),
        // Else the working directory would still be outside.
        false => look(&goal, "chdir(\"/\")", || rustix::process::chdir("/")),
    }
}

/// The root in a directory, to be looked into.
pub(crate) fn open(path: &Path) -> Result<InRoot, Fault> {
    Ok(InRoot::new(open_directory(path, &format!("open the new root {}", path.display()))?, false))
}

/// Goes into a mount namespace of our own, so that whatever happens, no mount of ours can reach the caller's.
pub(crate) fn leave_callers_mounts() -> Result<(), Fault> {
    let own = KindSet::from_iter([Kind::Mnt]);
    let why = "our mounts are to be seen by nobody else, and to end with us; mount_namespaces(7)";
    call("create a mount namespace", "unshare(CLONE_NEWNS)", why, || nix::sched::unshare(own.flags()))
        .map_err(explain::missing_admin)
}

/// Cuts every mount of this namespace off from others.
pub(crate) fn make_private() -> Result<(), Fault> {
    let top = open_directory(Path::new("/"), "open the root directory")?;
    let text = "mount_setattr(fd, \"\", AT_EMPTY_PATH|AT_RECURSIVE, {propagation=MS_PRIVATE})";
    let why = "else our mounts travel back to where this namespace was copied from; mount_namespaces(7)";
    call("cut our mounts off from the host's", text, why, || {
        mount_setattr(&top, true, 0, 0, MsFlags::MS_PRIVATE.bits())
    })
    .map_err(explain::no_root_mount)
}

/// Makes the root a mount of its own, and attaches it; it can be filled from now on.
pub(crate) fn attach(source: &Source) -> Result<InRoot, Fault> {
    let (mount, onto, shown) = match source {
        Source::Directory(path) => {
            let onto = open_directory(path, &format!("open the new root {}", path.display()))?;
            (clone_directory(path, &onto)?, onto, path.display().to_string())
        }
        Source::Host => {
            let why = "a root made on the spot, in memory; tmpfs(5)";
            let mount = attach::fresh("make a root from the host's programs", &host_root::filesystem(), why)?;
            // Over "/" it hides nothing yet: a process's root is the mount below, until it pivots.
            (mount, open_directory(Path::new("/"), "open the root directory")?, "/".to_owned())
        }
    };
    let why = "a tree takes mounts below it only once it is attached; move_mount(2)";
    attach::attach("attach the new root", mount.as_fd(), onto.as_fd(), &shown, why)?;
    match (narrate::is_dry_run(), source) {
        (true, Source::Directory(_)) => Ok(InRoot::new(onto, false)),
        _ => Ok(InRoot::new(mount, *source == Source::Host)),
    }
}

fn clone_directory(path: &Path, directory: &OwnedFd) -> Result<OwnedFd, Fault> {
    let goal = format!("make {} a mount of its own", path.display());
    let why = "pivot_root(2) wants a mount of its own; this one has all that is mounted below, too; open_tree(2)";
    let mount = attach::clone_of(&goal, directory.as_fd(), true, why)?;
    let why = "a device file in the root opens no device; mount_setattr(2)";
    attach::restrict(&goal, mount.as_fd(), true, Attributes::MOUNT_ATTR_NODEV, why)?;
    Ok(mount)
}

/// Makes it the root of every process of this mount namespace, and lets go of the old root with all its mounts.
pub(crate) fn pivot(root: &InRoot) -> Result<(), Fault> {
    let goal = "change the root";
    if !narrate::is_dry_run() {
        look(goal, "fchdir(root)", || rustix::process::fchdir(root.as_fd()))?;
    }
    let why = "the new root takes the old one's place, and the old one lies on top of it; pivot_root(2)";
    call(goal, "pivot_root(\".\", \".\")", why, || rustix::process::pivot_root(".", "."))
        .map_err(explain::no_root_mount)?;
    let why = "nothing of the old root can be reached any more, through no path and no ..";
    call("let go of the old root", "umount2(\".\", MNT_DETACH)", why, || unmount(".", UnmountFlags::DETACH))?;
    match narrate::is_dry_run() {
        true => Ok(()),
        false => look(goal, "chdir(\"/\")", || rustix::process::chdir("/")),
    }
}

fn open_directory(path: &Path, goal: &str) -> Result<OwnedFd, Fault> {
    look(goal, format!("openat(AT_FDCWD, {:?}, O_PATH|O_DIRECTORY)", path.to_string_lossy()), || {
        openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    })
}
