//! How mounts travel between a new mount namespace and the one it was copied from. `mount_namespaces(7)`.
//!
//! A copy stays a peer of the original where that was shared, as systemd makes `/`: without a word, every mount made
//! inside would appear outside.

use nix::mount::{MsFlags, mount};
use plumbing::Fault;
use plumbing::kernel::call;

use crate::options::Propagation;

pub(crate) fn set(propagation: Propagation) -> Result<(), Fault> {
    let (flag, name, why) = match propagation {
        Propagation::Private => (MsFlags::MS_PRIVATE, "MS_PRIVATE", "else our mounts travel back to the host"),
        Propagation::Slave => (MsFlags::MS_SLAVE, "MS_SLAVE", "mounts of the host travel in, ours do not travel out"),
        Propagation::Shared => (MsFlags::MS_SHARED, "MS_SHARED", "mounts travel between peers from here on"),
        Propagation::Unchanged => return Ok(()),
    };
    let text = format!("mount(NULL, \"/\", NULL, MS_REC|{name}, NULL)");
    call("set the propagation of /", text, why, || {
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | flag, None::<&str>)
    })
}
