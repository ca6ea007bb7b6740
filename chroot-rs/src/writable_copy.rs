//! A mount point that is missing in a read-only directory: the directory is replaced by a copy in memory, into which each of
//! its entries is bound, and which can be written to. `open_tree(2)`, `tmpfs(5)`.
//!
//! Binds and not an overlay: they include the mounts below, also those that are locked in a user namespace; the root's
//! extended attributes and device nodes have no effect; there is no nesting limit and no module to load. A bind keeps the
//! flags of its mount, so nothing of the lower tree becomes writable. The surprise: each entry becomes a mount.

use std::cell::{OnceCell, RefCell};
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use plumbing::confinement::privilege::is_mapped;
use plumbing::kernel::{call, look, own};
use plumbing::process::kernel_made::is_interface;
use plumbing::process::procfs;
use plumbing::{Fault, narrate};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, StatVfsMountFlags, StatxFlags, fstat, fstatfs, fstatvfs, mkdirat, mknodat,
    openat, readlinkat, statx, symlinkat,
};
use rustix::io::Errno;

use crate::cleanup::{Lifetime, Made};
use crate::entry::{Attributes, Filesystem, quoted, shown};
use crate::mount_api;

/// The limit of entries, since each needs a mount: the kernel allows 100000 mounts in a mount namespace.
const MOST_ENTRIES: usize = 5000;

/// Flags of a mount, as `statvfs(3)` returns and as mounts are made with; libc does not define the one of nosymfollow.
const FLAGS: [(StatVfsMountFlags, Attributes); 5] = [
    (StatVfsMountFlags::RDONLY, Attributes::MOUNT_ATTR_RDONLY),
    (StatVfsMountFlags::NOSUID, Attributes::MOUNT_ATTR_NOSUID),
    (StatVfsMountFlags::NODEV, Attributes::MOUNT_ATTR_NODEV),
    (StatVfsMountFlags::NOEXEC, Attributes::MOUNT_ATTR_NOEXEC),
    (StatVfsMountFlags::from_bits_retain(0x2000), Attributes::MOUNT_ATTR_NOSYMFOLLOW),
];

const AS_BEFORE: &str = "an existing entry, unchanged";

/// Returns the flags of the mount through which a directory was opened.
pub(crate) fn flags_of(dir: &OwnedFd) -> rustix::io::Result<Attributes> {
    let flags = fstatvfs(dir)?.f_flag;
    Ok(FLAGS.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, attribute)| *attribute).collect())
}

/// The directories of a root that were replaced by a writable copy.
#[derive(Debug, Default)]
pub(crate) struct WritableCopies {
    /// The copy of the root's top directory.
    top: OnceCell<OwnedFd>,
    copies: RefCell<Vec<(PathBuf, OwnedFd)>>,
}

impl WritableCopies {
    /// Returns the copy of the root's top directory: a descriptor of the original would always lead below the copy.
    pub(crate) fn top(&self) -> Option<&OwnedFd> {
        self.top.get()
    }

    /// Returns the paths of the directories.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.copies.borrow().iter().map(|(path, _)| path.clone()).collect()
    }

    /// Reports whether a directory was replaced.
    pub(crate) fn has(&self, path: &Path) -> bool {
        self.copies.borrow().iter().any(|(replaced, _)| replaced == path)
    }

    /// Replaces `dir`, which is at `place` in the root `top`; returns a directory that is writable until `close`. If it cannot be
    /// replaced, it is returned unchanged, and the call that makes something in it reports the reason.
    pub(crate) fn replace(
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
        let cover = copy(&goal, &dir, place, &names, flags)?;
        let again = || own(&goal, "fcntl(fd, F_DUPFD_CLOEXEC)", || cover.try_clone());
        let seen = if narrate::is_dry_run() { dir } else { again()? };
        if is_top && !narrate::is_dry_run() {
            let top = again()?;
            self.top.get_or_init(|| top);
        }
        self.copies.borrow_mut().push((place.to_owned(), cover));
        made.mounted(place, Lifetime::OfTheRun);
        names.iter().for_each(|name| made.mounted(&place.join(OsStr::from_bytes(name.to_bytes())), Lifetime::Longer));
        Ok(seen)
    }

    /// Makes the copies read-only, like the directories that they replace.
    pub(crate) fn close(&self) -> Result<(), Fault> {
        let why = "all mount points are made; mount_setattr(2)";
        self.copies.borrow().iter().try_for_each(|(path, cover)| {
            let goal = format!("make {} read-only again", shown(path));
            mount_api::tighten(&goal, cover.as_fd(), Attributes::MOUNT_ATTR_RDONLY, why)
        })
    }
}

/// Lists the entries to copy: `None` if we may not list them, if there are too many, or if the kernel generates them.
fn entries_of(dir: &OwnedFd) -> Option<Vec<CString>> {
    // A copy would be outdated at once.
    if is_interface(&fstatfs(dir).ok()?) {
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

/// Reports whether both are the same directory on the same mount.
fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    let place = |fd: BorrowedFd<'_>| {
        let stat = statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID)?;
        Ok::<_, Errno>((stat.stx_mnt_id, stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino))
    };
    Ok(place(one)? == place(other)?)
}

fn copy(goal: &str, dir: &OwnedFd, place: &Path, names: &[CString], flags: Attributes) -> Result<OwnedFd, Fault> {
    let tmpfs = like(goal, dir, flags)?;
    let why = "it is on a read-only file system, which stays unchanged: a directory in memory covers it; tmpfs(5)";
    let cover = mount_api::fresh(goal, &tmpfs, why)?;
    mount_api::move_mount(goal, cover.as_fd(), dir.as_fd().into(), place, "it covers the read-only directory")?;
    for name in names {
        match openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            // It was removed after it was listed.
            Err(Errno::NOENT) => {}
            entry => show_entry(goal, &look(goal, "openat(fd, O_PATH)", || entry)?, &cover, place, name)?,
        }
    }
    Ok(cover)
}

/// Returns a file system whose top directory has the mode and owner of the directory that it replaces, if they are mapped here.
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
    let mount = mount_api::clone_of(goal, entry.as_fd(), true, AS_BEFORE)?;
    let why = "a place to bind it";
    match kind {
        FileType::Directory => call(goal, format!("mkdirat(root:{above}, {quoted}, 0755)"), why, || {
            mkdirat(cover, name, Mode::from_raw_mode(0o755))
        }),
        _ => call(goal, format!("mknodat(root:{above}, {quoted}, S_IFREG|0444)"), why, || {
            mknodat(cover, name, FileType::RegularFile, Mode::from_raw_mode(0o444), 0)
        }),
    }?;
    // In a dry run nothing was made.
    let onto_name = if narrate::is_dry_run() { c"." } else { name };
    let onto = look(goal, "openat(fd, O_PATH)", || {
        openat(cover, onto_name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    })?;
    mount_api::move_mount(goal, mount.as_fd(), onto.as_fd().into(), &at, AS_BEFORE)
}
