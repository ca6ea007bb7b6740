//! Attributes of mounts, which no library that we use sets. `mount_setattr(2)`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Calls `mount_setattr(2)` on the mount that `tree` refers to (`AT_EMPTY_PATH`): sets and clears `MOUNT_ATTR_*`, and
/// sets `propagation` (`MS_*`) if it is not 0; with `recursive`, on every mount below, too.
pub fn mount_setattr(tree: impl AsFd, recursive: bool, set: u64, clear: u64, propagation: u64) -> Result<(), Errno> {
    let attr = libc::mount_attr { attr_set: set, attr_clr: clear, propagation, userns_fd: 0 };
    set_attributes(tree.as_fd(), recursive, attr)
}

/// Calls `mount_setattr(2)` with `MOUNT_ATTR_IDMAP`: the ids in the mount that `tree` refers to are mapped by `user`, a
/// user namespace.
pub fn mount_idmap(tree: impl AsFd, recursive: bool, user: impl AsFd) -> Result<(), Errno> {
    let userns_fd = user.as_fd().as_raw_fd() as u64;
    set_attributes(
        tree.as_fd(),
        recursive,
        libc::mount_attr { attr_set: libc::MOUNT_ATTR_IDMAP, attr_clr: 0, propagation: 0, userns_fd },
    )
}

fn set_attributes(tree: BorrowedFd<'_>, recursive: bool, attr: libc::mount_attr) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: an open descriptor, an empty NUL-terminated path and a whole mount_attr of the size given.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(answer).map(drop)
}
