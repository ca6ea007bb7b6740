//! The file systems that this run has just made and attached: a name in their top directory was made by us or by the kernel,
//! so no path has to be resolved to reach it. `mkdirat(2)`, `move_mount(2)`.
//!
//! The surprise: a descriptor of a mount leads to it even when another mount covers it. So every mount is noted here, and
//! what it covers is no longer used. Only calls that follow no link use the names: the owner of a held container's mount
//! namespace can enter it meanwhile, and make a link there.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::process::closing::leave;
use rustix::fs::FileType;

use super::{InRoot, Links};
use crate::entry::{Attributes, Filesystem};
use crate::mount_api::Onto;

/// The kinds of file systems in which nobody but us and the kernel makes names.
const KINDS: [&str; 3] = ["tmpfs", "proc", "sysfs"];

/// The file systems, by their mount points.
#[derive(Debug, Default)]
pub(super) struct OwnFilesystems(RefCell<Vec<Own>>);

#[derive(Debug)]
struct Own {
    path: PathBuf,
    mount: Rc<OwnedFd>,
    /// Whether files can be made in it.
    takes_files: bool,
}

impl OwnFilesystems {
    /// Ends the use of what a mount at `path` covers.
    pub(super) fn cover(&self, path: &Path) {
        let is_plain = path.components().all(|part| part != Component::ParentDir);
        let is_covered = |own: &mut Own| !is_plain || own.path.starts_with(path);
        let covered: Vec<_> = self.0.borrow_mut().extract_if(.., is_covered).collect();
        covered.into_iter().filter_map(|own| Rc::into_inner(own.mount)).for_each(leave);
    }

    /// Returns the mount at `path`.
    pub(super) fn top(&self, path: &Path) -> Option<Rc<OwnedFd>> {
        self.0.borrow().iter().find(|own| own.path == path).map(|own| Rc::clone(&own.mount))
    }

    /// Returns the mount in whose top directory `path` is, if a file can be made there.
    pub(super) fn for_files(&self, path: &Path) -> Option<Rc<OwnedFd>> {
        let above = path.file_name().and(path.parent())?;
        let own = self.0.borrow();
        own.iter().find(|own| own.takes_files && own.path == above).map(|own| Rc::clone(&own.mount))
    }
}

/// A place to mount on: a file or directory by its descriptor, or by its name in a file system of our own.
#[derive(Debug)]
pub(crate) enum Place {
    Opened(Rc<OwnedFd>),
    NamedIn(Rc<OwnedFd>),
}

impl Place {
    /// Returns what the mount calls need.
    pub(crate) fn onto(&self) -> Onto<'_> {
        match self {
            Place::Opened(fd) => Onto::Opened(fd.as_fd()),
            Place::NamedIn(dir) => Onto::NamedIn(dir.as_fd()),
        }
    }

    /// Ends the use of the place, on which something is mounted now.
    pub(crate) fn leave(self) {
        let (Place::Opened(fd) | Place::NamedIn(fd)) = self;
        if let Some(fd) = Rc::into_inner(fd) {
            leave(fd);
        }
    }
}

impl From<OwnedFd> for Place {
    fn from(fd: OwnedFd) -> Place {
        Place::Opened(Rc::new(fd))
    }
}

impl InRoot {
    /// Notes the new file system that was just attached at `path`. It is used directly only if no link was followed on the way
    /// to it, and if it did not begin with files of the root.
    pub(crate) fn attached(&self, path: &Path, mount: OwnedFd, filesystem: &Filesystem) {
        self.own.cover(path);
        let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let kind = filesystem.kind.as_str();
        if is_plain && self.links(path) == Links::Refuse && KINDS.contains(&kind) && !filesystem.copies_up {
            let is_read_only = filesystem.attributes.contains(Attributes::MOUNT_ATTR_RDONLY);
            let takes_files = kind == "tmpfs" && !is_read_only;
            self.own.0.borrow_mut().push(Own { path: path.to_owned(), mount: Rc::new(mount), takes_files });
        } else {
            leave(mount);
        }
    }

    /// Notes another mount at `path`, or that what is mounted there can no longer be written to.
    pub(crate) fn covered(&self, path: &Path) {
        self.own.cover(path);
    }

    /// Returns the mount of our own at `path`.
    pub(crate) fn own_top(&self, path: &Path) -> Option<Rc<OwnedFd>> {
        self.own.top(path)
    }

    /// Returns the mount of our own in whose top directory `path` is.
    pub(crate) fn own_above(&self, path: &Path) -> Option<Rc<OwnedFd>> {
        self.own.top(path.file_name().and(path.parent())?)
    }

    /// Returns the directory `path`, to mount on it; makes it if it is missing.
    pub(crate) fn directory_to_mount_on(&self, path: &Path) -> Result<Place, Fault> {
        match self.own.for_files(path) {
            Some(dir) => match self.make_directory(path, 0o755) {
                // By an earlier entry of the list.
                Err(fault) if fault.errno() == Some(Errno::EEXIST) => self.directory(path).map(Place::from),
                made => made.map(|()| Place::NamedIn(dir)),
            },
            None => self.directory(path).map(Place::from),
        }
    }

    /// Returns the file `path` if it was made just now in a file system of our own, to mount on it.
    pub(crate) fn own_file(&self, path: &Path) -> Result<Option<Place>, Fault> {
        let Some(dir) = self.own.for_files(path) else { return Ok(None) };
        match self.make_node(path, FileType::RegularFile, 0o444, 0, "an empty file to mount on") {
            Err(fault) if fault.errno() == Some(Errno::EEXIST) => Ok(None),
            made => made.map(|()| Some(Place::NamedIn(dir))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_ends_the_use_of_what_it_covers() {
        let own = OwnFilesystems::default();
        let note = |path: &str| {
            let mount = Rc::new(OwnedFd::from(std::fs::File::open("/").unwrap()));
            own.0.borrow_mut().push(Own { path: path.into(), mount, takes_files: path != "/proc" });
        };
        let has = |path: &str| own.for_files(Path::new(path)).is_some();
        ["/dev", "/dev/shm", "/proc"].into_iter().for_each(note);
        assert!(has("/dev/null") && has("/dev/shm/x") && !has("/dev/pts/x") && !has("/dev/..") && !has("/proc/x"));
        own.cover(Path::new("/dev/pts"));
        assert!(has("/dev/null") && own.top(Path::new("/proc")).is_some());
        own.cover(Path::new("/dev/shm"));
        assert!(has("/dev/null") && !has("/dev/shm/x"));
        own.cover(Path::new("/dev"));
        assert!(!has("/dev/null") && own.top(Path::new("/proc")).is_some());
        note("/dev");
        own.cover(Path::new("/proc/../dev"));
        assert!(!has("/dev/null") && own.top(Path::new("/proc")).is_none());
    }
}
