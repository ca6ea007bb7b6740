//! How mounts travel between a new mount namespace and the one it was copied from. `mount_namespaces(7)`.
//!
//! A copy stays a peer of the original where that was shared, as systemd makes `/`: without a word, every mount made
//! inside would appear outside.

use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use plumbing::Fault;
use plumbing::kernel::call;

use crate::options::Propagation;
use crate::refusal;

/// Sets that of `/` and everything below.
pub(crate) fn set(propagation: Propagation) -> Result<(), Fault> {
    let (flag, name, why) = match propagation {
        Propagation::Private => (MsFlags::MS_PRIVATE, "MS_PRIVATE", "else our mounts travel back to the host"),
        Propagation::Slave => (MsFlags::MS_SLAVE, "MS_SLAVE", "mounts of the host travel in, ours do not travel out"),
        Propagation::Shared => (MsFlags::MS_SHARED, "MS_SHARED", "mounts travel between peers from here on"),
        Propagation::Unchanged => return Ok(()),
    };
    change(Path::new("/"), flag, name, why).map_err(|fault| match fault.errno() {
        Some(Errno::EINVAL) if refusal::is_chrooted() => {
            fault.with_remedy("we are in a chroot, whose / is not a mount: add --propagation unchanged")
        }
        _ => fault,
    })
}

/// Cuts `dir` and everything below off from its peers.
pub(crate) fn make_private(dir: &Path) -> Result<(), Fault> {
    change(dir, MsFlags::MS_PRIVATE, "MS_PRIVATE", "what is mounted there next is nobody else's")
}

fn change(dir: &Path, flag: MsFlags, name: &str, why: &str) -> Result<(), Fault> {
    let shown = dir.to_string_lossy();
    let text = format!("mount(NULL, {shown:?}, NULL, MS_REC|{name}, NULL)");
    call(format!("set the propagation of {shown}"), text, why, || {
        mount(None::<&str>, dir, None::<&str>, MsFlags::MS_REC | flag, None::<&str>)
    })
}
