//! The mount calls that use descriptors: make or clone a detached mount, restrict it, attach it.
//! `fsopen(2)`, `fsmount(2)`, `open_tree(2)`, `mount_setattr(2)`, `move_mount(2)`.
//!
//! The target is a descriptor too, so no symbolic link can redirect a mount. The surprise: before Linux 6.15 nothing can be
//! mounted below a tree that is not attached, so a root is attached first and filled afterwards.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::{call, look, mount_setattr};
use plumbing::process::closing::leave;
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, open_tree,
};

use crate::entry::{Attributes, Change, Filesystem, Propagation, flag_names, quoted, shown};
use crate::{refusal, remount};

pub(crate) const ATTACH: &str = "attach the new root";
pub(crate) const ATTACHED_FIRST: &str = "nothing can be mounted below a tree before it is attached; move_mount(2)";

/// The limit of mounts on top of each other: more than any legitimate setup has.
pub(crate) const MOST_STACKED: u32 = 64;

const RESTRICTED: &str = "for this mount, with AT_RECURSIVE also for all below it; mount_setattr(2)";

/// Makes a file system that is not mounted yet.
pub(crate) fn fresh(goal: &str, filesystem: &Filesystem, why: &str) -> Result<OwnedFd, Fault> {
    let kind = filesystem.kind.as_str();
    let context = begin(goal, kind, why)?;
    for (key, value) in &filesystem.parameters {
        configure(goal, context.as_fd(), key, value.as_deref().map(OsStr::new))?;
    }
    let mount = create(goal, context.as_fd(), kind, filesystem.attributes)?;
    leave(context);
    Ok(mount)
}

/// Opens the context in which a file system is configured.
pub(crate) fn begin(goal: &str, kind: &str, why: &str) -> Result<OwnedFd, Fault> {
    call(goal, format!("fsopen({kind:?}, FSOPEN_CLOEXEC)"), why, || fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC))
        .map_err(|fault| refusal::unknown_kind(refusal::missing_admin(fault), kind))
}

/// Creates the configured superblock, and a mount of it.
pub(crate) fn create(
    goal: &str,
    context: BorrowedFd<'_>,
    kind: &str,
    attributes: Attributes,
) -> Result<OwnedFd, Fault> {
    let text = "fsconfig(fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0)";
    call(goal, text, "the superblock, with the parameters set so far", || fsconfig_create(context))
        .map_err(|fault| refusal::refused_by_owner(refusal::with_log(fault, context), kind))?;
    let text = format!("fsmount(fd, FSMOUNT_CLOEXEC, {})", flag_names(attributes));
    call(goal, text, "a mount of it, not attached yet", || fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes))
        .map_err(|fault| refusal::too_revealing(fault, kind))
}

/// Sets a parameter; one without a value is a flag.
pub(crate) fn configure(goal: &str, context: BorrowedFd<'_>, key: &str, value: Option<&OsStr>) -> Result<(), Fault> {
    let why = "a parameter of the file system";
    let done = match value {
        Some(value) => {
            let text = format!("fsconfig(fd, FSCONFIG_SET_STRING, {key:?}, {}, 0)", quoted(value.as_ref()));
            call(goal, text, why, || fsconfig_set_string(context, key, value))
        }
        None => {
            let text = format!("fsconfig(fd, FSCONFIG_SET_FLAG, {key:?}, NULL, 0)");
            call(goal, text, why, || fsconfig_set_flag(context, key))
        }
    };
    done.map_err(|fault| refusal::with_log(fault, context))
}

/// Clones the mount that a path of the host leads to.
pub(crate) fn clone_path(goal: &str, path: &Path, recursive: bool, why: &str) -> Result<OwnedFd, Fault> {
    let (flags, names) = clone_flags(recursive);
    let text = format!("open_tree(AT_FDCWD, {}, {names})", quoted(path));
    call(goal, text, why, || open_tree(CWD, path, flags)).map_err(|fault| refusal::locked_below(fault, recursive))
}

/// Clones what is at `place` in the root, of which `at` is the descriptor.
pub(crate) fn clone_at(goal: &str, at: Onto<'_>, place: &Path, recursive: bool, why: &str) -> Result<OwnedFd, Fault> {
    let dir = match at {
        Onto::Opened(fd) => return clone_of(goal, fd, recursive, why),
        Onto::OverRoot => return clone_path(goal, Path::new("/"), recursive, why),
        Onto::NamedIn(dir) => dir,
    };
    let (flags, names) = clone_flags(recursive);
    let (above, name) = split(place);
    let text = format!("open_tree(root:{}, {}, {names}|AT_SYMLINK_NOFOLLOW)", shown(above), quoted(name));
    call(goal, text, why, || open_tree(dir, name, flags | OpenTreeFlags::AT_SYMLINK_NOFOLLOW))
        .map_err(|fault| refusal::locked_below(fault, recursive))
}

/// Clones the mount on which a descriptor was opened.
pub(crate) fn clone_of(goal: &str, tree: BorrowedFd<'_>, recursive: bool, why: &str) -> Result<OwnedFd, Fault> {
    let (flags, names) = clone_flags(recursive);
    let text = format!("open_tree(fd, \"\", {names}|AT_EMPTY_PATH)");
    call(goal, text, why, || open_tree(tree, "", flags | OpenTreeFlags::AT_EMPTY_PATH))
        .map_err(|fault| refusal::locked_below(fault, recursive))
}

fn clone_flags(recursive: bool) -> (OpenTreeFlags, &'static str) {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        (flags | OpenTreeFlags::AT_RECURSIVE, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_RECURSIVE")
    } else {
        (flags, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC")
    }
}

/// Changes the flags of a mount, and with `recursive` of all mounts below it, in one step: at no time is a mount without
/// the flags, and none is missed.
fn change(goal: &str, tree: BorrowedFd<'_>, recursive: bool, change: Change, why: &str) -> Result<(), Fault> {
    if change.is_none() {
        return Ok(());
    }
    let at = if recursive { "AT_EMPTY_PATH|AT_RECURSIVE" } else { "AT_EMPTY_PATH" };
    let words = [("attr_set", change.set), ("attr_clr", change.clear)]
        .map(|(name, flags)| if flags.is_empty() { String::new() } else { format!("{name}={}", flag_names(flags)) });
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let text = format!("mount_setattr(fd, \"\", {at}, {{{}}})", words.join(", "));
    let (set, clear) = (change.set.bits().into(), change.clear.bits().into());
    call(goal, text, why, || mount_setattr(tree, recursive, set, clear, 0)).map_err(refusal::locked_flags)
}

/// Changes of flags that a mount gets before it is attached: for it alone, or for all mounts below it, too.
pub(crate) type Changes<'a> = &'a [(bool, Change)];

/// What a mount is attached to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Onto<'a> {
    /// This file or directory.
    Opened(BorrowedFd<'a>),
    /// The last name of its path, in this directory. Never a symbolic link.
    NamedIn(BorrowedFd<'a>),
    /// The root directory of this process.
    OverRoot,
}

impl<'a> From<BorrowedFd<'a>> for Onto<'a> {
    fn from(fd: BorrowedFd<'a>) -> Onto<'a> {
        Onto::Opened(fd)
    }
}

/// Makes the changes, then attaches the mount. Without `mount_setattr(2)` it attaches first, in a mount namespace that no
/// other process uses.
pub(crate) fn attach_changed(
    goal: &str,
    mount: BorrowedFd<'_>,
    changes: Changes<'_>,
    onto: Onto<'_>,
    place: &Path,
    why: &str,
) -> Result<(), Fault> {
    for (number, (recursive, one)) in changes.iter().enumerate() {
        match change(goal, mount, *recursive, *one, RESTRICTED) {
            Err(fault) if is_missing(&fault) => {
                move_mount(goal, mount, onto, place, why)?;
                let rest = changes.iter().skip(number);
                return rest
                    .into_iter()
                    .try_for_each(|(recursive, one)| remount::change(goal, mount, *recursive, *one, RESTRICTED));
            }
            done => done?,
        }
    }
    move_mount(goal, mount, onto, place, why)
}

/// Adds flags to an attached mount.
pub(crate) fn tighten(goal: &str, mount: BorrowedFd<'_>, attributes: Attributes, why: &str) -> Result<(), Fault> {
    let flags = Change::add(attributes);
    match change(goal, mount, false, flags, why) {
        Err(fault) if is_missing(&fault) => remount::change(goal, mount, false, flags, why),
        done => done,
    }
}

/// Reports whether mount_setattr(2) is missing.
fn is_missing(fault: &Fault) -> bool {
    fault.errno() == Some(Errno::ENOSYS)
}

/// Sets the propagation of a mount.
pub(crate) fn propagate(goal: &str, tree: BorrowedFd<'_>, propagation: Propagation, why: &str) -> Result<(), Fault> {
    let (name, flag) = propagation.kind.flag();
    let at = if propagation.recursive { "AT_EMPTY_PATH|AT_RECURSIVE" } else { "AT_EMPTY_PATH" };
    let text = format!("mount_setattr(fd, \"\", {at}, {{propagation={name}}})");
    match call(goal, text, why, || mount_setattr(tree, propagation.recursive, 0, 0, flag.bits())) {
        Err(fault) if is_missing(&fault) => remount::propagate(goal, tree, propagation, why),
        done => done,
    }
}

/// Attaches a mount at `onto`, whose path in the root is `place`.
pub(crate) fn move_mount(
    goal: &str,
    mount: BorrowedFd<'_>,
    onto: Onto<'_>,
    place: &Path,
    why: &str,
) -> Result<(), Fault> {
    let from = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    let (to, name, flags, at, names) = match onto {
        Onto::Opened(fd) => {
            (fd, Path::new(""), from | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH, place, "|MOVE_MOUNT_T_EMPTY_PATH")
        }
        Onto::NamedIn(dir) => {
            let (above, name) = split(place);
            (dir, name, from, above, "")
        }
        Onto::OverRoot => {
            let text = "move_mount(fd, \"\", AT_FDCWD, \"/\", MOVE_MOUNT_F_EMPTY_PATH)";
            return call(goal, text, why, || rustix::mount::move_mount(mount, "", CWD, "/", from));
        }
    };
    let text = format!("move_mount(fd, \"\", root:{}, {}, MOVE_MOUNT_F_EMPTY_PATH{names})", shown(at), quoted(name));
    call(goal, text, why, || rustix::mount::move_mount(mount, "", to, name, flags)).map_err(|fault| {
        let is_removed = fault.errno() == Some(Errno::ENOENT) && fstat(mount).is_ok_and(|stat| stat.st_nlink == 0);
        if is_removed { fault.with_remedy("the source of the mount was removed; make it again") } else { fault }
    })
}

/// Splits a path into the directory and the last name.
fn split(path: &Path) -> (&Path, &Path) {
    (path.parent().unwrap_or(path), path.file_name().map_or(Path::new(""), Path::new))
}

/// Attaches a mount with these flags over "/". It hides nothing yet: the process's root is the mount below, until it pivots.
pub(crate) fn attach_over_root(mount: &OwnedFd, attributes: Attributes) -> Result<(), Fault> {
    let changes = [(true, Change::add(attributes))];
    attach_changed(ATTACH, mount.as_fd(), &changes, Onto::OverRoot, Path::new("/"), ATTACHED_FIRST)
}

/// Opens a directory of this mount namespace, to mount on it or to clone its mount.
pub(crate) fn open_directory(path: &Path, goal: &str) -> Result<OwnedFd, Fault> {
    look(goal, format!("openat(AT_FDCWD, {:?}, O_PATH|O_DIRECTORY)", path.to_string_lossy()), || {
        openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    })
}
