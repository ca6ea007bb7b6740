//! The caller's working directory, kept where the new root has the same directory at the same path. `getcwd(3)`.
//!
//! The surprise: a path alone proves nothing. A foreign root may have a directory of the same name, in which a command must
//! not start by chance; so the device and the inode number are compared.

use std::os::fd::AsFd;

use nix::errno::Errno;
use plumbing::kernel::own;
use plumbing::{Fault, narrate};
use rustix::fs::{CWD, Mode, OFlags, fstat, openat, stat};

const GOAL: &str = "keep the working directory";

/// A directory of the old root.
pub(crate) struct WorkingDirectory {
    path: Vec<u8>,
    identity: (u64, u64),
}

impl WorkingDirectory {
    /// Reads the present working directory, before the root changes. There is none to keep if it was removed or is outside
    /// the present root, where getcwd(2) returns no path.
    pub(crate) fn present() -> Option<WorkingDirectory> {
        let path = rustix::process::getcwd(Vec::new()).ok()?.into_bytes();
        let stat = stat(".").ok()?;
        path.starts_with(b"/").then_some(WorkingDirectory { path, identity: (stat.st_dev, stat.st_ino) })
    }

    /// Changes to it if the present root has it at the same path, and we may; after the root has changed.
    pub(crate) fn enter_if_inside(&self) -> Result<(), Fault> {
        if narrate::is_dry_run() {
            return Ok(());
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(directory) = openat(CWD, &self.path[..], flags, Mode::empty()) else { return Ok(()) };
        let stat = own(GOAL, "fstat(fd)", || fstat(&directory))?;
        if (stat.st_dev, stat.st_ino) != self.identity {
            return Ok(());
        }
        match own(GOAL, "fchdir(fd)", || rustix::process::fchdir(directory.as_fd())) {
            // It would not be accessible to the command either.
            Err(fault) if fault.errno() == Some(Errno::EACCES) => Ok(()),
            changed => changed,
        }
    }
}
