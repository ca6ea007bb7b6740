//! The mounts of cgroup file systems, and whether a path still leads to one. `proc_pid_mountinfo(5)`, `statx(2)`.
//!
//! The surprise: a part of a hierarchy may be mounted on the hierarchy itself, so the device of a mount point does not
//! show which of the two mounts is on top; the id of the mount does.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, major, minor, openat, statx};

use crate::Fault;
use crate::kernel::look;
use crate::process::mountinfo;

/// One line of mountinfo, as far as cgroups are concerned; `proc_pid_mountinfo(5)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) id: u64,
    pub(super) version: u8,
    pub(super) device: (u32, u32),
    /// The group that the mount shows at its mount point.
    pub(super) root: PathBuf,
    pub(super) point: PathBuf,
    pub(super) options: Vec<String>,
    /// The inode of the group at the mount point, once [`Mount::is_on_top`] has found it.
    pub(super) inode: Option<u64>,
}

/// The inode of the root of every hierarchy; cgroup_setup_root in kernel/cgroup/cgroup.c warns if it is not.
const OF_ROOT: u64 = 1;

impl Mount {
    pub(super) fn of_cgroups(mount: mountinfo::Mount) -> Option<Mount> {
        let version = match mount.fs_type.as_str() {
            "cgroup2" => 2,
            "cgroup" => 1,
            _ => return None,
        };
        let options = mount.super_options.split(',').map(str::to_owned).collect();
        Some(Mount {
            id: mount.id,
            version,
            device: mount.device,
            root: mount.root,
            point: mount.point,
            options,
            inode: None,
        })
    }

    /// Returns whether the mount point leads to this mount, and notes the inode there.
    pub(super) fn is_on_top(&mut self) -> bool {
        // A part of the same hierarchy may be mounted on it, so the device alone proves nothing.
        let wanted = StatxFlags::MNT_ID | StatxFlags::INO;
        let stat = match statx(CWD, &self.point, AtFlags::NO_AUTOMOUNT, wanted) {
            Ok(stat) => stat,
            // Opening it says why.
            Err(errno) => return errno != rustix::io::Errno::NOENT,
        };
        let is_on_top = if stat.stx_mask & StatxFlags::MNT_ID.bits() != 0 {
            stat.stx_mnt_id == self.id
        } else {
            // Before Linux 5.8.
            (stat.stx_dev_major, stat.stx_dev_minor) == self.device
        };
        self.inode = is_on_top.then_some(stat.stx_ino);
        is_on_top
    }

    /// Returns whether the group at the mount point is the root of the hierarchy; `None` if that could not be seen.
    pub(super) fn shows_root(&self) -> Option<bool> {
        self.inode.map(|inode| inode == OF_ROOT)
    }

    /// Opens the mount point; `None` if another file system is mounted over it.
    pub(super) fn open(&self, goal: &str) -> Result<Option<OwnedFd>, Fault> {
        let text = format!("openat({:?}, O_PATH)", self.point);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let point = look(goal, &text, || openat(CWD, &self.point, flags, Mode::empty()))?;
        let stat = look(goal, &text, || rustix::fs::fstat(&point))?;
        let device = (major(stat.st_dev), minor(stat.st_dev));
        Ok((device == self.device).then_some(point))
    }
}
