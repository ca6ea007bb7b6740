//! Making a group, so that no other group can take its place before it is opened, and none is used before it is ready.
//! `mkdir(2)`, `inode(7)`.
//!
//! mkdirat(2) returns no descriptor. Until the new directory is opened, the owner of the group above can put another one in
//! its place: on v1 by a rename, on v2 after removing it. The owner of a directory does not show which one it is, since
//! our user's other groups have the same. So a new group has the sticky bit, which means nothing in a cgroup, until it is
//! finished, and an opened group without it is not the new one. The surprise: there is no other trace of a group's age. Its
//! inode has the times at which the kernel last read it into memory.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, Stat, fchmod, fstat};
use rustix::process::geteuid;

use crate::cgroup::group::Group;
use crate::kernel::{call, look};
use crate::{Fault, narrate};

/// The mode of a finished group, as far as the umask leaves it.
const MODE: u32 = 0o755;

/// The longest that another run may take to finish a group. It was killed if it takes longer.
const LONGEST: Duration = Duration::from_secs(2);

/// The reason for removing a group that was just made.
const UNUSABLE: &str = "a group that cannot be used is not left behind";

/// The pause between two looks at a group that another run is making.
const PAUSE: Duration = Duration::from_millis(2);

impl Group {
    /// Makes a group in this one; `name` is a plain file name.
    pub fn make(&self, name: &OsStr, why: &str) -> Result<Group, Fault> {
        let made = self.begin(name, why)?;
        match made.finish() {
            Ok(()) => Ok(made),
            Err(fault) if !self.is_new(name) => Err(fault),
            Err(fault) => self.remove(name, UNUSABLE).and(Err(fault)),
        }
    }

    /// Makes a group that is not ready for use before [`Group::finish`]; `name` is a plain file name.
    pub fn begin(&self, name: &OsStr, why: &str) -> Result<Group, Fault> {
        let shown = self.shown().join(name);
        let goal = format!("make the cgroup {}", shown.display());
        let unfinished = Mode::from_raw_mode(MODE) | Mode::SVTX;
        let text = format!("mkdirat({:?}, {name:?}, 0{:o})", self.shown(), unfinished.as_raw_mode());
        call(&goal, text, why, || rustix::fs::mkdirat(self.require_dir()?, name, unfinished))?;
        if narrate::is_dry_run() {
            return Ok(Group::pretended(self.version, &self.path().join(name), shown));
        }
        let made = match self.child(name) {
            Ok(made) => made,
            // Another group of that name is not ours to remove.
            Err(fault) if !self.is_new(name) => return Err(fault),
            Err(fault) => return self.remove(name, UNUSABLE).and(Err(fault)),
        };
        match made.stat()? {
            stat if is_unfinished(&stat) => Ok(made),
            _ => Err(Fault::new(format!("cannot {goal}: somebody else has put another cgroup in its place"))),
        }
    }

    /// Declares the group, which [`Group::begin`] made, ready for use.
    pub fn finish(&self) -> Result<(), Fault> {
        let mode = if narrate::is_dry_run() { MODE } else { self.stat()?.st_mode & 0o777 };
        let goal = format!("finish the cgroup {}", self.shown().display());
        let why = "its sticky bit showed that it is the new group, and not another one in its place";
        call(goal, format!("fchmod({:?}, 0{mode:o})", self.shown()), why, || {
            fchmod(self.require_dir()?, Mode::from_raw_mode(mode))
        })
    }

    /// Waits while another run of our user is making this group; returns whether the group is finished.
    pub fn wait_finished(&self) -> Result<bool, Fault> {
        if narrate::is_dry_run() {
            return Ok(true);
        }
        let start = Instant::now();
        while is_unfinished(&self.stat()?) {
            if start.elapsed() > LONGEST {
                return Ok(false);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(true)
    }

    fn stat(&self) -> Result<Stat, Fault> {
        let goal = format!("identify the cgroup {}", self.shown().display());
        look(goal, "fstat(fd)", || fstat(self.require_dir()?))
    }

    /// Reports whether the group of this name in this one is a new one of our own user.
    fn is_new(&self, name: &OsStr) -> bool {
        let stat = self.require_dir().and_then(|dir| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW));
        stat.is_ok_and(|stat| is_unfinished(&stat))
    }
}

/// Reports whether a group of our own user is not finished.
fn is_unfinished(stat: &Stat) -> bool {
    stat.st_uid == geteuid().as_raw() && stat.st_mode & Mode::SVTX.as_raw_mode() != 0
}
