//! `chroot(2)`: it changes what "/" means for one process.
//!
//! The surprise: a process with CAP_SYS_CHROOT and an open directory can leave a chroot. After `pivot_root(2)` no path
//! leads to the old root.

use std::path::Path;

use plumbing::kernel::{call, own};
use plumbing::{Fault, narrate};
use rustix::thread::CapabilitySet;

use crate::refusal;

/// Calls `chroot(2)` as chroot(8) does: nothing else changes, except the working directory unless `skip_chdir` is set.
pub(crate) fn chroot(path: &Path, skip_chdir: bool) -> Result<(), Fault> {
    let goal = format!("change the root to {}", path.display());
    let why = "absolute paths begin there from now on; chroot(2)";
    call(&goal, format!("chroot({:?})", path.to_string_lossy()), why, || rustix::process::chroot(path))
        .map_err(|fault| refusal::missing(fault, CapabilitySet::SYS_CHROOT))?;
    if skip_chdir { Ok(()) } else { chdir_to_root(&goal) }
}

/// Changes the working directory, which would otherwise still be outside of the new root. A dry run changed no root, and stays
/// where it is.
pub(crate) fn chdir_to_root(goal: &str) -> Result<(), Fault> {
    if narrate::is_dry_run() {
        return Ok(());
    }
    own(goal, "chdir(\"/\")", || rustix::process::chdir("/"))
}

/// Refuses `--skip-chdir` for a root other than "/".
pub(crate) fn check_skip_chdir(path: &Path, skip_chdir: bool) -> Result<(), Fault> {
    if !skip_chdir || std::fs::canonicalize(path).is_ok_and(|real| real == Path::new("/")) {
        return Ok(());
    }
    Err(Fault::usage(
        "--skip-chdir needs / as the new root: with any other root, the working directory would be outside of it",
    ))
}
