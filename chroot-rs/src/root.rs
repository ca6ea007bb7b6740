//! The new root as a mount of its own, which `pivot_root(2)` requires: a clone of a directory, or a new file system.
//! `open_tree(2)`, `fsopen(2)`, `move_mount(2)`.
//!
//! The surprise: before Linux 6.15 nothing can be mounted below a tree that is not attached, so the root is attached over
//! the old one first, which hides nothing yet, and filled afterwards.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use plumbing::kernel::{adopt, is_open};
use plumbing::process::procfs;
use plumbing::{Fault, narrate};
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};

use crate::cleanup::Lifetime;
use crate::dry_run_tree::Node;
use crate::entry::{Attributes, Change, Filesystem, shown};
use crate::in_root::InRoot;
use crate::mount_api::open_directory;
use crate::source::Source;
use crate::{bundle_root, host_root, mount_api, overlay};

const OWN_MOUNT: &str =
    "pivot_root(2) requires a mount point; this clone includes all mounts below the directory; open_tree(2)";
/// Opens the root in a directory, to read files in it.
pub(crate) fn open(path: &Path) -> Result<InRoot, Fault> {
    Ok(InRoot::new(open_directory(path, &format!("open the new root {}", path.display()))?, false, Attributes::empty()))
}

/// Makes the root a mount point with these flags, and attaches it; entries can be made in it afterwards.
pub(crate) fn make(source: &Source, attributes: Attributes) -> Result<InRoot, Fault> {
    // A new root is made read-only after it was filled.
    let own = attributes - Attributes::MOUNT_ATTR_RDONLY;
    let mount = match source {
        Source::Directory(path) => {
            let onto = open_directory(path, &format!("open the new root {}", shown(path)))?;
            return attach_directory(onto, path, attributes);
        }
        Source::Bundle { directory, root } => {
            return attach_directory(bundle_root::open(directory, root)?, &directory.join(root), attributes);
        }
        Source::Descriptor(fd) => of_descriptor(*fd)?,
        Source::Host => {
            let why = "a new root in memory; tmpfs(5)";
            mount_api::fresh("make a root from the host's programs", &host_root::filesystem(), why)?
        }
        Source::Tmpfs => {
            let tmpfs = Filesystem::new("tmpfs", &[("mode", "755")], own | Attributes::MOUNT_ATTR_NOSUID);
            mount_api::fresh("make an empty root", &tmpfs, "an empty root in memory; tmpfs(5)")?
        }
        Source::Overlay { lower, upper } => overlay::make(lower, upper.as_deref(), own)?,
    };
    let own = match source {
        Source::Descriptor(_) => attributes,
        _ => Attributes::empty(),
    };
    mount_api::attach_over_root(&mount, own)?;
    let root = InRoot::new(mount, !source.is_given(), own);
    if let Source::Overlay { lower, upper } = source {
        if upper.is_some() {
            root.made().mounted(Path::new("/"), Lifetime::Longer);
        }
        root.note(Path::new("/"), Node::Host(lower.first().cloned().unwrap_or_default(), Attributes::empty()));
    }
    Ok(root)
}

fn attach_directory(onto: OwnedFd, path: &Path, attributes: Attributes) -> Result<InRoot, Fault> {
    let goal = format!("make {} a mount of its own", shown(path));
    let mount = mount_api::clone_of(&goal, onto.as_fd(), true, OWN_MOUNT)?;
    let changes = [(true, Change::add(attributes))];
    mount_api::attach_changed(
        mount_api::ATTACH,
        mount.as_fd(),
        &changes,
        onto.as_fd().into(),
        path,
        mount_api::ATTACHED_FIRST,
    )?;
    Ok(InRoot::new(if narrate::is_dry_run() { onto } else { mount }, false, attributes))
}

/// Clones an inherited descriptor. A directory that was opened in another mount namespace cannot be cloned in ours, but the
/// same directory here can; a detached mount that an earlier program passed on is used itself if the kernel cannot clone it.
fn of_descriptor(number: i32) -> Result<OwnedFd, Fault> {
    let goal = format!("make descriptor {number} a mount of its own");
    if !is_open(number) {
        return Err(Fault::new(format!("cannot {goal}: no such descriptor is open; was it passed on?")));
    }
    clone_of_passed(&goal, number, true, OWN_MOUNT)
}

/// Clones the mount of a descriptor that the caller has passed and that was found open.
pub(crate) fn clone_of_passed(goal: &str, number: i32, recursive: bool, why: &str) -> Result<OwnedFd, Fault> {
    let handed_on = adopt(number);
    match mount_api::clone_of(goal, handed_on.as_fd(), recursive, why) {
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => match same_here(&handed_on) {
            Some(here) => mount_api::clone_of(goal, here.as_fd(), recursive, why),
            None => Ok(handed_on),
        },
        answer => answer,
    }
}

/// Opens the same file or directory in our mount namespace by its path, if the path leads to the same one here.
fn same_here(directory: &OwnedFd) -> Option<OwnedFd> {
    let path = procfs::read_link(&format!("self/fd/{}", directory.as_raw_fd())).ok()?;
    let here = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let (there, found) = (fstat(directory).ok()?, fstat(&here).ok()?);
    ((there.st_dev, there.st_ino) == (found.st_dev, found.st_ino)).then_some(here)
}

/// Makes the root read-only after it was filled; mounts in it have their own flags.
pub(crate) fn seal(root: &InRoot) -> Result<(), Fault> {
    let why = "it is complete now; mount_setattr(2)";
    mount_api::tighten("make the root read-only", root.as_fd(), Attributes::MOUNT_ATTR_RDONLY, why)
}
