//! The files that a run makes on file systems that exist longer than the run, so that a failing run can remove them.
//! `unlinkat(2)`.
//!
//! The surprise: a directory that is a mount point in our own mount namespace cannot be removed. So the new root is
//! detached first, with everything that is mounted in it.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use plumbing::kernel::{call, look, own};
use plumbing::{Fault, narrate};
use rustix::fs::{AtFlags, FileType, Stat, statat};
use rustix::mount::{UnmountFlags, unmount};

use crate::entry::{quoted, shown};
use crate::mount_api::MOST_STACKED;
use crate::removal::Removal;

const GOAL: &str = "remove what was made in the root";
const MOUNTED: &str = "a mount point cannot be removed; umount(2)";

/// The files and directories made so far, and the mounts.
#[derive(Debug, Default)]
pub(crate) struct Made {
    files: RefCell<Vec<One>>,
    mounts: RefCell<Vec<(PathBuf, Lifetime)>>,
}

/// Whether a file that is made on a mount still exists after the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// A new file system.
    OfTheRun,
    /// The given root, or a bind of a directory of the host.
    Longer,
}

#[derive(Debug)]
struct One {
    dir: Rc<OwnedFd>,
    name: OsString,
    path: PathBuf,
    was: Stat,
}

impl Made {
    /// Notes a mount at `path` in the root.
    pub(crate) fn mounted(&self, path: &Path, lifetime: Lifetime) {
        self.mounts.borrow_mut().push((path.to_owned(), lifetime));
    }

    /// Notes the file `name` that was just made in `dir`, at `path` in the root.
    pub(crate) fn note(&self, dir: Rc<OwnedFd>, name: &OsStr, path: &Path) -> Result<(), Fault> {
        if narrate::is_dry_run() || !self.outlives_the_run(path) {
            return Ok(());
        }
        let text = format!("fstatat(fd, {}, AT_SYMLINK_NOFOLLOW)", quoted(name.as_ref()));
        let was = look("remember what was made", text, || statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW))?;
        self.files.borrow_mut().push(One { dir, name: name.to_owned(), path: path.to_owned(), was });
        Ok(())
    }

    /// Reports whether a file exists longer than the run. The lowest mount above it decides, and at the same path the last.
    fn outlives_the_run(&self, path: &Path) -> bool {
        let mounts = self.mounts.borrow();
        let above = mounts.iter().filter(|(at, _)| path != at && path.starts_with(at));
        above.max_by_key(|(at, _)| at.components().count()).is_none_or(|(_, lifetime)| *lifetime == Lifetime::Longer)
    }

    /// Removes all noted files, the last first. A file that cannot be removed is named on stderr: the run has failed already,
    /// and its error is the one to report.
    pub(crate) fn take_back(&self, root: BorrowedFd<'_>) {
        let files = self.files.take();
        if files.is_empty() {
            return;
        }
        let is_detached = detach(root).is_ok();
        for one in files.iter().rev() {
            let bare = if is_detached { Ok(()) } else { one.uncover() };
            if let Err(fault) = bare.and_then(|()| one.remove()) {
                let path = shown(&one.path);
                narrate::remark(format!("{path} was made by this run and stays in the root: {fault}"));
            }
        }
    }
}

impl One {
    /// Unmounts everything on it. Needed after a pivot: the root of a user namespace cannot be detached.
    fn uncover(&self) -> Result<(), Fault> {
        let text = format!("umount2({}, MNT_DETACH|UMOUNT_NOFOLLOW)", quoted(&self.path));
        for _ in 0..MOST_STACKED {
            let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
            match call(GOAL, &text, MOUNTED, || unmount(&self.path, flags)) {
                Ok(()) => {}
                Err(fault) if fault.errno() == Some(Errno::EINVAL) => break,
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Removes the file if it is still the one that was made, and nobody wrote to it.
    fn remove(&self) -> Result<(), Fault> {
        let above = self.path.parent().unwrap_or(&self.path);
        let identity = |stat: &Stat| (stat.st_dev, stat.st_ino, FileType::from_raw_mode(stat.st_mode));
        let has_grown = |now: &Stat| identity(now).2 != FileType::Directory && now.st_size > self.was.st_size;
        Removal { goal: GOAL, dir: &self.dir, above, name: &self.name }
            .run(|now| identity(now) == identity(&self.was) && !has_grown(now))
    }
}

fn detach(root: BorrowedFd<'_>) -> Result<(), Fault> {
    own(GOAL, "fchdir(root)", || rustix::process::fchdir(root))?;
    call(GOAL, "umount2(\".\", MNT_DETACH)", MOUNTED, || unmount(".", UnmountFlags::DETACH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unchanged_files_are_removed() {
        let top = std::env::temp_dir().join(format!("made-{}", std::process::id()));
        std::fs::create_dir(&top).unwrap();
        let made = Made::default();
        for name in ["file", "grown", "other", "directory", "full"] {
            match name {
                "directory" | "full" => std::fs::create_dir(top.join(name)).unwrap(),
                _ => std::fs::write(top.join(name), "").unwrap(),
            }
            let dir = Rc::new(OwnedFd::from(std::fs::File::open(&top).unwrap()));
            made.note(dir, OsStr::new(name), &Path::new("/").join(name)).unwrap();
        }
        std::fs::write(top.join("grown"), "somebody's").unwrap();
        std::fs::write(top.join("full/file"), "").unwrap();
        std::fs::write(top.join("new"), "").unwrap();
        std::fs::rename(top.join("new"), top.join("other")).unwrap();
        let before = std::fs::read_dir(&top).unwrap().count();
        let removed: Vec<_> = made.files.take().iter().map(|one| one.remove().is_ok()).collect();
        let left = ["file", "grown", "other", "directory", "full"].map(|name| top.join(name).exists());
        let after = std::fs::read_dir(&top).unwrap().count();
        std::fs::remove_dir_all(&top).unwrap();
        assert_eq!(before - after, 2);
        assert_eq!(removed, [true, false, false, true, false]);
        assert_eq!(left, [false, true, true, false, true]);
    }

    #[test]
    fn files_on_new_file_systems_need_no_removal() {
        let made = Made::default();
        let outlives = |path: &str| made.outlives_the_run(Path::new(path));
        assert!(outlives("/dev"));
        made.mounted(Path::new("/dev"), Lifetime::OfTheRun);
        assert!(outlives("/dev") && outlives("/devices") && !outlives("/dev/null"));
        made.mounted(Path::new("/dev/data"), Lifetime::Longer);
        assert!(!outlives("/dev/data") && outlives("/dev/data/new"));
        made.mounted(Path::new("/dev/data"), Lifetime::OfTheRun);
        assert!(!outlives("/dev/data/new"));
    }
}
