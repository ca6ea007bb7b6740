//! A mount point that is missing in a directory of a read-only file system: the directory is shown anew, in memory, with
//! each of its entries bound into it, and with room for the mount point. `open_tree(2)`, `tmpfs(5)`.
//!
//! Binds and no overlay: what is mounted below comes along, also what is locked in a user namespace; the root's own
//! extended attributes and device nodes mean nothing; it neither nests too deep nor asks for a module. What is bound keeps
//! its mount's flags, so nothing of the lower tree becomes writable. The surprise: each entry is a mount of its own then.

use std::cell::{OnceCell, RefCell};
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use plumbing::kernel::{call, look};
use plumbing::privilege::is_mapped;
use plumbing::{Fault, narrate, procfs};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, PROC_SUPER_MAGIC, StatVfsMountFlags, StatxFlags, fstat, fstatfs, fstatvfs,
    mkdirat, mknodat, openat, readlinkat, statx, symlinkat,
};
use rustix::io::Errno;

use crate::attach;
use crate::entry::{Attributes, Filesystem, quoted, shown};
use crate::made::{Lifetime, Made};

/// More entries than this are too many mounts for one mount point: the kernel has 100000 for a whole mount namespace.
const MOST_ENTRIES: usize = 5000;

/// What the kernel makes up as it goes along cannot be shown as it once was: proc, sysfs, cgroup and cgroup2, with their
/// numbers of <linux/magic.h>.
const MADE_UP: [u64; 4] = [PROC_SUPER_MAGIC as u64, 0x6265_6572, 0x0027_e0eb, 0x6367_7270];

/// Flags of a mount, as `statvfs(3)` tells them and as mounts are made with; nosymfollow is the kernel's alone.
const FLAGS: [(StatVfsMountFlags, Attributes); 5] = [
    (StatVfsMountFlags::RDONLY, Attributes::MOUNT_ATTR_RDONLY),
    (StatVfsMountFlags::NOSUID, Attributes::MOUNT_ATTR_NOSUID),
    (StatVfsMountFlags::NODEV, Attributes::MOUNT_ATTR_NODEV),
    (StatVfsMountFlags::NOEXEC, Attributes::MOUNT_ATTR_NOEXEC),
    (StatVfsMountFlags::from_bits_retain(0x2000), Attributes::MOUNT_ATTR_NOSYMFOLLOW),
];

const AS_BEFORE: &str = "what is there already, as it is";

/// The flags of the mount that a directory is seen by.
pub(crate) fn flags_of(dir: &OwnedFd) -> rustix::io::Result<Attributes> {
    let told = fstatvfs(dir)?.f_flag;
    Ok(FLAGS.iter().filter(|(flag, _)| told.contains(*flag)).map(|(_, attribute)| *attribute).collect())
}

/// The directories of a root that are shown anew.
#[derive(Debug, Default)]
pub(crate) struct Covers {
    /// The one over the root itself.
    top: OnceCell<OwnedFd>,
    shown: RefCell<Vec<(PathBuf, OwnedFd)>>,
}

impl Covers {
    /// What lies over the root's top directory: a descriptor of that leads below it for ever.
    pub(crate) fn top(&self) -> Option<&OwnedFd> {
        self.top.get()
    }

    /// Where they are.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.shown.borrow().iter().map(|(path, _)| path.clone()).collect()
    }

    /// Whether there is one.
    pub(crate) fn has(&self, path: &Path) -> bool {
        self.shown.borrow().iter().any(|(shown, _)| shown == path)
    }

    /// Shows `dir`, which is at `place` in the root `top`, anew; answers what can be written to until it is closed. Where it
    /// cannot be shown, it is as it was, and the call that makes something in it says why not.
    pub(crate) fn show(
        &self,
        top: BorrowedFd<'_>,
        dir: OwnedFd,
        place: &Path,
        flags: Attributes,
        made: &Made,
    ) -> Result<OwnedFd, Fault> {
        let Some(names) = entries_of(&dir) else { return Ok(dir) };
        let goal = format!("make room for a mount point in {}", shown(place));
        let is_top = look(&goal, "statx(fd, STATX_MNT_ID)", || is_same(dir.as_fd(), top))?;
        let cover = show_anew(&goal, &dir, place, &names, flags)?;
        let again = || look(&goal, "fcntl(fd, F_DUPFD_CLOEXEC)", || cover.try_clone());
        let seen = if narrate::is_dry_run() { dir } else { again()? };
        if is_top && !narrate::is_dry_run() {
            let top = again()?;
            self.top.get_or_init(|| top);
        }
        self.shown.borrow_mut().push((place.to_owned(), cover));
        made.mounted(place, Lifetime::OfTheRun);
        names.iter().for_each(|name| made.mounted(&place.join(OsStr::from_bytes(name.to_bytes())), Lifetime::Longer));
        Ok(seen)
    }

    /// Makes them read-only, as what they stand for.
    pub(crate) fn close(&self) -> Result<(), Fault> {
        let why = "all mount points are in it; mount_setattr(2)";
        self.shown.borrow().iter().try_for_each(|(path, cover)| {
            let goal = format!("make {} read-only again", shown(path));
            attach::tighten(&goal, cover.as_fd(), Attributes::MOUNT_ATTR_RDONLY, why)
        })
    }
}

/// What is to be shown anew: `None` where that cannot be, because we may not list it, or it is too much, or it changes.
fn entries_of(dir: &OwnedFd) -> Option<Vec<CString>> {
    let kind = u64::try_from(fstatfs(dir).ok()?.f_type).ok()?;
    if MADE_UP.contains(&kind) {
        return None;
    }
    let listed = openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut names = Vec::new();
    for entry in Dir::new(listed).ok()? {
        match entry.ok()?.file_name() {
            name if name == c"." || name == c".." => {}
            _ if names.len() == MOST_ENTRIES => return None,
            name => names.push(name.to_owned()),
        }
    }
    names.sort_unstable();
    Some(names)
}

/// Whether both are the same directory, seen by the same mount.
fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    let place = |fd: BorrowedFd<'_>| {
        let stat = statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID)?;
        Ok::<_, Errno>((stat.stx_mnt_id, stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino))
    };
    Ok(place(one)? == place(other)?)
}

fn show_anew(goal: &str, dir: &OwnedFd, place: &Path, names: &[CString], flags: Attributes) -> Result<OwnedFd, Fault> {
    let tmpfs = like(goal, dir, flags)?;
    let why = "it is on a read-only file system, which stays as it is: a directory in memory lies over it; tmpfs(5)";
    let cover = attach::fresh(goal, &tmpfs, why)?;
    attach::attach(goal, cover.as_fd(), dir.as_fd(), place, "over what cannot be written to")?;
    for name in names {
        match openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            // It went away since it was listed.
            Err(Errno::NOENT) => {}
            entry => show_entry(goal, &look(goal, "openat(fd, O_PATH)", || entry)?, &cover, place, name)?,
        }
    }
    Ok(cover)
}

/// A file system whose top has the mode and the owner of the directory that it stands for, if they are mapped here.
fn like(goal: &str, dir: &OwnedFd, flags: Attributes) -> Result<Filesystem, Fault> {
    let stat = look(goal, "fstat(fd)", || fstat(dir))?;
    let mode = format!("{:o}", stat.st_mode & 0o7777);
    let owner = [("uid", stat.st_uid), ("gid", stat.st_gid)].map(|(key, id)| (key, id.to_string(), id));
    let mut parameters = vec![("mode", mode.as_str())];
    for (key, text, id) in &owner {
        let map = procfs::read_text(&format!("self/{key}_map")).unwrap_or_default();
        if is_mapped(&map, *id) {
            parameters.push((key, text));
        }
    }
    Ok(Filesystem::new("tmpfs", &parameters, flags - Attributes::MOUNT_ATTR_RDONLY))
}

fn show_entry(goal: &str, entry: &OwnedFd, cover: &OwnedFd, place: &Path, name: &CStr) -> Result<(), Fault> {
    let kind = look(goal, "fstat(fd)", || fstat(entry)).map(|stat| FileType::from_raw_mode(stat.st_mode))?;
    let at = place.join(OsStr::from_bytes(name.to_bytes()));
    let (above, quoted) = (shown(place), quoted(OsStr::from_bytes(name.to_bytes()).as_ref()));
    if kind == FileType::Symlink {
        let to = look(goal, "readlinkat(fd)", || readlinkat(entry, c"", Vec::new()))?;
        let text = format!("symlinkat({:?}, root:{above}, {quoted})", to.to_string_lossy());
        return call(goal, text, AS_BEFORE, || symlinkat(&to, cover, name));
    }
    let mount = attach::clone_of(goal, entry.as_fd(), true, AS_BEFORE)?;
    let why = "a place to bind it on";
    match kind {
        FileType::Directory => call(goal, format!("mkdirat(root:{above}, {quoted}, 0755)"), why, || {
            mkdirat(cover, name, Mode::from_raw_mode(0o755))
        }),
        _ => call(goal, format!("mknodat(root:{above}, {quoted}, S_IFREG|0444)"), why, || {
            mknodat(cover, name, FileType::RegularFile, Mode::from_raw_mode(0o444), 0)
        }),
    }?;
    // Nothing was made where it was only told.
    let onto_name = if narrate::is_dry_run() { c"." } else { name };
    let onto = look(goal, "openat(fd, O_PATH)", || {
        openat(cover, onto_name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    })?;
    attach::attach(goal, mount.as_fd(), onto.as_fd(), &at, AS_BEFORE)
}
