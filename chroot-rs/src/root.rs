//! Changing the root: `chroot(2)` changes what "/" means for one process, `pivot_root(2)` moves the mount itself, so that
//! the old root can be unmounted.
//!
//! The surprise: a process with CAP_SYS_CHROOT and an open directory can leave a chroot; after a pivot no path leads to
//! the old root.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::kernel::{adopt, call, is_open, look, own};
use plumbing::process::namespace::{Kind, KindSet};
use plumbing::process::procfs;
use plumbing::{Fault, narrate};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Statx, StatxFlags, fstat, openat, statx};
use rustix::mount::{UnmountFlags, unmount};
use rustix::thread::CapabilitySet;

use crate::cleanup::Lifetime;
use crate::dry_run_tree::Node;
use crate::entry::{Attributes, Change, Filesystem, Propagation, PropagationKind, quoted, shown};
use crate::in_root::InRoot;
use crate::{host_root, mount_api, overlay, refusal};

/// The limit of mounts over "/": more than any legitimate setup has.
pub(crate) const MOST_COVERS: u32 = 64;
const OWN_MOUNT: &str =
    "pivot_root(2) requires a mount point; this clone includes all mounts below the directory; open_tree(2)";
const ATTACH: &str = "attach the new root";
const ATTACHED_FIRST: &str = "nothing can be mounted below a tree before it is attached; move_mount(2)";

/// The source of the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A directory of the host.
    Directory(PathBuf),
    /// A directory or mount that is already open.
    Descriptor(i32),
    /// A new root with the host's programs.
    Host,
    /// A new empty root in memory.
    Tmpfs,
    /// An overlay of directories, the first topmost; changes are kept in `upper`, or discarded with the container.
    Overlay { lower: Vec<PathBuf>, upper: Option<PathBuf> },
}

impl Source {
    /// Makes its paths absolute.
    pub(crate) fn make_absolute(&mut self) -> std::io::Result<()> {
        let absolute = |path: &mut PathBuf| std::path::absolute(&path).map(|named| *path = named);
        match self {
            Source::Directory(path) => absolute(path),
            Source::Overlay { lower, upper } => lower.iter_mut().chain(upper).try_for_each(absolute),
            Source::Descriptor(_) | Source::Host | Source::Tmpfs => Ok(()),
        }
    }

    /// Reports whether the root existed before: then nothing may be written to it if it is to be read-only.
    pub(crate) fn is_given(&self) -> bool {
        matches!(self, Source::Directory(_) | Source::Descriptor(_))
    }
}

/// Calls `chroot(2)` as chroot(8) does: nothing else changes, except the working directory unless `skip_chdir` is set.
pub(crate) fn chroot(path: &Path, skip_chdir: bool) -> Result<(), Fault> {
    let goal = format!("change the root to {}", path.display());
    let why = "absolute paths begin there from now on; chroot(2)";
    call(&goal, format!("chroot({:?})", path.to_string_lossy()), why, || rustix::process::chroot(path))
        .map_err(|fault| refusal::missing(fault, CapabilitySet::SYS_CHROOT))?;
    match skip_chdir || narrate::is_dry_run() {
        true => Ok(()),
        // Otherwise the working directory would still be outside of the root.
        false => own(&goal, "chdir(\"/\")", || rustix::process::chdir("/")),
    }
}

/// Opens the root in a directory, to read files in it.
pub(crate) fn open(path: &Path) -> Result<InRoot, Fault> {
    Ok(InRoot::new(open_directory(path, &format!("open the new root {}", path.display()))?, false, Attributes::empty()))
}

/// Unshares the mount namespace, so that no mount made here can propagate to the caller's.
pub(crate) fn leave_callers_mounts() -> Result<(), Fault> {
    let own = KindSet::from_iter([Kind::Mnt]);
    let why = "no other process must see our mounts, and they must end with us; mount_namespaces(7)";
    call("create a mount namespace", "unshare(CLONE_NEWNS)", why, || nix::sched::unshare(own.flags()))
        .map_err(refusal::missing_admin)
}

/// Stops the propagation of mounts out of this namespace; with `Slave` the host's mounts still propagate into it.
pub(crate) fn cut_off(kind: PropagationKind) -> Result<(), Fault> {
    let top = open_directory(Path::new("/"), "open the root directory")?;
    let why = "otherwise our mounts propagate to the namespace that this one was copied from; mount_namespaces(7)";
    let propagation = Propagation { kind, recursive: true };
    mount_api::propagate("stop our mounts from propagating to the host", top.as_fd(), propagation, why)
        .map_err(refusal::no_root_mount)
}

/// Makes the root a mount point with these flags, and attaches it; entries can be made in it afterwards.
pub(crate) fn attach(source: &Source, attributes: Attributes) -> Result<InRoot, Fault> {
    // A new root is made read-only after it was filled.
    let own = attributes - Attributes::MOUNT_ATTR_RDONLY;
    let mount = match source {
        Source::Directory(path) => return attach_directory(path, attributes),
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
    attach_over_root_changed(&mount, own)?;
    let root = InRoot::new(mount, !source.is_given(), own);
    if let Source::Overlay { lower, upper } = source {
        if upper.is_some() {
            root.made().mounted(Path::new("/"), Lifetime::Longer);
        }
        root.note(Path::new("/"), Node::Host(lower.first().cloned().unwrap_or_default(), Attributes::empty()));
    }
    Ok(root)
}

/// Attaches a mount over "/". It hides nothing yet: the process's root is the mount below, until it pivots.
pub(crate) fn attach_over_root(mount: &OwnedFd) -> Result<(), Fault> {
    attach_over_root_changed(mount, Attributes::empty())
}

fn attach_over_root_changed(mount: &OwnedFd, attributes: Attributes) -> Result<(), Fault> {
    let top = open_directory(Path::new("/"), "open the root directory")?;
    let changes = [(true, Change::add(attributes))];
    mount_api::attach_changed(ATTACH, mount.as_fd(), &changes, top.as_fd(), Path::new("/"), ATTACHED_FIRST)
}

fn attach_directory(path: &Path, attributes: Attributes) -> Result<InRoot, Fault> {
    let onto = open_directory(path, &format!("open the new root {}", shown(path)))?;
    let goal = format!("make {} a mount of its own", shown(path));
    let mount = mount_api::clone_of(&goal, onto.as_fd(), true, OWN_MOUNT)?;
    let changes = [(true, Change::add(attributes))];
    mount_api::attach_changed(ATTACH, mount.as_fd(), &changes, onto.as_fd(), path, ATTACHED_FIRST)?;
    Ok(InRoot::new(if narrate::is_dry_run() { onto } else { mount }, false, attributes))
}

/// Clones an inherited descriptor. A directory that was opened in another mount namespace cannot be cloned in ours, but the
/// same directory here can; a detached mount that an earlier program passed on is used itself if the kernel cannot clone it.
fn of_descriptor(number: i32) -> Result<OwnedFd, Fault> {
    let goal = format!("make descriptor {number} a mount of its own");
    if !is_open(number) {
        return Err(Fault::new(format!("cannot {goal}: no such descriptor is open; was it passed on?")));
    }
    let handed_on = adopt(number);
    match mount_api::clone_of(&goal, handed_on.as_fd(), true, OWN_MOUNT) {
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => match same_here(&handed_on) {
            Some(here) => mount_api::clone_of(&goal, here.as_fd(), true, OWN_MOUNT),
            None => Ok(handed_on),
        },
        answer => answer,
    }
}

/// Opens the same directory in our mount namespace by its path, if the path leads to the same directory here.
fn same_here(directory: &OwnedFd) -> Option<OwnedFd> {
    let path = procfs::read_link(&format!("self/fd/{}", directory.as_raw_fd())).ok()?;
    let here = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let (there, found) = (fstat(directory).ok()?, fstat(&here).ok()?);
    ((there.st_dev, there.st_ino) == (found.st_dev, found.st_ino)).then_some(here)
}

/// Makes the root read-only after it was filled; mounts in it have their own flags.
pub(crate) fn seal(root: &InRoot) -> Result<(), Fault> {
    let why = "it is complete now; mount_setattr(2)";
    mount_api::tighten("make the root read-only", root.as_fd(), Attributes::MOUNT_ATTR_RDONLY, why)
}

/// Makes `root` the root of every process of this mount namespace, and unmounts the old root with all its mounts.
pub(crate) fn pivot(root: &InRoot) -> Result<(), Fault> {
    let goal = "change the root";
    if !narrate::is_dry_run() {
        own(goal, "fchdir(root)", || rustix::process::fchdir(root.as_fd()))?;
    }
    let why = "the new root replaces the old one, which is mounted on top of it; pivot_root(2)";
    call(goal, "pivot_root(\".\", \".\")", why, || rustix::process::pivot_root(".", "."))
        .map_err(refusal::no_root_mount)?;
    let_go()?;
    match narrate::is_dry_run() {
        true => Ok(()),
        false => own(goal, "chdir(\"/\")", || rustix::process::chdir("/")),
    }
}

/// Unmounts the old root, and other mounts over the new one first: the topmost is unmounted first.
fn let_go() -> Result<(), Fault> {
    const GOAL: &str = "unmount the old root";
    let why = "afterwards no path and no .. leads to the old root";
    for _ in 0..MOST_COVERS {
        call(GOAL, "umount2(\".\", MNT_DETACH)", why, || unmount(".", UnmountFlags::DETACH))?;
        // At the root, `..` leads to the topmost mount over it.
        if narrate::is_dry_run() || mount_id(Path::new("."))? == mount_id(Path::new(".."))? {
            return Ok(());
        }
    }
    Err(Fault::new(format!("cannot {GOAL}: more than {MOST_COVERS} mounts are on top of it")))
}

/// Returns the id of the mount to which a path leads.
pub(crate) fn mount_id(path: &Path) -> Result<u64, Fault> {
    let goal = "make sure that the old root is gone";
    checked_mount_id(goal, &format!("statx(AT_FDCWD, {}, STATX_MNT_ID)", quoted(path)), || {
        statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)
    })
}

/// Returns the id of the mount on which a descriptor was opened.
pub(crate) fn mount_id_of(goal: &str, mount: BorrowedFd<'_>) -> Result<u64, Fault> {
    checked_mount_id(goal, "statx(fd, STATX_MNT_ID)", || statx(mount, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID))
}

fn checked_mount_id(goal: &str, text: &str, ask: impl FnOnce() -> rustix::io::Result<Statx>) -> Result<u64, Fault> {
    let stat = look(goal, text, ask)?;
    if stat.stx_mask & StatxFlags::MNT_ID.bits() != 0 {
        return Ok(stat.stx_mnt_id);
    }
    Err(Fault::new(format!("cannot {goal}: {text}: no mount ID returned; it needs Linux 5.8")))
}

pub(crate) fn open_directory(path: &Path, goal: &str) -> Result<OwnedFd, Fault> {
    look(goal, format!("openat(AT_FDCWD, {:?}, O_PATH|O_DIRECTORY)", path.to_string_lossy()), || {
        openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    })
}
