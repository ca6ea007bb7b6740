//! Making directories, files, devices and links inside a root that somebody else made. `mkdirat(2)`, `mknodat(2)`,
//! `symlinkat(2)`.
//!
//! Everything is made by its name in a directory that is already open, so no link can redirect it, and it is noted, so that
//! a run that fails later removes it.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;
use plumbing::confinement::privilege::id::require;
use plumbing::kernel::{call, look, own};
use plumbing::process::closing::leave;
use plumbing::{Fault, narrate};
use rustix::fs::{
    AtFlags, Dev, FileType, Gid, Mode, OFlags, Uid, chownat, fstat, makedev, mkdirat, mknodat, openat, statat,
    symlinkat,
};

use super::{InRoot, reach};
use crate::dry_run_tree::Node;
use crate::entry::{Attributes, Device, quoted, shown};

impl InRoot {
    /// Opens the directory `path`; makes it and those above it if they are missing.
    pub(crate) fn directory(&self, path: &Path) -> Result<OwnedFd, Fault> {
        match self.open(path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => {
                let path = self.settled(path)?;
                self.make_directory(&path, 0o755)?;
                self.open(&path, OFlags::PATH | OFlags::DIRECTORY)
            }
            answer => answer,
        }
    }

    /// Makes the directory `path` if it is missing; what is wrong with one that exists shows when it is entered.
    pub(crate) fn make_missing(&self, path: &Path) -> Result<(), Fault> {
        match self.find(path) {
            Ok(None) => self.directory(path).map(drop),
            _ => Ok(()),
        }
    }

    /// Makes a directory, and those above it if they are missing.
    pub(crate) fn make_directory(&self, path: &Path, mode: u32) -> Result<(), Fault> {
        let (above, name, dir) = self.above(path)?;
        let text = format!("mkdirat(root:{above}, {}, 0{mode:o})", quoted(name.as_ref()));
        let goal = format!("make the directory {} inside the root", shown(path));
        let made = call(goal, text, "a directory to mount on", || mkdirat(&dir, name, Mode::from_raw_mode(mode)));
        made.map_err(|fault| not_made(fault, &above))?;
        self.made.note(dir, name, path)
    }

    /// Opens the file `path`, to mount on it; makes an empty one if it is missing.
    pub(crate) fn file(&self, path: &Path) -> Result<OwnedFd, Fault> {
        if let Some(found) = self.find(path)? {
            return Ok(found);
        }
        let path = self.settled(path)?;
        self.make_node(&path, FileType::RegularFile, 0o444, 0, "an empty file to mount on")?;
        self.open(&path, OFlags::PATH)
    }

    /// Opens what has this name, to mount a file on it: a link itself if it is one; makes an empty file if it is missing.
    pub(crate) fn file_or_link(&self, path: &Path) -> Result<OwnedFd, Fault> {
        match self.open(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => {
                self.make_node(path, FileType::RegularFile, 0o444, 0, "an empty file to mount on")?;
                self.open(path, OFlags::PATH | OFlags::NOFOLLOW)
            }
            opened => opened,
        }
    }

    /// Makes a device, or with number 0 an empty file. `mknod(2)`.
    pub(crate) fn make_node(&self, path: &Path, kind: FileType, mode: u32, dev: Dev, why: &str) -> Result<(), Fault> {
        let (above, name, dir) = self.above(path)?;
        let quoted = quoted(name.as_ref());
        let text = match kind {
            FileType::CharacterDevice => {
                let (major, minor) = (rustix::fs::major(dev), rustix::fs::minor(dev));
                format!("mknodat(root:{above}, {quoted}, S_IFCHR|0{mode:o}, makedev({major:#x}, {minor:#x}))")
            }
            FileType::BlockDevice => {
                let (major, minor) = (rustix::fs::major(dev), rustix::fs::minor(dev));
                format!("mknodat(root:{above}, {quoted}, S_IFBLK|0{mode:o}, makedev({major:#x}, {minor:#x}))")
            }
            FileType::Fifo => format!("mknodat(root:{above}, {quoted}, S_IFIFO|0{mode:o})"),
            _ => format!("mknodat(root:{above}, {quoted}, S_IFREG|0{mode:o})"),
        };
        let made = call(format!("make {} inside the root", shown(path)), text, why, || {
            mknodat(&dir, name, kind, Mode::from_raw_mode(mode), dev)
        });
        made.map_err(|fault| not_made(fault, &above))?;
        self.made.note(dir, name, path)
    }

    /// Makes a device or a FIFO; if the path exists, it must be the same device.
    pub(crate) fn device(&self, path: &Path, device: &Device, why: &str) -> Result<(), Fault> {
        let number = makedev(device.major, device.minor);
        match self.make_node(path, device.kind, device.mode, number, why) {
            Err(fault) if fault.errno() == Some(Errno::EEXIST) => {
                let found = self.open(path, OFlags::PATH)?;
                let stat = look(reach(path), "fstat(fd)", || fstat(&found))?;
                if FileType::from_raw_mode(stat.st_mode) == device.kind && stat.st_rdev == number {
                    Ok(())
                } else {
                    Err(fault)
                }
            }
            made => made,
        }?;
        match device.owner {
            (0, 0) => Ok(()),
            (uid, gid) => self.change_owner(path, uid, gid),
        }
    }

    fn change_owner(&self, path: &Path, uid: u32, gid: u32) -> Result<(), Fault> {
        let (above, name, dir) = self.above(path)?;
        let text = format!("fchownat(root:{above}, {}, {uid}, {gid}, AT_SYMLINK_NOFOLLOW)", quoted(name.as_ref()));
        require(format_args!("change the owner of {}", shown(path)), uid)?;
        require(format_args!("change the group of {}", shown(path)), gid)?;
        let ids = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        call(
            format!("set the owner of {} inside the root", shown(path)),
            text,
            "the owner in the list of devices",
            || chownat(&dir, name, ids.0, ids.1, AtFlags::SYMLINK_NOFOLLOW),
        )
    }

    /// Makes a symbolic link; only processes inside follow it, the tool does not.
    pub(crate) fn link(&self, path: &Path, to: impl AsRef<OsStr>, why: &str) -> Result<(), Fault> {
        let to = to.as_ref();
        let (above, name, dir) = self.above(path)?;
        let shown_to = quoted(to.as_ref());
        let text = format!("symlinkat({shown_to}, root:{above}, {})", quoted(name.as_ref()));
        let goal = format!("make the link {} inside the root", shown(path));
        match call(goal, text, why, || symlinkat(to, &dir, name)) {
            // The root may have anything under that name: it is not followed here.
            Err(fault) if fault.errno() == Some(Errno::EEXIST) => Ok(()),
            made => made.map_err(|fault| not_made(fault, &above)).and_then(|()| self.made.note(dir, name, path)),
        }
    }

    /// Writes a new file that everybody can read.
    pub(crate) fn write(&self, path: &Path, content: &[u8], why: &str) -> Result<(), Fault> {
        self.write_with_mode(path, content, 0o644, why)
    }

    /// Writes a new file.
    pub(crate) fn write_with_mode(&self, path: &Path, content: &[u8], mode: u32, why: &str) -> Result<(), Fault> {
        let (above, name, dir) = self.above(path)?;
        let goal = format!("write {} inside the root", shown(path));
        let name_shown = quoted(name.as_ref());
        let text =
            format!("openat(root:{above}, {name_shown}, O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0{mode:o})");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = call(&goal, text, why, || openat(&dir, name, flags, Mode::from_raw_mode(mode)))?;
        if narrate::is_dry_run() {
            return Ok(());
        }
        let mut file = std::fs::File::from(file);
        own(&goal, "write(fd)", || std::io::Write::write_all(&mut file, content))?;
        leave(file);
        self.made.note(dir, name, path)
    }

    /// Opens the parent directory, in which the file is made; returns it with its name and the name in it.
    fn above<'a>(&self, path: &'a Path) -> Result<(String, &'a OsStr, Rc<OwnedFd>), Fault> {
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Fault::new(format!("cannot {}: it is not the name of a file", reach(path))));
        };
        let dir = match self.own.for_files(path) {
            Some(own) => own,
            None => Rc::new(self.with_room(above, name, self.directory(above)?)?),
        };
        self.note(path, Node::Made);
        Ok((shown(above), name, dir))
    }

    /// Returns the directory, or a writable copy if it is read-only and does not contain the name.
    fn with_room(&self, above: &Path, name: &OsStr, dir: OwnedFd) -> Result<OwnedFd, Fault> {
        let flags = self.flags_at(above, &dir)?;
        if !flags.contains(Attributes::MOUNT_ATTR_RDONLY) || statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Ok(dir);
        }
        self.covered(above);
        self.copies.replace(self.as_fd(), dir, above, flags, &self.made)
    }
}

/// Adds why nothing could be made in the directory `above`.
fn not_made(fault: Fault, above: &str) -> Fault {
    match fault.errno() {
        Some(Errno::EROFS) => fault.with_remedy(format!(
            "{above} is on a read-only file system, and cannot be replaced by a writable copy: it has too many entries, we \
             may not list them, or it is a file system of the kernel; make the mount point beforehand"
        )),
        Some(Errno::EACCES) => fault.with_remedy(format!("{above} is not writable for us; let its owner make the mount point")),
        _ => fault,
    }
}
