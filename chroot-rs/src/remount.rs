//! Changing the flags of a mount and of all below it without `mount_setattr(2)`: before Linux 5.12, and in sandboxes that
//! do not know it. Each mount is remounted separately; `mount(2)`, "Changing the mount flags".
//!
//! The surprise: a remount replaces all flags, so the existing ones must be passed again. If a mount cannot be reached,
//! because another covers it, the whole change fails: nothing that must be read-only stays writable.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::mount::MsFlags;
use plumbing::kernel::{call, look};
use plumbing::process::mountinfo::{self, Mount};
use plumbing::{Fault, narrate};
use rustix::fs::{Mode, OFlags, openat};

use crate::entry::{Attributes, Change, Propagation};
use crate::mount_id::mount_id_of;

/// The flags: word of mountinfo, flag of `mount(2)`, flag of `mount_setattr(2)`.
const FLAGS: [(&str, MsFlags, Attributes); 7] = [
    ("ro", MsFlags::MS_RDONLY, Attributes::MOUNT_ATTR_RDONLY),
    ("nosuid", MsFlags::MS_NOSUID, Attributes::MOUNT_ATTR_NOSUID),
    ("nodev", MsFlags::MS_NODEV, Attributes::MOUNT_ATTR_NODEV),
    ("noexec", MsFlags::MS_NOEXEC, Attributes::MOUNT_ATTR_NOEXEC),
    ("noatime", MsFlags::MS_NOATIME, Attributes::MOUNT_ATTR_NOATIME),
    ("nodiratime", MsFlags::MS_NODIRATIME, Attributes::MOUNT_ATTR_NODIRATIME),
    ("relatime", MsFlags::MS_RELATIME, Attributes::MOUNT_ATTR_RELATIME),
];

/// Changes the flags of an attached mount, and with `recursive` of all mounts below it.
pub(crate) fn change(
    goal: &str,
    tree: BorrowedFd<'_>,
    recursive: bool,
    change: Change,
    why: &str,
) -> Result<(), Fault> {
    if change.is_none() {
        return Ok(());
    }
    let no_such = change.set & (Attributes::MOUNT_ATTR_NOSYMFOLLOW | Attributes::MOUNT_ATTR_STRICTATIME);
    if !no_such.is_empty() {
        return Err(Fault::new(format!("cannot {goal}: {no_such:?} needs mount_setattr(2), which this kernel lacks")));
    }
    if narrate::is_dry_run() {
        return Ok(());
    }
    let mounts = mountinfo::own()?;
    let top = mount_id_of(goal, tree)?;
    for mount in below(&mounts, top).into_iter().take(if recursive { usize::MAX } else { 1 }) {
        if mount.id == top {
            remount(goal, tree, flags_of(mount), change, why)?;
        } else {
            let opened = open(goal, tree, top, &mounts, mount)?;
            remount(goal, opened.as_fd(), flags_of(mount), change, why)?;
        }
    }
    Ok(())
}

/// Sets the propagation of an attached mount.
pub(crate) fn propagate(goal: &str, tree: BorrowedFd<'_>, propagation: Propagation, why: &str) -> Result<(), Fault> {
    let (name, flag) = propagation.kind.flag();
    let (prefix, recursive) = if propagation.recursive { ("MS_REC|", MsFlags::MS_REC) } else { ("", MsFlags::empty()) };
    old_mount(goal, tree, &format!("{prefix}{name}"), recursive | flag, why)
}

fn remount(goal: &str, mount: BorrowedFd<'_>, now: MsFlags, change: Change, why: &str) -> Result<(), Fault> {
    let of = |wanted: Attributes| {
        let flags = FLAGS.iter().filter(|(.., new)| !new.is_empty() && wanted.contains(*new));
        flags.fold(MsFlags::empty(), |flags, (_, old, _)| flags | *old)
    };
    let atime = MsFlags::MS_NOATIME | MsFlags::MS_RELATIME;
    let cleared = if change.clear.intersects(Attributes::MOUNT_ATTR__ATIME) { atime } else { MsFlags::empty() };
    let mut flags = (now - of(change.clear) - cleared) | of(change.set);
    if !cleared.is_empty() && !flags.intersects(atime) {
        flags |= MsFlags::MS_RELATIME;
    }
    let named = FLAGS.iter().filter(|(_, old, _)| flags.contains(*old));
    let names: String = named.map(|(word, ..)| format!("|MS_{}", old_name(word))).collect();
    let what = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags;
    old_mount(goal, mount, &format!("MS_REMOUNT|MS_BIND{names}"), what, why)
}

fn old_name(word: &str) -> String {
    if word == "ro" { "RDONLY".to_owned() } else { word.to_ascii_uppercase() }
}

/// Calls `mount(2)` by descriptor: a path through our own /proc leads to the opened file and nowhere else.
fn old_mount(goal: &str, mount: BorrowedFd<'_>, names: &str, flags: MsFlags, why: &str) -> Result<(), Fault> {
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    let none = None::<&str>;
    call(goal, format!("mount(NULL, {path:?}, NULL, {names}, NULL)"), why, || {
        nix::mount::mount(none, path.as_str(), none, flags, none)
    })
}

/// Lists the mount with this id and all mounts below it, from the top.
fn below(mounts: &[Mount], top: u64) -> Vec<&Mount> {
    let mut found: Vec<_> = mounts.iter().filter(|mount| mount.id == top).collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|mount| mount.id) {
        found.extend(mounts.iter().filter(|mount| mount.parent == parent && mount.id != parent));
        next += 1;
    }
    found
}

/// Opens a mount below the tree; compares the id, to be sure that it is the right one.
fn open(goal: &str, tree: BorrowedFd<'_>, top: u64, mounts: &[Mount], mount: &Mount) -> Result<OwnedFd, Fault> {
    let place = mount.point.to_string_lossy().into_owned();
    let prefix = mounts.iter().find(|mount| mount.id == top).map(|top| top.point.as_path());
    let relative = prefix.and_then(|prefix| mount.point.strip_prefix(prefix).ok()).unwrap_or(&mount.point);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let text = format!("openat(fd, {:?}, O_PATH|O_NOFOLLOW)", relative.to_string_lossy());
    let opened = look(goal, text, || openat(tree, relative, flags, Mode::empty()))?;
    if mount_id_of(goal, opened.as_fd())? == mount.id {
        Ok(opened)
    } else {
        Err(Fault::new(format!("cannot {goal}: another mount covers the one on {place}")).with_remedy(
            "without mount_setattr(2), since Linux 5.12, a mount can be changed only if its path leads to it",
        ))
    }
}

fn flags_of(mount: &Mount) -> MsFlags {
    let set = FLAGS.iter().filter(|(word, ..)| mount.has(word));
    set.fold(MsFlags::empty(), |flags, (_, old, _)| flags | *old)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn mounts_below_are_found_by_their_parents_whatever_their_names() {
        let text = b"20 1 8:1 / / rw - ext4 d rw\n21 20 0:2 / /r rw,nosuid,relatime - tmpfs t rw\n\
                     22 21 0:3 / /r/a\\040b\\134 ro,noexec - tmpfs t rw\n23 20 0:4 / /rest rw - tmpfs t rw\n\
                     24 22 0:5 / /r/a\\040b\\134/c rw - tmpfs t rw\n";
        let mounts = mountinfo::parse(text);
        let found = below(&mounts, 21);
        assert_eq!(found.iter().map(|mount| mount.id).collect::<Vec<_>>(), [21, 22, 24]);
        assert_eq!(found[1].point, PathBuf::from("/r/a b\\"));
        assert_eq!(flags_of(found[1]), MsFlags::MS_RDONLY | MsFlags::MS_NOEXEC);
    }
}
