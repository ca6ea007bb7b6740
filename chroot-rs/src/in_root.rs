//! Paths inside a root that somebody else made: resolved by the kernel below the root's descriptor, then used only as
//! descriptors, never again as strings. `openat2(2)`, `path_resolution(7)`.
//!
//! A root may have a symbolic link at /proc, or replace a directory by one during our work. `resolve.rs` keeps every step
//! below the root; a path on which something is mounted or written must not contain a link at all.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use plumbing::confinement::privilege::id::require;
use plumbing::fault::IntoErrno;
use plumbing::kernel::{call, look, own};
use plumbing::{Fault, narrate};
use rustix::fs::{
    AtFlags, CWD, Dev, FileType, Gid, Mode, OFlags, Uid, chownat, fstat, makedev, mkdirat, mknodat, openat, statat,
    symlinkat,
};

use crate::cleanup::{Lifetime, Made};
use crate::dry_run_tree::{DryRunTree, Node, Where};
use crate::entry::{Attributes, Device, quoted, shown};
use crate::resolve::{self, Links};
use crate::writable_copy::{self, WritableCopies};

/// The limit for reading a file inside a root.
const LONGEST: u64 = 4 << 20;

/// A root, as the descriptor of its top directory.
#[derive(Debug)]
pub(crate) struct InRoot {
    fd: OwnedFd,
    copies: WritableCopies,
    /// The flags that its mount is to get: in a dry run the mount does not have them.
    flags: Attributes,
    dry_run: DryRunTree,
    follows: bool,
    made: Made,
}

impl InRoot {
    /// Wraps the top directory `fd` of a root, which is on a mount with these flags. `is_new`: the directory was just made and
    /// is empty.
    pub(crate) fn new(fd: OwnedFd, is_new: bool, flags: Attributes) -> InRoot {
        let dry_run = DryRunTree::default();
        if narrate::is_dry_run() && is_new {
            dry_run.note(Path::new("/"), Node::Empty);
        }
        let made = Made::default();
        if is_new {
            made.mounted(Path::new("/"), Lifetime::OfTheRun);
        }
        InRoot { fd, copies: WritableCopies::default(), flags, dry_run, follows: false, made }
    }

    /// Makes it follow links on the way to a target inside the root, as OCI runtimes do. Links in /proc, /sys and /dev, which
    /// concern the machine, are still refused (CVE-2019-19921, CVE-2023-27561).
    pub(crate) fn following(self) -> InRoot {
        InRoot { follows: true, ..self }
    }

    fn links(&self, path: &Path) -> Links {
        let is_fixed = ["/proc", "/sys", "/dev"].iter().any(|top| path.starts_with(top));
        if self.follows && !is_fixed { Links::Inside } else { Links::Refuse }
    }

    /// Returns its top directory.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.copies.top().unwrap_or(&self.fd).as_fd()
    }

    /// Returns the directory from which it was made, below everything mounted over it.
    pub(crate) fn bottom(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns the directories that were replaced by a writable copy, to make mount points in them.
    pub(crate) fn copies(&self) -> &WritableCopies {
        &self.copies
    }

    /// Returns what was made in it, to be removed if the run fails.
    pub(crate) fn made(&self) -> &Made {
        &self.made
    }

    /// Notes what a dry run printed.
    pub(crate) fn note(&self, path: &Path, node: Node) {
        if narrate::is_dry_run() {
            self.dry_run.note(path, node);
        }
    }

    /// Opens `path`; `None` if it does not exist.
    pub(crate) fn find(&self, path: &Path) -> Result<Option<OwnedFd>, Fault> {
        match self.open(path, OFlags::PATH) {
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Opens the directory `path`; makes it and those above it if they are missing.
    pub(crate) fn directory(&self, path: &Path) -> Result<OwnedFd, Fault> {
        match self.open(path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => {
                self.make_directory(path, 0o755)?;
                self.open(path, OFlags::PATH | OFlags::DIRECTORY)
            }
            answer => answer,
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
        self.make_node(path, FileType::RegularFile, 0o444, 0, "an empty file to mount on")?;
        self.open(path, OFlags::PATH)
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
                match FileType::from_raw_mode(stat.st_mode) == device.kind && stat.st_rdev == number {
                    true => Ok(()),
                    false => Err(fault),
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
    pub(crate) fn link(&self, path: &Path, to: &str, why: &str) -> Result<(), Fault> {
        let (above, name, dir) = self.above(path)?;
        let text = format!("symlinkat({to:?}, root:{above}, {})", quoted(name.as_ref()));
        let goal = format!("make the link {} inside the root", shown(path));
        match call(goal, text, why, || symlinkat(to, &dir, name)) {
            // The root may have anything under that name: it is not followed here.
            Err(fault) if fault.errno() == Some(Errno::EEXIST) => Ok(()),
            made => made.map_err(|fault| not_made(fault, &above)).and_then(|()| self.made.note(dir, name, path)),
        }
    }

    /// Writes a new file.
    pub(crate) fn write(&self, path: &Path, content: &[u8], why: &str) -> Result<(), Fault> {
        let (above, name, dir) = self.above(path)?;
        let goal = format!("write {} inside the root", shown(path));
        let name_shown = quoted(name.as_ref());
        let text = format!("openat(root:{above}, {name_shown}, O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0644)");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = call(&goal, text, why, || openat(&dir, name, flags, Mode::from_raw_mode(0o644)))?;
        if narrate::is_dry_run() {
            return Ok(());
        }
        own(&goal, "write(fd)", || std::io::Write::write_all(&mut std::fs::File::from(file), content))?;
        self.made.note(dir, name, path)
    }

    /// Reads a file of the root; links may lead anywhere *inside*. `None` if it does not exist.
    pub(crate) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Fault> {
        if narrate::is_dry_run() && self.dry_run.find(path) != Where::Root {
            return Ok(None);
        }
        let goal = format!("read {} inside the root", shown(path));
        // A FIFO must not block us, and a terminal must not become our controlling terminal.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let text = format!("openat2(root, {})", quoted(path));
        let file = match resolve::open(self.as_fd(), path, flags, Links::Inside) {
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
            answer => look(&goal, text, || answer)?,
        };
        let stat = look(&goal, "fstat(fd)", || rustix::fs::fstat(&file))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Fault::new(format!("cannot {goal}: it is not a regular file")));
        }
        let mut content = Vec::new();
        let mut limited = std::fs::File::from(file).take(LONGEST + 1);
        look(&goal, "read(fd)", || limited.read_to_end(&mut content))?;
        match content.len() as u64 > LONGEST {
            true => Err(Fault::new(format!("cannot {goal}: it is longer than {LONGEST} bytes"))),
            false => Ok(Some(content)),
        }
    }

    /// Opens the parent directory, in which the file is made; returns it with its name and the name in it.
    fn above<'a>(&self, path: &'a Path) -> Result<(String, &'a OsStr, OwnedFd), Fault> {
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Fault::new(format!("cannot {}: it is not the name of a file", reach(path))));
        };
        let dir = self.with_room(above, name, self.directory(above)?)?;
        self.note(path, Node::Made);
        Ok((shown(above), name, dir))
    }

    /// Returns the directory, or a writable copy if it is read-only and does not contain the name.
    fn with_room(&self, above: &Path, name: &OsStr, dir: OwnedFd) -> Result<OwnedFd, Fault> {
        let flags = self.flags_at(above, &dir)?;
        if !flags.contains(Attributes::MOUNT_ATTR_RDONLY) || statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Ok(dir);
        }
        self.copies.show(self.as_fd(), dir, above, flags, &self.made)
    }

    /// Returns the flags of the mount through which a directory was opened; in a dry run those that it would have.
    fn flags_at(&self, path: &Path, dir: &OwnedFd) -> Result<Attributes, Fault> {
        let flags = look(reach(path), "fstatvfs(fd)", || writable_copy::flags_of(dir))?;
        if !narrate::is_dry_run() {
            return Ok(flags);
        }
        Ok(match self.dry_run.find(path) {
            _ if self.copies.has(path) => Attributes::empty(),
            Where::Root => flags | self.flags,
            Where::Host(_, more) => flags | more,
            Where::There | Where::Nowhere => Attributes::empty(),
        })
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Fault> {
        let place = if narrate::is_dry_run() { self.dry_run.find(path) } else { Where::Root };
        let opened = match place {
            Where::Root => resolve::open(self.as_fd(), path, flags, self.links(path)),
            Where::There => openat(&self.fd, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()),
            Where::Nowhere => Err(rustix::io::Errno::NOENT),
            Where::Host(same, _) => openat(CWD, same, flags | OFlags::CLOEXEC, Mode::empty()),
        };
        let resolve =
            if self.links(path) == Links::Refuse { "RESOLVE_IN_ROOT|RESOLVE_NO_SYMLINKS" } else { "RESOLVE_IN_ROOT" };
        let text = format!("openat2(root, {}, {resolve})", quoted(path));
        opened.map_err(|error| self.explain(path, Fault::kernel(reach(path), text, error.into_errno())))
    }

    /// Adds a remedy that names the component that is a link, or a file in place of a directory.
    fn explain(&self, path: &Path, fault: Fault) -> Fault {
        if !matches!(fault.errno(), Some(Errno::ELOOP | Errno::ENOTDIR)) {
            return fault;
        }
        let mut parts: Vec<_> = path.ancestors().filter(|part| part.file_name().is_some()).collect();
        parts.reverse();
        for part in parts {
            let flags = OFlags::PATH | OFlags::NOFOLLOW;
            let kind = resolve::open(self.as_fd(), part, flags, Links::Inside)
                .and_then(rustix::fs::fstat)
                .map(|stat| FileType::from_raw_mode(stat.st_mode));
            let part = shown(part);
            match kind {
                Ok(FileType::Directory) => {}
                Ok(FileType::Symlink) => {
                    return fault.with_remedy(format!(
                        "{part} is a symbolic link in this root, and could redirect a mount; use the path it leads to instead, or make \
                         it a directory"
                    ));
                }
                Ok(_) => return fault.with_remedy(format!("{part} is not a directory in this root; make it one")),
                Err(_) => return fault,
            }
        }
        fault
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

fn reach(path: &Path) -> String {
    format!("reach {} inside the root", shown(path))
}

#[cfg(test)]
mod tests;
