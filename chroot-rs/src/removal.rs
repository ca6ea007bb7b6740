//! Removing a file only if it is the one that we made, where others may put another in its place at any moment.
//! `rename(2)`, `unlink(2)`.
//!
//! The surprise: no system call removes a file by its identity. Between a look at a name and its removal, the name can
//! come to mean another file. So the file is first moved into a directory in which only we can write; what arrived there
//! is examined, and removed or moved back.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::{call, look, own};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, Stat, fstat, mkdirat, openat, renameat, renameat_with, statat,
    unlinkat,
};

use crate::entry::{quoted, shown};

/// The name of the file in the private directory.
const MOVED: &str = "moved";
const WHY: &str = "examined where only we can change it: its name may mean another file by now; rename(2)";

/// A file that is to be removed. `above` is the path of `dir` in the root, for the narration; `goal` completes "cannot …".
pub(crate) struct Removal<'a> {
    pub(crate) goal: &'a str,
    pub(crate) dir: &'a OwnedFd,
    pub(crate) above: &'a Path,
    pub(crate) name: &'a OsStr,
}

/// A directory in which only we can write.
struct Private {
    fd: OwnedFd,
    name: OsString,
}

impl Removal<'_> {
    /// Removes the file if it is ours, and otherwise leaves or puts it back where it was.
    pub(crate) fn run(&self, is_ours: impl Fn(&Stat) -> bool) -> Result<(), Fault> {
        let changed = || Fault::new("another process changed it meanwhile");
        if !is_ours(&self.stat(self.dir, self.name)?) {
            return Err(changed());
        }
        let private = self.private()?;
        let removed = self.take(&private).and_then(|()| {
            let now = self.stat(&private.fd, OsStr::new(MOVED))?;
            let removed = if is_ours(&now) { self.unlink(&private, &now) } else { Err(changed()) };
            removed.or_else(|fault| self.put_back(&private).and(Err(fault)))
        });
        let text = format!("unlinkat(root:{}, {}, AT_REMOVEDIR)", self.within(None), quoted(private.name.as_ref()));
        let emptied = call(self.goal, text, "the directory in which it was examined; unlink(2)", || {
            unlinkat(self.dir, &private.name, AtFlags::REMOVEDIR)
        });
        removed.and(emptied)
    }

    /// Returns the directory in the narration, or the private directory in it.
    fn within(&self, private: Option<&OsStr>) -> String {
        shown(&private.map_or_else(|| self.above.to_owned(), |name| self.above.join(name)))
    }

    fn stat(&self, dir: impl AsFd, name: &OsStr) -> Result<Stat, Fault> {
        let text = format!("fstatat(fd, {}, AT_SYMLINK_NOFOLLOW)", quoted(name.as_ref()));
        look(self.goal, text, || statat(dir, name, AtFlags::SYMLINK_NOFOLLOW))
    }

    /// Makes the directory, on the same file system.
    fn private(&self) -> Result<Private, Fault> {
        let name = OsString::from(format!(".chroot-rs-{}", std::process::id()));
        let text = format!("mkdirat(root:{}, {}, 0700)", self.within(None), quoted(name.as_ref()));
        call(self.goal, text, "a directory in which only we can write; mkdir(2)", || {
            mkdirat(self.dir, &name, Mode::RWXU)
        })?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let text = format!("openat(fd, {}, O_PATH|O_DIRECTORY|O_NOFOLLOW)", quoted(name.as_ref()));
        let fd = own(self.goal, text, || openat(self.dir, &name, flags, Mode::empty()))?;
        let stat = look(self.goal, "fstat(fd)", || fstat(&fd))?;
        // Somebody may have put another directory there at once.
        let is_private = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o077 == 0;
        if is_private {
            Ok(Private { fd, name })
        } else {
            Err(Fault::new("no private directory can be made next to it"))
        }
    }

    fn take(&self, private: &Private) -> Result<(), Fault> {
        let text = |flags: &str| {
            let (above, to) = (self.within(None), self.within(Some(&private.name)));
            format!("renameat2(root:{above}, {}, root:{to}, {MOVED:?}, {flags})", quoted(self.name.as_ref()))
        };
        let moved = call(self.goal, text("RENAME_NOREPLACE"), WHY, || {
            renameat_with(self.dir, self.name, &private.fd, MOVED, RenameFlags::NOREPLACE)
        });
        match moved {
            // A file system without this flag. The directory is empty, as nobody else can write there.
            Err(fault) if fault.errno() == Some(Errno::EINVAL) => {
                call(self.goal, text("0"), WHY, || renameat(self.dir, self.name, &private.fd, MOVED))
            }
            moved => moved,
        }
    }

    fn unlink(&self, private: &Private, now: &Stat) -> Result<(), Fault> {
        let (flags, flag) = if FileType::from_raw_mode(now.st_mode) == FileType::Directory {
            (AtFlags::REMOVEDIR, "AT_REMOVEDIR")
        } else {
            (AtFlags::empty(), "0")
        };
        let text = format!("unlinkat(root:{}, {MOVED:?}, {flag})", self.within(Some(&private.name)));
        call(self.goal, text, "this run made it and failed; unlink(2)", || unlinkat(&private.fd, MOVED, flags))
    }

    /// Moves the file back, unless there is another one by now: then it stays in the private directory, which is named.
    fn put_back(&self, private: &Private) -> Result<(), Fault> {
        let (above, from) = (self.within(None), self.within(Some(&private.name)));
        let name = quoted(self.name.as_ref());
        let text = format!("renameat2(root:{from}, {MOVED:?}, root:{above}, {name}, RENAME_NOREPLACE)");
        call(self.goal, text, "it is not ours, or not empty; rename(2)", || {
            renameat_with(&private.fd, MOVED, self.dir, self.name, RenameFlags::NOREPLACE)
        })
        .map_err(|fault| Fault::new(format!("{fault}; another process changed it meanwhile, it is now {from}/{MOVED}")))
    }
}
