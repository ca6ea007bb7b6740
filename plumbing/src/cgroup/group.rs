//! One cgroup, held by a descriptor of its directory: its files, the groups in it, and moving into it.
//!
//! `cgroups(7)`. The surprise: writing `0` to its list of members means the writing process, so that no pid is needed,
//! which would be a different one in another pid namespace.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, XattrFlags, openat};
use rustix::process::geteuid;

use crate::cgroup::mark::{self, Mark};
use crate::kernel::{call, look};
use crate::process::target;
use crate::{Fault, narrate};

/// A group, by descriptor; or, in a dry run, one that would have been made.
#[derive(Debug)]
pub struct Group {
    /// The version of its hierarchy: 1 or 2.
    pub version: u8,
    path: PathBuf,
    shown: PathBuf,
    dir: Option<OwnedFd>,
}

impl Group {
    /// Returns a group that [`Hierarchy::open`](crate::cgroup::hierarchy::Hierarchy::open) opened.
    pub(crate) fn opened(version: u8, path: &Path, shown: PathBuf, dir: OwnedFd) -> Group {
        Group { version, path: path.to_owned(), shown, dir: Some(dir) }
    }

    /// Returns a group that a dry run did not make.
    pub(crate) fn pretended(version: u8, path: &Path, shown: PathBuf) -> Group {
        Group { version, path: path.to_owned(), shown, dir: None }
    }

    /// Returns its path in its hierarchy, as our cgroup namespace sees it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its directory, for error texts and narration.
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// Returns its directory, which may be opened with `O_PATH`; `None` for one that a dry run did not make.
    pub fn dir(&self) -> Option<BorrowedFd<'_>> {
        self.dir.as_ref().map(AsFd::as_fd)
    }

    /// Opens a group in this one for reading; `name` is a plain file name.
    pub fn child(&self, name: &OsStr) -> Result<Group, Fault> {
        let shown = self.shown.join(name);
        let dir = look(format!("open the cgroup {}", shown.display()), format!("openat({shown:?})"), || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(self.require_dir()?, name, flags, Mode::empty())
        })?;
        Ok(Group::opened(self.version, &self.path.join(name), shown, dir))
    }

    /// Opens the group a second time, for reading.
    pub fn again(&self) -> Result<Group, Fault> {
        let dir = self.open_relative(".")?;
        Ok(Group::opened(self.version, &self.path, self.shown.clone(), dir))
    }

    /// Returns the names of the groups in this one.
    pub fn names(&self) -> Result<Vec<OsString>, Fault> {
        let text = format!("getdents({:?})", self.shown);
        look(format!("list the cgroups in {}", self.shown.display()), text, || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let entries = Dir::new(openat(self.require_dir()?, ".", flags, Mode::empty())?)?;
            let is_group = |entry: &rustix::fs::DirEntry| {
                entry.file_type() == FileType::Directory && !matches!(entry.file_name().to_bytes(), b"." | b"..")
            };
            let name = |entry: rustix::fs::DirEntry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            let entries: Result<Vec<_>, rustix::io::Errno> = entries.collect();
            Ok::<_, rustix::io::Errno>(entries?.into_iter().filter(is_group).map(name).collect())
        })
    }

    /// Opens the group above, for reading, which must be below the mount point.
    pub fn parent(&self) -> Result<Group, Fault> {
        let above = |path: &Path| path.parent().unwrap_or(path).to_owned();
        let dir = self.open_relative("..")?;
        Ok(Group::opened(self.version, &above(&self.path), above(&self.shown), dir))
    }

    /// Gives the group the path of the one at `below` in `top`. Leaves names out if the path would become longer than the
    /// kernel's paths: then it is only good for texts.
    pub fn at<'n>(self, top: &Group, below: impl DoubleEndedIterator<Item = &'n OsStr> + Clone) -> Group {
        const LONGEST: usize = 4095;
        let last = below.clone().next_back();
        let from = |top: &Path| {
            let mut path = top.to_owned();
            for name in below.clone() {
                path.push(name);
                if path.as_os_str().len() > LONGEST {
                    return top.join("…").join(last.unwrap_or_default());
                }
            }
            path
        };
        Group { path: from(&top.path), shown: from(&top.shown), ..self }
    }

    fn open_relative(&self, path: &str) -> Result<OwnedFd, Fault> {
        let text = format!("openat({:?}, {path:?})", self.shown);
        look(format!("open the cgroup {}", self.shown.join(path).display()), text, || {
            openat(self.require_dir()?, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        })
    }

    /// Records on the group, which [`Group::make`] made, to which process it belongs. `EEXIST`: it belongs to another one.
    /// Without such attributes (before Linux 5.7) no later run can know that the group is one of ours, and nothing else
    /// changes.
    pub fn set_mark(&self, mark: &Mark) -> Result<(), Fault> {
        let value = mark.to_bytes();
        let goal = format!("mark the cgroup {}", self.shown.display());
        let value_shown = String::from_utf8_lossy(&value);
        let text = format!("fsetxattr({:?}, {:?}, {value_shown:?}, XATTR_CREATE)", self.shown, mark::NAME);
        let set = call(
            goal,
            text,
            "if the guardian is killed, a later run knows from it that the group is left over; xattr(7)",
            || rustix::fs::fsetxattr(self.require_dir()?, mark::NAME, &value, XattrFlags::CREATE),
        );
        match set.as_ref().err().and_then(Fault::errno) {
            Some(Errno::EOPNOTSUPP) => Ok(()),
            _ => set,
        }
    }

    /// Returns the mark of the group if the group belongs to our own user: what others write on their groups is not
    /// trusted.
    pub fn mark(&self) -> Option<Mark> {
        let dir = self.dir()?;
        // A path descriptor, which this one may be, has no attributes.
        let readable = openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let is_ours = rustix::fs::fstat(&readable).is_ok_and(|stat| stat.st_uid == geteuid().as_raw());
        let mut value = [0; mark::SIZE];
        let length = rustix::fs::fgetxattr(&readable, mark::NAME, &mut value[..]).ok().filter(|_| is_ours)?;
        Mark::parse(&value[..length])
    }

    /// Reports whether systemd has given the group away (`Delegate=`), as it notes on the group.
    pub fn is_delegated(&self) -> bool {
        let readable = self.open_relative(".").ok();
        // Only a process with CAP_SYS_ADMIN can read the first; older versions of systemd do not write the second.
        ["trusted.delegate", "user.delegate"].into_iter().any(|name| {
            let mut value = [0; 8];
            let length = readable.as_ref().and_then(|dir| rustix::fs::fgetxattr(dir, name, &mut value[..]).ok());
            length.and_then(|length| value.get(..length)) == Some(b"1")
        })
    }

    /// Returns [`Group::inode`] of the group of this name in this one; `None` if there is none.
    pub fn inode_of(&self, name: &OsStr) -> Result<Option<u64>, Fault> {
        let goal = format!("identify the cgroup {}", self.shown.join(name).display());
        let text = format!("statat({:?}, {name:?}, AT_SYMLINK_NOFOLLOW)", self.shown);
        let stat = || rustix::fs::statat(self.require_dir()?, name, AtFlags::SYMLINK_NOFOLLOW);
        match look(goal, text, stat) {
            Ok(stat) => Ok(Some(stat.st_ino)),
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Returns its inode number, which no other group of the hierarchy has.
    pub fn inode(&self) -> Result<u64, Fault> {
        let goal = format!("identify the cgroup {}", self.shown.display());
        look(goal, "fstat(fd)", || rustix::fs::fstat(self.require_dir()?)).map(|stat| stat.st_ino)
    }

    /// Refuses the group if it is not the one with this inode, which was recorded with its path: on v1, the owner of the group
    /// above can rename it, and an empty group can be removed and made again.
    pub fn known(self, recorded: Option<u64>) -> Result<Group, Fault> {
        let Some(recorded) = recorded.filter(|_| self.dir.is_some()) else { return Ok(self) };
        if self.inode()? == recorded {
            return Ok(self);
        }
        Err(Fault::new(format!(
            "cannot use the cgroup {}: it is not the one that was recorded, but another one with that path",
            self.shown.display()
        )))
    }

    /// Removes a group in this one.
    pub fn remove(&self, name: &OsStr, why: &str) -> Result<(), Fault> {
        let goal = format!("remove the cgroup {}", self.shown.join(name).display());
        let text = format!("unlinkat({:?}, {name:?}, AT_REMOVEDIR)", self.shown);
        call(goal, text, why, || rustix::fs::unlinkat(self.require_dir()?, name, AtFlags::REMOVEDIR))
    }

    /// Writes a value to one of its files.
    pub fn write(&self, file: &str, value: &str, why: &str) -> Result<(), Fault> {
        let path = self.shown.join(file);
        let goal = format!("write {}", path.display());
        let opened = if narrate::is_dry_run() {
            None
        } else {
            Some(look(&goal, format!("openat({path:?}, O_WRONLY)"), || {
                openat(self.require_dir()?, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            })?)
        };
        call(goal, format!("write({path:?}, {value:?})"), why, || {
            let opened = opened.ok_or(rustix::io::Errno::BADF)?;
            rustix::io::write(opened, value.as_bytes()).map(drop)
        })
    }

    /// Reads one of its files, without the newline at the end.
    pub fn read(&self, file: &str) -> Result<String, Fault> {
        let path = self.shown.join(file);
        let bytes = look(format!("read {}", path.display()), format!("read({path:?})"), || match &self.dir {
            Some(dir) => target::read_at(dir.as_fd(), file),
            None => Err(std::io::Error::from_raw_os_error(Errno::ENOENT as i32)),
        })?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// Moves this process into the group.
    pub fn join(&self) -> Result<(), Fault> {
        match self.version {
            2 => self.write("cgroup.procs", "0", "0 means the writer: this process moves into the group; cgroups(7)"),
            // The whole process could be moved as well, but then the kernel waits for other CPUs: 11 ms. We are one
            // thread.
            _ => self.write("tasks", "0", "0 means the writer: this process moves into the group; cgroups(7)"),
        }
    }

    pub(crate) fn require_dir(&self) -> Result<BorrowedFd<'_>, rustix::io::Errno> {
        self.dir().ok_or(rustix::io::Errno::NOENT)
    }
}
