//! The id of a mount, which shows whether two paths or descriptors are on the same one. `statx(2)`.

use std::os::fd::BorrowedFd;
use std::path::Path;

use plumbing::Fault;
use plumbing::kernel::look;
use rustix::fs::{AtFlags, CWD, Statx, StatxFlags, statx};

use crate::entry::quoted;

/// Returns the id of the mount to which a path leads.
pub(crate) fn mount_id(path: &Path) -> Result<u64, Fault> {
    let goal = "make sure that the old root is gone";
    checked_mount_id(goal, &format!("statx(AT_FDCWD, {}, STATX_MNT_ID)", quoted(path)), || {
        statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)
    })
}

/// Returns the id of the mount on which a descriptor was opened.
pub(crate) fn mount_id_of(goal: &str, mount: BorrowedFd<'_>) -> Result<u64, Fault> {
    checked_mount_id(goal, "statx(fd, STATX_MNT_ID)", || statx(mount, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID))
}

fn checked_mount_id(goal: &str, text: &str, ask: impl FnOnce() -> rustix::io::Result<Statx>) -> Result<u64, Fault> {
    let stat = look(goal, text, ask)?;
    if stat.stx_mask & StatxFlags::MNT_ID.bits() != 0 {
        return Ok(stat.stx_mnt_id);
    }
    Err(Fault::new(format!("cannot {goal}: {text}: no mount ID returned; it needs Linux 5.8")))
}
