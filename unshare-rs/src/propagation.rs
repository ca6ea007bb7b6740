//! Propagation of mounts between a new mount namespace and the one that it was copied from. `mount_namespaces(7)`.
//!
//! A copied mount stays a peer of a shared original, and systemd makes `/` shared. So without a change
//! every mount made inside would appear outside.

use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use plumbing::Fault;
use plumbing::kernel::call;
use plumbing::process::namespace_root;

use crate::options::Propagation;
use crate::refusal;

/// Sets the propagation of `/` and of all mounts below it.
pub(crate) fn set(propagation: Propagation) -> Result<(), Fault> {
    let (flag, name, why) = match propagation {
        Propagation::Private => (MsFlags::MS_PRIVATE, "MS_PRIVATE", "otherwise our mounts would propagate to the host"),
        Propagation::Slave => {
            (MsFlags::MS_SLAVE, "MS_SLAVE", "mounts of the host propagate to us, ours do not propagate to the host")
        }
        Propagation::Shared => (MsFlags::MS_SHARED, "MS_SHARED", "from here on mounts propagate between peers"),
        Propagation::Unchanged => return Ok(()),
    };
    namespace_root::propagate(|| change(Path::new("/"), flag, name, why)).map_err(|fault| match fault.errno() {
        Some(Errno::EINVAL) if refusal::is_chrooted() => {
            fault.with_remedy("we are in a chroot, whose / is not a mount: add --propagation unchanged")
        }
        _ => fault,
    })
}

/// Separates `dir` and all mounts below it from their peers.
pub(crate) fn make_private(dir: &Path) -> Result<(), Fault> {
    change(dir, MsFlags::MS_PRIVATE, "MS_PRIVATE", "the next mount there does not propagate")
}

fn change(dir: &Path, flag: MsFlags, name: &str, why: &str) -> Result<(), Fault> {
    let shown = dir.to_string_lossy();
    let text = format!("mount(NULL, {shown:?}, NULL, MS_REC|{name}, NULL)");
    call(format!("set the propagation of {shown}"), text, why, || {
        mount(None::<&str>, dir, None::<&str>, MsFlags::MS_REC | flag, None::<&str>)
    })
}
