//! `--tools`: programs of the host for a container that has none, on a mount that only the command sees.
//! `mount_namespaces(7)`, `move_mount(2)`, `tmpfs(5)`.
//!
//! The programs are copied into memory. The surprise: a mount of the host's directory itself would not do, although it is
//! read-only. Root of a user namespace may make its mounts writable again, and if the caller's uid is mapped into it, that
//! root may then write to the caller's files.
//!
//! The mount is attached in a copy of the container's mount namespace, which ends with the command. So nothing is
//! written to the container, its own mount table does not show the mount, and nothing remains.

mod busybox;
mod copying;
mod place;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use plumbing::kernel::call;
use plumbing::process::environment::Environment;
use plumbing::process::namespace_root;
use plumbing::{Fault, narrate};
use rustix::mount::{MoveMountFlags, move_mount};

use super::command;
use copying::Source;

pub(super) const GOAL: &str = "give the command tools of the host";

/// The path that is searched if the command's environment has no PATH.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The tools that the options ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tools {
    /// The directory that has them; without one, the host's busybox.
    pub(crate) directory: Option<PathBuf>,
    /// Whether a container that has a shell gets none.
    pub(crate) only_without_shell: bool,
}

/// The tools, opened outside.
pub(crate) struct Toolbox {
    only_without_shell: bool,
    /// Where they come from; a fault counts only if they are needed.
    source: Result<Source, Fault>,
    /// The mount, if our rights outside suffice for it.
    tree: Option<OwnedFd>,
    /// The directory on which they are mounted.
    place: OnceCell<PathBuf>,
}

impl Tools {
    /// Opens the tools, and copies them if that is possible outside: then they belong to users outside, and count as memory
    /// of the caller.
    pub(crate) fn open(&self) -> Result<Toolbox, Fault> {
        let source = match &self.directory {
            Some(path) => Source::directory(path),
            None => busybox::find(),
        };
        let source = if self.only_without_shell { source } else { Ok(source?) };
        let tree = match source.as_ref().map(Source::copy) {
            // Without the right outside, we may have it in the container's user namespace.
            Ok(Err(fault)) if fault.errno() == Some(Errno::EPERM) => None,
            Ok(copied) => Some(copied?),
            Err(_) => None,
        };
        Ok(Toolbox { only_without_shell: self.only_without_shell, source, tree, place: OnceCell::new() })
    }
}

impl Toolbox {
    /// Mounts the tools, inside, in a mount namespace of our own.
    pub(crate) fn attach(&self) -> Result<(), Fault> {
        if self.only_without_shell && !narrate::is_dry_run() && command::has_shell() {
            return Ok(());
        }
        let source = self.source.as_ref().map_err(Fault::clone)?;
        let why = "the container does not see mounts in this copy of its mount namespace; mount_namespaces(7)";
        call(GOAL, "unshare(CLONE_NEWNS)", why, || nix::sched::unshare(CloneFlags::CLONE_NEWNS)).map_err(explain)?;
        let why = "otherwise the mount would propagate to the container";
        namespace_root::propagate(|| {
            call(GOAL, "mount(NULL, \"/\", NULL, MS_REC|MS_PRIVATE, NULL)", why, || {
                mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            })
        })?;
        let copied = if self.tree.is_none() { Some(source.copy().map_err(explain)?) } else { None };
        let Some(tree) = self.tree.as_ref().or(copied.as_ref()) else { return Ok(()) };
        let place = place::mount_on_empty(|onto, path| mount_on(tree, onto, path))?;
        self.place.set(place).map_err(|_| Fault::new(format!("cannot {GOAL}: they are mounted already")))
    }

    /// Adds the tools to the end of PATH.
    pub(crate) fn extend<'a>(&self, environment: Cow<'a, Environment>) -> Cow<'a, Environment> {
        let Some(place) = self.place.get() else { return environment };
        let mut environment = environment.into_owned();
        let path = environment.get("PATH").unwrap_or(OsStr::new(DEFAULT_PATH));
        let path: OsString = [path, OsStr::new(":"), place.as_os_str()].into_iter().collect();
        environment.set("PATH", path);
        Cow::Owned(environment)
    }

    /// Returns the shell among the tools.
    pub(crate) fn shell(&self) -> Option<PathBuf> {
        self.place.get().map(|place| place.join("sh"))
    }
}

/// Attaches the mount.
fn mount_on(tree: &OwnedFd, onto: &OwnedFd, path: &Path) -> Result<(), Fault> {
    let text = "move_mount(fd, \"\", fd, \"\", MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH)";
    let why = format!("on {}, an empty directory; move_mount(2)", path.display());
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    call(GOAL, text, &why, || move_mount(tree.as_fd(), "", onto.as_fd(), "", flags))
}

fn explain(fault: Fault) -> Fault {
    match fault.errno() {
        Some(Errno::EPERM) => fault.with_remedy(
            "tools need the right to mount: CAP_SYS_ADMIN, here or in a user namespace of the container that is entered \
             (--all or --user)",
        ),
        _ => fault,
    }
}
