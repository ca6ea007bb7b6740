//! Where one end of a copy is: a container's root and user namespace, or what the caller sees.
//!
//! Paths of a container are resolved below its root, so no link leads out of it; `openat2(2)`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use plumbing::Fault;
use plumbing::kernel::look;
use plumbing::process::exposure::hide_if_exposed;
use plumbing::process::namespace::{Kind, KindSet};
use plumbing::process::resolve::{self, Links};
use plumbing::process::target::{Target, own_namespace_inode};
use plumbing::process::{foreign_user, procfs};
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::End;

/// An end of a copy, opened.
pub(super) enum Place {
    Inside { target: Target, root: OwnedFd, shown: String, path: PathBuf },
    Outside(PathBuf),
    Stream,
}

impl Place {
    /// Opens the container's root, as the caller.
    pub(super) fn open(end: &End) -> Result<Place, Fault> {
        let (container, shown, path) = match end {
            End::Outside(path) => return Ok(Place::Outside(path.clone())),
            End::Stream => return Ok(Place::Stream),
            End::Inside { container, shown, path } => (container, shown.clone(), path.clone()),
        };
        let target = container.open()?.process()?.or_running_thread()?;
        let pid = target.pid();
        let (goal, text) = (format!("open the root of process {pid}"), format!("openat(\"/proc/{pid}/root\", O_PATH)"));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = look(goal, text, || openat(target.dir(), "root", flags, Mode::empty()))?;
        Ok(Place::Inside { target, root, shown, path })
    }

    /// Takes over the rights of the container's root over its files: becomes root of its user namespace.
    pub(super) fn enter(&self) -> Result<(), Fault> {
        procfs::keep()?;
        let Place::Inside { target, .. } = self else { return Ok(()) };
        if target.namespace_inode(Kind::User)? == own_namespace_inode(Kind::User) {
            return hide_if_exposed();
        }
        let why = "to have the rights of the container's root over its files, and no more; user_namespaces(7)";
        foreign_user::join(target, KindSet::from_iter([Kind::User]), why)
    }

    /// Returns the path; for a stream, none.
    pub(super) fn path(&self) -> &Path {
        match self {
            Place::Inside { path, .. } | Place::Outside(path) => path,
            Place::Stream => Path::new(""),
        }
    }

    /// Opens a path here. Links are followed, in a container only inside its root.
    pub(super) fn open_at(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, rustix::io::Errno> {
        match self {
            Place::Inside { root, .. } => resolve::open(root.as_fd(), path, flags, Links::Inside),
            _ => openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty()),
        }
    }

    /// Returns the path for messages: `web:/etc`.
    pub(super) fn shown(&self) -> String {
        match self {
            Place::Inside { shown, .. } => shown.clone(),
            Place::Outside(path) => path.display().to_string(),
            Place::Stream => "-".to_owned(),
        }
    }

    /// Returns whether it is in a container.
    pub(super) fn is_inside(&self) -> bool {
        matches!(self, Place::Inside { .. })
    }
}
