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
    match skip_chdir || narrate::is_dry_run() {
        true => Ok(()),
        // Otherwise the working directory would still be outside of the root.
        false => own(&goal, "chdir(\"/\")", || rustix::process::chdir("/")),
    }
}
