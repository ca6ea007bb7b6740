//! Changing the root: `chroot(2)` moves one process's idea of "/", `pivot_root(2)` moves the mount itself and lets go
//! of the old one.
//!
//! The surprise: a process with CAP_SYS_CHROOT and an open directory walks out of a chroot; after a pivot there is
//! nothing left to walk to.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::kernel::{adopt, call, is_open, look};
use plumbing::namespace::{Kind, KindSet};
use plumbing::{Fault, narrate, procfs};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Statx, StatxFlags, fstat, openat, statx};
use rustix::mount::{UnmountFlags, unmount};
use rustix::thread::CapabilitySet;

use crate::entry::{Attributes, Change, Filesystem, Propagation, PropagationKind, quoted, shown};
use crate::in_root::InRoot;
use crate::made::Lifetime;
use crate::told::Told;
use crate::{attach, explain, host_root, overlay};

/// More than anybody has mounted over "/" in good faith.
pub(crate) const MOST_COVERS: u32 = 64;
const OWN_MOUNT: &str =
    "pivot_root(2) wants a mount of its own; this one has all that is mounted below, too; open_tree(2)";
const ATTACH: &str = "attach the new root";
const ATTACHED_FIRST: &str = "a tree takes mounts below it only once it is attached; move_mount(2)";

/// What becomes the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A directory of the host.
    Directory(PathBuf),
    /// A directory or a mount that was opened before us.
    Descriptor(i32),
    /// One made on the spot from the host's own programs.
    Host,
    /// One in memory, with nothing in it.
    Tmpfs,
    /// Directories laid over each other, the first on top; changes go to `upper`, or end with the container.
    Overlay { lower: Vec<PathBuf>, upper: Option<PathBuf> },
}

impl Source {
    /// Names its directories from "/" on.
    pub(crate) fn make_absolute(&mut self) -> std::io::Result<()> {
        let absolute = |path: &mut PathBuf| std::path::absolute(&path).map(|named| *path = named);
        match self {
            Source::Directory(path) => absolute(path),
            Source::Overlay { lower, upper } => lower.iter_mut().chain(upper).try_for_each(absolute),
            Source::Descriptor(_) | Source::Host | Source::Tmpfs => Ok(()),
        }
    }

    /// Whether the root was there before us, so that nothing is to be written to it when it is to be read-only.
    pub(crate) fn is_given(&self) -> bool {
        matches!(self, Source::Directory(_) | Source::Descriptor(_))
    }
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
    Ok(InRoot::new(open_directory(path, &format!("open the new root {}", path.display()))?, false, Attributes::empty()))
}

/// Goes into a mount namespace of our own, so that whatever happens, no mount of ours can reach the caller's.
pub(crate) fn leave_callers_mounts() -> Result<(), Fault> {
    let own = KindSet::from_iter([Kind::Mnt]);
    let why = "our mounts are to be seen by nobody else, and to end with us; mount_namespaces(7)";
    call("create a mount namespace", "unshare(CLONE_NEWNS)", why, || nix::sched::unshare(own.flags()))
        .map_err(explain::missing_admin)
}

/// Cuts every mount of this namespace off from others; as a slave it still hears of theirs.
pub(crate) fn cut_off(kind: PropagationKind) -> Result<(), Fault> {
    let top = open_directory(Path::new("/"), "open the root directory")?;
    let why = "else our mounts travel back to where this namespace was copied from; mount_namespaces(7)";
    let propagation = Propagation { kind, recursive: true };
    attach::propagate("cut our mounts off from the host's", top.as_fd(), propagation, why)
        .map_err(explain::no_root_mount)
}

/// Makes the root a mount of its own with these flags, and attaches it; it can be filled from now on.
pub(crate) fn attach(source: &Source, attributes: Attributes) -> Result<InRoot, Fault> {
    // A root of our own making is sealed when all is in it.
    let own = attributes - Attributes::MOUNT_ATTR_RDONLY;
    let mount = match source {
        Source::Directory(path) => return attach_directory(path, attributes),
        Source::Descriptor(fd) => of_descriptor(*fd)?,
        Source::Host => {
            let why = "a root made on the spot, in memory; tmpfs(5)";
            attach::fresh("make a root from the host's programs", &host_root::filesystem(), why)?
        }
        Source::Tmpfs => {
            let tmpfs = Filesystem::new("tmpfs", &[("mode", "755")], own | Attributes::MOUNT_ATTR_NOSUID);
            attach::fresh("make an empty root", &tmpfs, "a root with nothing in it, in memory; tmpfs(5)")?
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
        root.note(Path::new("/"), Told::Host(lower.first().cloned().unwrap_or_default(), Attributes::empty()));
    }
    Ok(root)
}

/// Over "/" it hides nothing yet: a process's root is the mount below, until it pivots.
pub(crate) fn attach_over_root(mount: &OwnedFd) -> Result<(), Fault> {
    attach_over_root_changed(mount, Attributes::empty())
}

fn attach_over_root_changed(mount: &OwnedFd, attributes: Attributes) -> Result<(), Fault> {
    let top = open_directory(Path::new("/"), "open the root directory")?;
    let changes = [(true, Change::add(attributes))];
    attach::attach_changed(ATTACH, mount.as_fd(), &changes, top.as_fd(), Path::new("/"), ATTACHED_FIRST)
}

fn attach_directory(path: &Path, attributes: Attributes) -> Result<InRoot, Fault> {
    let onto = open_directory(path, &format!("open the new root {}", shown(path)))?;
    let goal = format!("make {} a mount of its own", shown(path));
    let mount = attach::clone_of(&goal, onto.as_fd(), true, OWN_MOUNT)?;
    let changes = [(true, Change::add(attributes))];
    attach::attach_changed(ATTACH, mount.as_fd(), &changes, onto.as_fd(), path, ATTACHED_FIRST)?;
    Ok(InRoot::new(if narrate::is_dry_run() { onto } else { mount }, false, attributes))
}

/// A directory that was opened in another mount namespace cannot be cloned in ours, but the same directory here can; and
/// a detached mount that an earlier program handed on is taken as it is, where the kernel does not clone such.
fn of_descriptor(number: i32) -> Result<OwnedFd, Fault> {
    let goal = format!("make descriptor {number} a mount of its own");
    if !is_open(number) {
        return Err(Fault::new(format!("cannot {goal}: no such descriptor is open; was it handed on?")));
    }
    let handed_on = adopt(number);
    match attach::clone_of(&goal, handed_on.as_fd(), true, OWN_MOUNT) {
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => match same_here(&handed_on) {
            Some(here) => attach::clone_of(&goal, here.as_fd(), true, OWN_MOUNT),
            None => Ok(handed_on),
        },
        answer => answer,
    }
}

/// The same directory, by the path at which it was opened, if it is the same.
fn same_here(directory: &OwnedFd) -> Option<OwnedFd> {
    let path = procfs::read_link(&format!("self/fd/{}", directory.as_raw_fd())).ok()?;
    let here = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let (there, found) = (fstat(directory).ok()?, fstat(&here).ok()?);
    ((there.st_dev, there.st_ino) == (found.st_dev, found.st_ino)).then_some(here)
}

/// Makes the root itself read-only, now that all is in it; what is mounted in it has flags of its own.
pub(crate) fn seal(root: &InRoot) -> Result<(), Fault> {
    let why = "all is in it now; mount_setattr(2)";
    attach::tighten("make the root read-only", root.as_fd(), Attributes::MOUNT_ATTR_RDONLY, why)
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
    let_go()?;
    match narrate::is_dry_run() {
        true => Ok(()),
        false => look(goal, "chdir(\"/\")", || rustix::process::chdir("/")),
    }
}

/// Once for the old root; more often where something was mounted over it, since the topmost goes first.
fn let_go() -> Result<(), Fault> {
    const GOAL: &str = "let go of the old root";
    let why = "nothing of the old root can be reached any more, through no path and no ..";
    for _ in 0..MOST_COVERS {
        call(GOAL, "umount2(\".\", MNT_DETACH)", why, || unmount(".", UnmountFlags::DETACH))?;
        // From the root, `..` leads to the topmost of what lies over it.
        if narrate::is_dry_run() || mount_id(Path::new("."))? == mount_id(Path::new(".."))? {
            return Ok(());
        }
    }
    Err(Fault::new(format!("cannot {GOAL}: {MOST_COVERS} mounts lay over it, and there are more")))
}

/// The id of the mount that is seen at a path now.
pub(crate) fn mount_id(path: &Path) -> Result<u64, Fault> {
    let goal = "make sure that the old root is gone";
    told_mount_id(goal, &format!("statx(AT_FDCWD, {}, STATX_MNT_ID)", quoted(path)), || {
        statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)
    })
}

/// The id of the mount that a descriptor lies on.
pub(crate) fn mount_id_of(goal: &str, mount: BorrowedFd<'_>) -> Result<u64, Fault> {
    told_mount_id(goal, "statx(fd, STATX_MNT_ID)", || statx(mount, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID))
}

fn told_mount_id(goal: &str, text: &str, ask: impl FnOnce() -> rustix::io::Result<Statx>) -> Result<u64, Fault> {
    let stat = look(goal, text, ask)?;
    match stat.stx_mask & StatxFlags::MNT_ID.bits() != 0 {
        true => Ok(stat.stx_mnt_id),
        false => Err(Fault::new(format!("cannot {goal}: {text}: no mount ID is told, as it is since Linux 5.8"))),
    }
}

pub(crate) fn open_directory(path: &Path, goal: &str) -> Result<OwnedFd, Fault> {
    look(goal, format!("openat(AT_FDCWD, {:?}, O_PATH|O_DIRECTORY)", path.to_string_lossy()), || {
        openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    })
}
