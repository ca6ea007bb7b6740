//! `--no-pivot`: the new root is mounted over the old one, as after switch_root(8), so that `..` does not leave it. The
//! mounts in the old root are unmounted. `move_mount(2)`, `chroot(2)`.
//!
//! The surprise: if a proc stays mounted anywhere in a mount namespace, reachable or not, the kernel lets a user namespace
//! in it mount a proc without our masks.

use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use plumbing::kernel::{call, look};
use plumbing::process::kernel_text;
use plumbing::process::mountinfo::Mount;
use plumbing::{Fault, narrate};
use rustix::mount::{UnmountFlags, unmount};
use rustix::thread::CapabilitySet;

use crate::chroot::chdir_to_root;
use crate::entry::quoted;
use crate::in_root::InRoot;
use crate::mount_api::{MOST_STACKED, open_directory};
use crate::mount_id::mount_id;
use crate::source::Source;
use crate::{mount_api, refusal};

const GOAL: &str = "change the root";

/// Makes `root` the root of this process, in a new mount namespace.
pub(crate) fn switch_root(root: &InRoot, source: &Source) -> Result<(), Fault> {
    // All other kinds of roots were attached there before.
    if let Source::Directory(_) | Source::Bundle { .. } = source {
        let top = open_directory(Path::new("/"), "open the root directory")?;
        let why = "it covers the old root, which cannot be pivoted; move_mount(2)";
        mount_api::move_mount(GOAL, root.bottom(), top.as_fd().into(), Path::new("/"), why)?;
    }
    for mount in mounted_in_root()? {
        let_go(&mount.point)?;
    }
    root.chdir(GOAL)?;
    let why = "absolute paths begin there from now on; chroot(2)";
    call(GOAL, "chroot(\".\")", why, || rustix::process::chroot("."))
        .map_err(|fault| refusal::missing(fault, CapabilitySet::SYS_CHROOT))?;
    chdir_to_root(GOAL)
}

/// Lists the mounts directly on the old root's mount; those below them are unmounted with them.
fn mounted_in_root() -> Result<Vec<Mount>, Fault> {
    const PATH: &str = "/proc/self/mountinfo";
    let table = look(GOAL, format!("read({PATH:?})"), || kernel_text::bytes(PATH))?;
    let top = mount_id(Path::new("/"))?;
    let mounts = table.split(|byte| *byte == b'\n').filter_map(Mount::parse);
    Ok(mounts.filter(|mount| mount.parent == top && mount.point != Path::new("/")).collect())
}

/// Unmounts everything at a mount point: as often as mounts are stacked there.
fn let_go(point: &Path) -> Result<(), Fault> {
    let text = format!("umount2({}, MNT_DETACH|UMOUNT_NOFOLLOW)", quoted(point));
    let why = "otherwise the container could mount this part of the old root again; umount(2)";
    for _ in 0..MOST_STACKED {
        call(GOAL, &text, why, || unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)).map_err(locked)?;
        if narrate::is_dry_run() || mount_id(point)? == mount_id(Path::new("/"))? {
            return Ok(());
        }
    }
    Err(Fault::new(format!("cannot {GOAL}: more than {MOST_STACKED} mounts are at {}", quoted(point))))
}

fn locked(fault: Fault) -> Fault {
    match fault.errno() {
        Some(Errno::EINVAL) if refusal::in_user_namespace() => fault.with_remedy(
            "mounts copied into a user namespace are locked, and the container could mount them again: omit --no-pivot, or \
             run as root outside of user namespaces",
        ),
        _ => refusal::missing_admin(fault),
    }
}
