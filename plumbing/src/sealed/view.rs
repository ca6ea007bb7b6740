//! A read-only view of our executable: an overlay with no upper layer, mounted nowhere. `fsopen(2)`, overlayfs.
//!
//! A bind mount that is read-only can be made writable again by who has the right to change mounts; an overlay without
//! an upper layer has nowhere to write to, so neither a mount flag nor a remount can change that. Nothing is copied, so
//! this costs a fifth of a sealed copy. The surprise is that the kernel wants two layers; the other one is never asked.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, fstatfs, fstatvfs, openat, statat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};
use rustix::thread::{CapabilitySet, capabilities};

use super::OWN_FILE;
use crate::kernel::{call, look};
use crate::{Fault, narrate};

/// `OVERLAYFS_SUPER_MAGIC` of <linux/magic.h>.
const OVERLAYFS: u64 = 0x794c_7630;

/// The layer beside ours, which must lie apart from it.
const OTHER_LAYER: &str = "/sys";

const GOAL: &str = "make a read-only view of our executable";

/// What the mount of a view is like; hardly any other is like that.
const ATTRIBUTES: &str =
    "MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOATIME|MOUNT_ATTR_NODIRATIME";

/// Whether we run from a view: started by descriptor, from an overlay with just these attributes.
pub(super) fn is_view(executable: impl AsFd) -> Result<bool, Fault> {
    if !rustix::param::linux_execfn().to_bytes().starts_with(b"/dev/fd/") {
        return Ok(false);
    }
    let on = look("look at our own executable", "fstatfs(exe)", || fstatfs(&executable))?;
    let flags = look("look at our own executable", "fstatvfs(exe)", || fstatvfs(&executable))?.f_flag;
    let noatimes = StatVfsMountFlags::NOATIME | StatVfsMountFlags::NODIRATIME;
    let all = noatimes | StatVfsMountFlags::RDONLY | StatVfsMountFlags::NOSUID | StatVfsMountFlags::NODEV;
    Ok(u64::try_from(on.f_type) == Ok(OVERLAYFS) && flags.contains(all))
}

/// Makes one; `None` where this machine or our rights do not suffice, for a copy does as well.
pub(super) fn open() -> Result<Option<OwnedFd>, Fault> {
    let Some((directory, name)) = own_directory()? else { return Ok(None) };
    match mount(&directory) {
        Ok(_) if narrate::is_dry_run() => Ok(Some(directory)),
        Ok(tree) => look(GOAL, format!("openat(view, {name:?}, O_PATH)"), || {
            openat(&tree, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        })
        .map(Some),
        // An old kernel in a user namespace, or a file system that can be no layer.
        Err(_) => Ok(None),
    }
}

/// Where our executable lies, if it still does and we may make an overlay of it.
fn own_directory() -> Result<Option<(OwnedFd, PathBuf)>, Fault> {
    let may_mount = capabilities(None).is_ok_and(|held| held.effective.contains(CapabilitySet::SYS_ADMIN));
    // Asked for by fsopen(2), the kernel would load a module, which is more than we were asked for.
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !may_mount || !known.lines().any(|line| line.ends_with("\toverlay")) {
        return Ok(None);
    }
    let path = look("find our own executable", format!("readlink({OWN_FILE:?})"), || std::fs::read_link(OWN_FILE))?;
    let (Some(parent), Some(name)) = (path.parent().filter(|parent| *parent != Path::new("/")), path.file_name())
    else {
        return Ok(None);
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Gone, or another by now: the copy is made of what we run from.
    let Ok(directory) = openat(CWD, parent, flags, Mode::empty()) else { return Ok(None) };
    let is_same = match (statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW), statat(CWD, OWN_FILE, AtFlags::empty())) {
        (Ok(there), Ok(own)) => (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino),
        _ => false,
    };
    Ok(is_same.then(|| (directory, PathBuf::from(name))))
}

fn mount(directory: &OwnedFd) -> Result<OwnedFd, Fault> {
    let why = "nobody can write through an overlay without an upper layer, whatever is remounted; fsopen(2)";
    let context =
        call(GOAL, "fsopen(\"overlay\", FSOPEN_CLOEXEC)", why, || fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC))?;
    // By descriptor: a path may have colons in it, and mean another directory by now.
    let layers = format!("/proc/self/fd/{}:{OTHER_LAYER}", directory.as_raw_fd());
    let text = format!("fsconfig(fd, FSCONFIG_SET_STRING, \"lowerdir\", {layers:?}, 0)");
    call(GOAL, text, "our directory, and the second one that the kernel insists on", || {
        fsconfig_set_string(&context, "lowerdir", OsStr::from_bytes(layers.as_bytes()))
    })?;
    call(GOAL, "fsconfig(fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0)", "the overlay", || fsconfig_create(&context))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOATIME
        | MountAttrFlags::MOUNT_ATTR_NODIRATIME;
    let text = format!("fsmount(fd, FSMOUNT_CLOEXEC, {ATTRIBUTES})");
    call(GOAL, text, "a mount of it that is attached nowhere", || {
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    })
}
