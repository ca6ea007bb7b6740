//! `--no-pivot`: the new root lies over the old one, as after switch_root(8), so that `..` leads no further from there. What
//! was mounted in the old one is let go of. `move_mount(2)`, `chroot(2)`.
//!
//! The surprise: a proc that is left mounted anywhere in a mount namespace, in sight or not, is the kernel's reason to let a
//! user namespace in there mount one without our masks.

use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use plumbing::kernel::{call, look};
use plumbing::mountinfo::Mount;
use plumbing::{Fault, narrate};
use rustix::mount::{UnmountFlags, unmount};
use rustix::thread::CapabilitySet;

use crate::entry::quoted;
use crate::in_root::InRoot;
use crate::root::{MOST_COVERS, Source, mount_id, open_directory};
use crate::{attach, explain};

const GOAL: &str = "change the root";

/// Makes it the root of this process, in a mount namespace of our own.
pub(crate) fn root(root: &InRoot, source: &Source) -> Result<(), Fault> {
    // All others were attached there.
    if let Source::Directory(_) = source {
        let top = open_directory(Path::new("/"), "open the root directory")?;
        let why = "over the old root, where nobody can pivot; move_mount(2)";
        attach::attach(GOAL, root.bottom(), top.as_fd(), Path::new("/"), why)?;
    }
    for mount in mounted_in_root()? {
        let_go(&mount.point)?;
    }
    if !narrate::is_dry_run() {
        look(GOAL, "fchdir(root)", || rustix::process::fchdir(root.as_fd()))?;
    }
    let why = "path names that begin with / begin there from now on; chroot(2)";
    call(GOAL, "chroot(\".\")", why, || rustix::process::chroot("."))
        .map_err(|fault| explain::missing(fault, CapabilitySet::SYS_CHROOT))?;
    match narrate::is_dry_run() {
        true => Ok(()),
        false => look(GOAL, "chdir(\"/\")", || rustix::process::chdir("/")),
    }
}

/// What is mounted right on the old root's mount; what lies below goes along.
fn mounted_in_root() -> Result<Vec<Mount>, Fault> {
    const PATH: &str = "/proc/self/mountinfo";
    let table = look(GOAL, format!("read({PATH:?})"), || std::fs::read(PATH))?;
    let top = mount_id(Path::new("/"))?;
    let mounts = table.split(|byte| *byte == b'\n').filter_map(Mount::parse);
    Ok(mounts.filter(|mount| mount.parent == top && mount.point != Path::new("/")).collect())
}

/// Once, and once more for each that lay below it at the same place.
fn let_go(point: &Path) -> Result<(), Fault> {
    let text = format!("umount2({}, MNT_DETACH|UMOUNT_NOFOLLOW)", quoted(point));
    let why = "what of the old root could be mounted again inside is let go of; umount(2)";
    for _ in 0..MOST_COVERS {
        call(GOAL, &text, why, || unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)).map_err(locked)?;
        if narrate::is_dry_run() || mount_id(point)? == mount_id(Path::new("/"))? {
            return Ok(());
        }
    }
    Err(Fault::new(format!("cannot {GOAL}: {MOST_COVERS} mounts lay at {}, and there are more", quoted(point))))
}

fn locked(fault: Fault) -> Fault {
    match fault.errno() {
        Some(Errno::EINVAL) if explain::in_user_namespace() => fault.with_remedy(
            "what came along into a user namespace is locked and could be mounted again inside: leave --no-pivot out, or \
             be root outside",
        ),
        _ => explain::missing_admin(fault),
    }
}
