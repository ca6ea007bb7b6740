//! Paths inside a root that somebody else made: resolved by the kernel below the root's descriptor, then used only as
//! descriptors, never again as strings. `openat2(2)`, `path_resolution(7)`.
//!
//! A root may have a symbolic link at /proc, or replace a directory by one during our work. `resolve.rs` in plumbing keeps
//! every step below the root; a path on which something is mounted or written must not contain a link at all.

mod make;
mod own;

use std::cell::Cell;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::fault::IntoErrno;
use plumbing::kernel::{look, own};
use plumbing::process::kernel_made::is_interface;
use plumbing::process::procfs;
use plumbing::{Fault, narrate};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, fstatfs, openat};

use crate::cleanup::{Lifetime, Made};
use crate::dry_run_tree::{DryRunTree, Node, Where};
use crate::entry::{Attributes, quoted, shown};
use crate::writable_copy::{self, WritableCopies};
use own::OwnFilesystems;
pub(crate) use own::Place;
use plumbing::process::resolve::{self, Links};

/// The limit for reading a file inside a root.
const LONGEST: u64 = 4 << 20;

/// A root, as the descriptor of its top directory.
#[derive(Debug)]
pub(crate) struct InRoot {
    fd: OwnedFd,
    copies: WritableCopies,
    /// The flags that its mount is to get: in a dry run the mount does not have them.
    flags: Attributes,
    dry_run: DryRunTree,
    follows: Cell<bool>,
    made: Made,
    own: OwnFilesystems,
}

impl InRoot {
    /// Wraps the top directory `fd` of a root, which is on a mount with these flags. `is_new`: the directory was just made and
    /// is empty.
    pub(crate) fn new(fd: OwnedFd, is_new: bool, flags: Attributes) -> InRoot {
        let (dry_run, made) = (DryRunTree::new(), Made::default());
        if is_new {
            dry_run.note(Path::new("/"), Node::Empty);
            made.mounted(Path::new("/"), Lifetime::OfTheRun);
        }
        InRoot {
            fd,
            copies: WritableCopies::default(),
            flags,
            dry_run,
            follows: Cell::new(false),
            made,
            own: OwnFilesystems::default(),
        }
    }

    /// Makes it follow links on the way to a target inside the root, as OCI runtimes do. Links in /proc, /sys and /dev, which
    /// concern the machine, are still refused (CVE-2019-19921, CVE-2023-27561).
    pub(crate) fn following(self) -> InRoot {
        InRoot { follows: Cell::new(true), ..self }
    }

    /// Follows links during `work` only.
    pub(crate) fn while_following<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.follows.replace(true);
        let done = work();
        self.follows.set(before);
        done
    }

    /// Returns the path without links to which `path` leads inside the root, where links are followed. What is missing at its
    /// end can then be made there: a link may lead to a name that does not exist yet.
    pub(crate) fn settled(&self, path: &Path) -> Result<PathBuf, Fault> {
        if self.links(path) == Links::Refuse || self.dry_run.find(path) != Where::Root {
            return Ok(path.to_owned());
        }
        let settled = resolve::settle(self.as_fd(), path);
        look(reach(path), format!("readlinkat(root, {})", quoted(path)), || settled)
    }

    fn links(&self, path: &Path) -> Links {
        let is_fixed = ["/proc", "/sys", "/dev"].iter().any(|top| path.starts_with(top));
        if self.follows.get() && !is_fixed { Links::Inside } else { Links::Refuse }
    }

    /// Returns its top directory.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.copies.top().unwrap_or(&self.fd).as_fd()
    }

    /// Makes its top directory the working directory. A dry run has not made it, and stays where it is.
    pub(crate) fn chdir(&self, goal: &str) -> Result<(), Fault> {
        if narrate::is_dry_run() {
            return Ok(());
        }
        own(goal, "fchdir(root)", || rustix::process::fchdir(self.as_fd()))
    }

    /// Returns the directory from which it was made, below everything mounted over it.
    pub(crate) fn bottom(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns the directories that were replaced by a writable copy, to make mount points in them.
    pub(crate) fn copies(&self) -> &WritableCopies {
        &self.copies
    }

    /// Returns what was made in it, to be removed if the run fails.
    pub(crate) fn made(&self) -> &Made {
        &self.made
    }

    /// Notes what a dry run printed.
    pub(crate) fn note(&self, path: &Path, node: Node) {
        self.dry_run.note(path, node);
    }

    /// Opens `path`; `None` if it does not exist.
    pub(crate) fn find(&self, path: &Path) -> Result<Option<OwnedFd>, Fault> {
        match self.open(path, OFlags::PATH) {
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Opens what has this name, without following a link at its end.
    pub(crate) fn open_name(&self, path: &Path) -> Result<OwnedFd, Fault> {
        self.open(path, OFlags::PATH | OFlags::NOFOLLOW)
    }

    /// Reports whether this is the root's own top directory.
    pub(crate) fn is_top(&self, dir: &Stat) -> Result<bool, Fault> {
        let top = look("look for the root's top directory", "fstat(fd)", || fstat(self.as_fd()))?;
        Ok((dir.st_dev, dir.st_ino) == (top.st_dev, top.st_ino))
    }

    /// Reads a file of the root; links may lead anywhere *inside*. `None` if it does not exist.
    pub(crate) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Fault> {
        if self.dry_run.find(path) != Where::Root {
            return Ok(None);
        }
        let goal = format!("read {} inside the root", shown(path));
        // First only a name of it: to open a device may do something, such as starting a watchdog.
        let text = format!("openat2(root, {}, O_PATH)", quoted(path));
        let place = match resolve::open(self.as_fd(), path, OFlags::PATH | OFlags::CLOEXEC, Links::Inside) {
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
            answer => look(&goal, text, || answer)?,
        };
        require_file(&goal, &place)?;
        // A lease must not block us. Without /proc, nothing in the root runs yet that could change what the path leads to.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match procfs::open(&format!("self/fd/{}", place.as_raw_fd()), flags) {
            Err(Errno::ENOENT) => look(&goal, format!("openat2(root, {})", quoted(path)), || {
                resolve::open(self.as_fd(), path, flags, Links::Inside)
            })?,
            answer => look(&goal, format!("openat(root:{}, O_RDONLY)", quoted(path)), || answer)?,
        };
        let mut content = Vec::new();
        let mut limited = std::fs::File::from(file).take(LONGEST + 1);
        look(&goal, "read(fd)", || limited.read_to_end(&mut content))?;
        if content.len() as u64 > LONGEST {
            return Err(Fault::new(format!("cannot {goal}: it is longer than {LONGEST} bytes")));
        }
        Ok(Some(content))
    }

    /// Returns the flags of the mount through which a directory was opened; in a dry run those that it would have.
    fn flags_at(&self, path: &Path, dir: &OwnedFd) -> Result<Attributes, Fault> {
        let flags = look(reach(path), "fstatvfs(fd)", || writable_copy::flags_of(dir))?;
        if !narrate::is_dry_run() {
            return Ok(flags);
        }
        Ok(match self.dry_run.find(path) {
            _ if self.copies.has(path) => Attributes::empty(),
            Where::Root => flags | self.flags,
            Where::Host(_, more) => flags | more,
            Where::There | Where::Nowhere => Attributes::empty(),
        })
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Fault> {
        let opened = match self.dry_run.find(path) {
            Where::Root => resolve::open(self.as_fd(), path, flags, self.links(path)),
            Where::There => openat(&self.fd, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()),
            Where::Nowhere => Err(rustix::io::Errno::NOENT),
            Where::Host(same, _) => openat(CWD, same, flags | OFlags::CLOEXEC, Mode::empty()),
        };
        let resolve =
            if self.links(path) == Links::Refuse { "RESOLVE_IN_ROOT|RESOLVE_NO_SYMLINKS" } else { "RESOLVE_IN_ROOT" };
        let text = format!("openat2(root, {}, {resolve})", quoted(path));
        opened.map_err(|error| self.explain(path, Fault::kernel(reach(path), text, error.into_errno())))
    }

    /// Adds a remedy that names the component that is a link, or a file in place of a directory.
    fn explain(&self, path: &Path, fault: Fault) -> Fault {
        if !matches!(fault.errno(), Some(Errno::ELOOP | Errno::ENOTDIR)) {
            return fault;
        }
        let mut parts: Vec<_> = path.ancestors().filter(|part| part.file_name().is_some()).collect();
        parts.reverse();
        for part in parts {
            let flags = OFlags::PATH | OFlags::NOFOLLOW;
            let kind = resolve::open(self.as_fd(), part, flags, Links::Inside)
                .and_then(rustix::fs::fstat)
                .map(|stat| FileType::from_raw_mode(stat.st_mode));
            let part = shown(part);
            match kind {
                Ok(FileType::Directory) => {}
                Ok(FileType::Symlink) => {
                    return fault.with_remedy(format!(
                        "{part} is a symbolic link in this root, and could redirect a mount; use the path it leads to instead, or make \
                         it a directory"
                    ));
                }
                Ok(_) => return fault.with_remedy(format!("{part} is not a directory in this root; make it one")),
                Err(_) => return fault,
            }
        }
        fault
    }
}

fn reach(path: &Path) -> String {
    format!("reach {} inside the root", shown(path))
}

/// Demands a regular file that is in no file system of the kernel's: there, reading may change something, as in /proc/kmsg.
fn require_file(goal: &str, place: &OwnedFd) -> Result<(), Fault> {
    let stat = look(goal, "fstat(fd)", || fstat(place))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Fault::new(format!("cannot {goal}: it is not a regular file")));
    }
    let on = look(goal, "fstatfs(fd)", || fstatfs(place))?;
    if is_interface(&on) {
        return Err(Fault::new(format!("cannot {goal}: it is on a file system of the kernel, such as proc")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
