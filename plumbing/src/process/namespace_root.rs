//! The root of our mount namespace, which may be above a root that `chroot(2)` set. `setns(2)`, `chroot(2)`.
//!
//! The surprise: joining the mount namespace that we are in already changes our root and our working directory to the root
//! of that namespace. `pivot_root(2)` in a chroot leaves that root where it was, and `..` leads to it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sched::CloneFlags;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx};
use rustix::process::{PidfdFlags, chroot, fchdir, getpid, pidfd_open};
use rustix::thread::CapabilitySet;

use super::mountinfo;
use crate::confinement::privilege::holds;
use crate::kernel::{call, look, own};
use crate::{Fault, narrate};

const GOAL: &str = "find the root of the mount namespace";

/// Two roots: ours, which `chroot(2)` set, and that of our mount namespace.
pub struct Chroot {
    inner: OwnedFd,
    outer: OwnedFd,
}

/// Returns both roots if they differ. Our root and working directory stay the same.
pub fn find() -> Result<Option<Chroot>, Fault> {
    let (inner, directory) = (open("/")?, open(".")?);
    let itself = look(GOAL, "pidfd_open(getpid(), 0)", || pidfd_open(getpid(), PidfdFlags::empty()))?;
    let why = "our root becomes that of the mount namespace, which a chroot(2) may have hidden; setns(2)";
    let joined = call(GOAL, "setns(pidfd of this process, CLONE_NEWNS)", why, || {
        nix::sched::setns(&itself, CloneFlags::CLONE_NEWNS)
    });
    match joined {
        Err(fault) if fault.errno() == Some(Errno::EPERM) && holds(CapabilitySet::SYS_CHROOT) == Some(false) => {
            let remedy = "CAP_SYS_CHROOT is missing here; if our root was set by chroot(2), .. can lead out of it";
            return narrate::caution(fault.with_remedy(remedy)).map(|()| None);
        }
        joined => joined?,
    }
    let outer = open("/")?;
    let is_chrooted = !narrate::is_dry_run() && identity(&inner)? != identity(&outer)?;
    let chroot = is_chrooted.then_some(Chroot { inner, outer });
    if let Some(chroot) = &chroot {
        change(&chroot.inner, "the root that was set before")?;
    }
    own(GOAL, "fchdir(fd)", || fchdir(&directory))?;
    match chroot {
        Some(chroot) if chroot.is_covered()? => Ok(None),
        chroot => Ok(chroot),
    }
}

/// Runs `act`, which changes the propagation of `/`. In a chroot, where `/` may be no mount, runs it at the root of the mount
/// namespace.
pub fn propagate(act: impl Fn() -> Result<(), Fault>) -> Result<(), Fault> {
    match act() {
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => match find()? {
            Some(chroot) => chroot.while_outside(act),
            None => Err(fault),
        },
        done => done,
    }
}

impl Chroot {
    /// Returns whether our root is that of the mount namespace all the same, and only covered by what was mounted on it later:
    /// setns(2) leads to the topmost mount. The table of mounts has only what can be reached from our root.
    fn is_covered(&self) -> Result<bool, Fault> {
        let (covering, _) = identity(&self.outer)?;
        Ok(mountinfo::own()?.iter().any(|mount| mount.id == covering && mount.point == Path::new("/")))
    }

    /// Changes our root to that of the mount namespace.
    pub fn leave(&self) -> Result<(), Fault> {
        change(&self.outer, "the root of the mount namespace, above the chroot")
    }

    /// Runs `act` with the root of the mount namespace as ours. Afterwards the root is the one before, also if `act` fails.
    pub fn while_outside<T>(&self, act: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        let directory = open(".")?;
        self.leave()?;
        let done = act();
        change(&self.inner, "the root that was set before")?;
        own(GOAL, "fchdir(fd)", || fchdir(&directory))?;
        done
    }
}

/// Makes a directory our root and our working directory.
fn change(root: &OwnedFd, what: &str) -> Result<(), Fault> {
    let goal = format!("change to {what}");
    own(&goal, "fchdir(fd)", || fchdir(root))?;
    call(&goal, "chroot(\".\")", &format!("{what}; chroot(2)"), || chroot("."))
}

fn open(path: &str) -> Result<OwnedFd, Fault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    look(GOAL, format!("openat(AT_FDCWD, {path:?}, O_PATH|O_DIRECTORY)"), || openat(CWD, path, flags, Mode::empty()))
}

/// Returns the mount and the inode.
fn identity(directory: &OwnedFd) -> Result<(u64, u64), Fault> {
    let stat = look(GOAL, "statx(fd, STATX_INO|STATX_MNT_ID)", || {
        statx(directory.as_fd(), "", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::MNT_ID)
    })?;
    Ok((stat.stx_mnt_id, stat.stx_ino))
}
