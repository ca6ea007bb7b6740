//! Covering what a command must not see, and restricting what it must not change. `mount_setattr(2)`, `move_mount(2)`.
//!
//! A masked directory is an empty file system, a masked file the host's null device; all masks of a kind are clones of the
//! first one. The surprise: in a new /proc or /sys no path has to be resolved, since nobody can have made a link there.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;
use plumbing::kernel::look;
use plumbing::pipeline::record::Mount;
use plumbing::process::closing::leave;
use plumbing::{Fault, narrate};
use rustix::fs::{AtFlags, FileType, statat};

use crate::entry::{Absent, Attributes, Change, Filesystem, quoted, shown};
use crate::in_root::{InRoot, Place};
use crate::mount_api;
use crate::populate::{kind_of, missing, require_device};
use crate::record;

/// The source of every mask of a file, and the numbers of the device that it must be.
const NULL: (&str, (u32, u32)) = ("/dev/null", (1, 3));

/// The flags of a mask of a file. Read-only, because its mode and owner are those of the host's file.
const OF_NULL: Attributes =
    Attributes::MOUNT_ATTR_RDONLY.union(Attributes::MOUNT_ATTR_NOSUID).union(Attributes::MOUNT_ATTR_NOEXEC);

/// What covers every masked file and directory: the first mask of each kind, of which the others are clones.
#[derive(Default)]
pub(crate) struct Masks {
    directory: Option<OwnedFd>,
    null: Option<OwnedFd>,
}

impl Masks {
    /// Covers the target; returns the mount that was made.
    pub(crate) fn mask(
        &mut self,
        root: &InRoot,
        target: &Path,
        absent: Absent,
        why: &str,
    ) -> Result<Option<Mount>, Fault> {
        let goal = format!("mask {}", shown(target));
        let Some((onto, kind)) = present(root, target, absent, &goal)? else { return Ok(None) };
        let kind = match (kind, &onto) {
            (Some(kind), _) => kind,
            (None, Place::Opened(fd) | Place::NamedIn(fd)) => kind_of(&goal, fd.as_fd())?,
        };
        let is_directory = kind == FileType::Directory;
        let first = if is_directory { &mut self.directory } else { &mut self.null };
        let (mount, changes) = match first {
            Some(first) => (mount_api::clone_of(&goal, first.as_fd(), false, why)?, None),
            None if is_directory => (empty_directory(&goal, why)?, None),
            None => (null(&goal, why)?, Some((false, Change::add(OF_NULL)))),
        };
        let covers = "it covers what the command must not see";
        mount_api::attach_changed(&goal, mount.as_fd(), changes.as_slice(), onto.onto(), target, covers)?;
        root.covered(target);
        onto.leave();
        if first.is_some() {
            leave(mount);
        } else {
            *first = Some(mount);
        }
        Ok(Some(if is_directory {
            record::mask(target, "tmpfs", None)
        } else {
            record::mask(target, "bind", Some(NULL.0))
        }))
    }

    /// Ends the use of the first masks.
    pub(crate) fn leave(self) {
        [self.directory, self.null].into_iter().flatten().for_each(leave);
    }
}

fn empty_directory(goal: &str, why: &str) -> Result<OwnedFd, Fault> {
    let attributes = Attributes::MOUNT_ATTR_RDONLY
        | Attributes::MOUNT_ATTR_NOSUID
        | Attributes::MOUNT_ATTR_NODEV
        | Attributes::MOUNT_ATTR_NOEXEC;
    mount_api::fresh(goal, &Filesystem::new("tmpfs", &[("mode", "755")], attributes), why)
}

fn null(goal: &str, why: &str) -> Result<OwnedFd, Fault> {
    let (path, numbers) = NULL;
    let mount = mount_api::clone_path(goal, Path::new(path), false, why)?;
    require_device(goal, &mount, numbers)?;
    Ok(mount)
}

/// Adds flags to the target and to all mounts below it.
pub(crate) fn restrict(
    root: &InRoot,
    target: &Path,
    attributes: Attributes,
    absent: Absent,
    why: &str,
) -> Result<Option<Mount>, Fault> {
    let goal = format!("restrict {}", shown(target));
    let Some((onto, _)) = present(root, target, absent, &goal)? else { return Ok(None) };
    let mount = mount_api::clone_at(&goal, onto.onto(), target, true, why)?;
    let changes = [(true, Change::add(attributes))];
    mount_api::attach_changed(
        &goal,
        mount.as_fd(),
        &changes,
        onto.onto(),
        target,
        "the restricted copy covers the original",
    )?;
    root.covered(target);
    onto.leave();
    leave(mount);
    Ok(Some(record::restricted(target, attributes)))
}

/// Finds the target of a mask or restriction; returns its kind as well if that is known.
fn present(
    root: &InRoot,
    target: &Path,
    absent: Absent,
    goal: &str,
) -> Result<Option<(Place, Option<FileType>)>, Fault> {
    let own = root.own_above(target);
    let found = match own.as_ref().zip(target.file_name()).filter(|_| !narrate::is_dry_run()) {
        Some((dir, name)) => {
            let text = format!("fstatat(root, {}, AT_SYMLINK_NOFOLLOW)", quoted(target));
            match look(goal, text, || statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)) {
                Err(fault) if fault.errno() == Some(Errno::ENOENT) => None,
                stat => Some(FileType::from_raw_mode(stat?.st_mode)),
            }
            .map(|kind| (Place::NamedIn(Rc::clone(dir)), Some(kind)))
        }
        None => match (root.find(target)?, own) {
            (Some(found), Some(dir)) => Some((Place::NamedIn(dir), Some(kind_of(goal, found.as_fd())?))),
            (found, _) => found.map(|found| (found.into(), None)),
        },
    };
    match (found, absent) {
        (None, Absent::Refuse) => Err(missing(goal)),
        // Refused here, with the reason.
        (Some((_, Some(FileType::Symlink))), _) => {
            root.find(target).map(|found| found.map(|found| (found.into(), None)))
        }
        (found, _) => Ok(found),
    }
}
