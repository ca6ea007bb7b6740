//! An empty root directory for a process of ours that containers may see (the init of `--init`, a relay), in a mount
//! namespace that contains nothing else. `pivot_root(2)`.
//!
//! A command may change its own root, but such a process keeps the root directory in which it was started, that of the
//! host, and its /proc/PID/root and /proc/PID/ns/mnt lead there. The surprise: an empty *directory* would not suffice. From
//! /proc/1/root, `..` leads to the parent directory, because only the caller's own root stops it. So the empty root
//! must be the root of a mount.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create, fsmount, fsopen,
    move_mount, unmount,
};
use rustix::thread::CapabilitySet;

use crate::confinement::privilege::Holding;
use crate::kernel::{call, own};
use crate::{Fault, narrate};

const GOAL: &str = "enter an empty root directory";

/// Changes to an empty root directory; `who` names this process in texts. Without CAP_SYS_ADMIN we can make no mount, but
/// then the command can make no container either.
pub fn enter(who: &str, holding: Holding) -> Result<(), Fault> {
    if !holding.has(CapabilitySet::SYS_ADMIN) {
        return Ok(());
    }
    match leave_root() {
        // A security module, or the filter of a container that we run in. It prevents the command from making a
        // container, too.
        Err(fault) if matches!(fault.errno(), Some(Errno::EPERM | Errno::EACCES | Errno::ENOSYS)) => {
            narrate::remark(format_args!("{who} keeps its root directory: {fault}"));
            Ok(())
        }
        left => left,
    }
}

fn leave_root() -> Result<(), Fault> {
    // First: making a file system takes CAP_SYS_ADMIN over the mount namespace, which may not be our user namespace's.
    let why = "its mounts are removed for this process only; mount_namespaces(7)";
    call(GOAL, "unshare(CLONE_NEWNS)", why, || nix::sched::unshare(CloneFlags::CLONE_NEWNS))?;
    let tree = empty_mount()?;
    if !narrate::is_dry_run() {
        own(GOAL, "fchdir(tree)", || rustix::process::fchdir(&tree))?;
    }
    let (attached, left) = match make_private() {
        Ok(()) => (true, attach(&tree).and_then(|()| pivot())),
        refused => (false, refused),
    };
    match left {
        // The root directory is not the root of a mount (after chroot(2)), or the mount cannot be moved (the kernel's
        // initramfs).
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => {
            if attached {
                detach("a mount without a parent: .. cannot leave it")?;
            }
            let why = "the root directory of a detached mount; chroot(2)";
            call(GOAL, "chroot(\".\")", why, || rustix::process::chroot("."))
        }
        left => left,
    }
}

fn make_private() -> Result<(), Fault> {
    let why = "otherwise our mounts would propagate to the host";
    call(GOAL, "mount(NULL, \"/\", NULL, MS_REC|MS_PRIVATE, NULL)", why, || {
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
    })
}

/// Returns a detached, read-only mount of an empty file system.
fn empty_mount() -> Result<OwnedFd, Fault> {
    let context = call(GOAL, "fsopen(\"tmpfs\", FSOPEN_CLOEXEC)", "an empty file system; tmpfs(5)", || {
        fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)
    })?;
    let text = "fsconfig(fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0)";
    call(GOAL, text, "creates the superblock; fsconfig(2)", || fsconfig_create(context.as_fd()))?;
    let (names, flags) = (
        "MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC",
        MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    );
    call(GOAL, format!("fsmount(fd, FSMOUNT_CLOEXEC, {names})"), "a mount of this file system, still detached", || {
        fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
    })
}

fn attach(tree: &OwnedFd) -> Result<(), Fault> {
    let why = "pivot_root(2) accepts only an attached mount; move_mount(2)";
    let text = "move_mount(fd, \"\", AT_FDCWD, \"/\", MOVE_MOUNT_F_EMPTY_PATH)";
    call(GOAL, text, why, || move_mount(tree.as_fd(), "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH))
}

fn pivot() -> Result<(), Fault> {
    let why = "a process that reaches this mount namespace through us finds nothing in it; pivot_root(2)";
    call(GOAL, "pivot_root(\".\", \".\")", why, || rustix::process::pivot_root(".", "."))?;
    detach("no mount of the old root stays in this mount namespace")
}

fn detach(why: &str) -> Result<(), Fault> {
    call(GOAL, "umount2(\".\", MNT_DETACH)", why, || unmount(".", UnmountFlags::DETACH))
}
