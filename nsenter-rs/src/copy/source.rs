//! The reading process: a walk by descriptors, which follows no link and opens nothing but directories and regular files.
//! `open(2)`, `O_PATH`.
//!
//! Whatever a name is, it is first opened as a path only, which has no effect on a FIFO or a device; then the same object
//! is opened for reading. So it does not matter what replaces the name meanwhile.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::errno::Errno;
use plumbing::kernel::look;
use plumbing::process::kernel_made::is_made_by_kernel;
use plumbing::process::{inherited, procfs};
use plumbing::text::Text;
use plumbing::{Fault, narrate};
use rustix::fs::{Dir, FileType, Mode, OFlags, Stat, fstat, fstatfs, openat, readlinkat};

use super::entry::{Entry, Kind};
use super::place::Place;

/// How deep directories may be. Each holds descriptors while it is read.
const DEEPEST: usize = 200;

/// How many files that are not copied are named.
const MOST_NAMED: usize = 20;

/// Takes an entry, and for a file its descriptor.
pub(super) type Sink<'s> = dyn FnMut(Entry, Option<BorrowedFd<'_>>) -> Result<(), Fault> + 's;

/// Sends what is at the place.
pub(super) fn send(place: &Place, sink: &mut Sink<'_>) -> Result<(), Fault> {
    let mut walk = Walk { sink, left_out: 0 };
    match place {
        Place::Stream if inherited::was_closed(0) => {
            return Err(Fault::kernel("copy from stdin", "read(stdin)", Errno::EBADF));
        }
        Place::Stream => (walk.sink)(Entry::bare(Kind::File), Some(rustix::stdio::stdin()))?,
        _ => {
            let shown = place.shown();
            let found = look(format!("copy {shown}"), format!("openat({:?}, O_PATH)", place.path()), || {
                place.open_at(place.path(), OFlags::PATH)
            })?;
            let name = place.path().file_name().unwrap_or_default().to_owned();
            walk.first(&found, &name, &shown)?;
        }
    }
    walk.finish();
    (walk.sink)(Entry::bare(Kind::End), None)
}

struct Walk<'a, 's> {
    sink: &'a mut Sink<'s>,
    left_out: usize,
}

impl Walk<'_, '_> {
    /// Sends the file or directory that was asked for.
    fn first(&mut self, found: &OwnedFd, name: &OsStr, shown: &str) -> Result<(), Fault> {
        let stat = stat(found, shown)?;
        let refuse = |what: &str| Err(Fault::new(format!("cannot copy {shown}: {what}")));
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.file(found, name, &stat, shown),
            FileType::Directory if is_of_kernel(found) => {
                refuse("it is a directory of a file system of the kernel, which makes the files while they are read")
            }
            FileType::Directory => self.directory(found, name, &stat, shown, 0),
            kind => refuse(&format!("it is a {}", described(kind))),
        }
    }

    /// Sends what a name in a directory is.
    fn child(&mut self, parent: &Parent<'_>, name: &OsStr, depth: usize) -> Result<(), Fault> {
        let shown = format!("{}/{}", parent.shown.trim_end_matches('/'), Text::from(name).shown());
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let text = format!("openat({shown:?}, O_PATH|O_NOFOLLOW)");
        let found = match look(format!("copy {shown}"), text, || openat(parent.fd, name, flags, Mode::empty())) {
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => {
                self.leave_out(&shown, "it was removed meanwhile");
                return Ok(());
            }
            found => found?,
        };
        let stat = stat(&found, &shown)?;
        if stat.st_dev != parent.device && is_of_kernel(&found) {
            self.leave_out(&shown, "a file system of the kernel is mounted on it");
            return Ok(());
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.file(&found, name, &stat, &shown),
            FileType::Directory => self.directory(&found, name, &stat, &shown, depth + 1),
            FileType::Symlink => {
                let leads = look(format!("copy {shown}"), format!("readlinkat({shown:?})"), || {
                    readlinkat(&found, "", Vec::new())
                })?;
                let leads = OsString::from_vec(leads.into_bytes());
                (self.sink)(Entry { leads, ..Entry::of(Kind::Link, name, &stat) }, None)
            }
            kind => {
                self.leave_out(&shown, &format!("it is a {}", described(kind)));
                Ok(())
            }
        }
    }

    fn file(&mut self, found: &OwnedFd, name: &OsStr, stat: &Stat, shown: &str) -> Result<(), Fault> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = look(format!("copy {shown}"), format!("openat({shown:?}, O_RDONLY)"), || {
            procfs::open(&format!("self/fd/{}", found.as_raw_fd()), flags)
        })?;
        let mut entry = Entry::of(Kind::File, name, stat);
        if is_of_kernel(found) {
            entry.size = None;
        }
        (self.sink)(entry, Some(opened.as_fd()))
    }

    fn directory(
        &mut self,
        found: &OwnedFd,
        name: &OsStr,
        stat: &Stat,
        shown: &str,
        depth: usize,
    ) -> Result<(), Fault> {
        if depth > DEEPEST {
            return Err(Fault::new(format!("cannot copy {shown}: directories are more than {DEEPEST} levels deep")));
        }
        let goal = || format!("copy {shown}");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let text = format!("openat({shown:?}, O_RDONLY|O_DIRECTORY)");
        let opened = look(goal(), text, || openat(found, ".", flags, Mode::empty()))?;
        (self.sink)(Entry::of(Kind::Directory, name, stat), None)?;
        let text = format!("getdents64({shown:?})");
        let parent = Parent { fd: opened.as_fd(), device: stat.st_dev, shown };
        for entry in look(goal(), &text, || Dir::read_from(&opened))? {
            let entry = look(goal(), &text, || entry)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                self.child(&parent, name, depth)?;
            }
        }
        (self.sink)(Entry::bare(Kind::Up), None)
    }

    fn leave_out(&mut self, shown: &str, why: &str) {
        self.left_out += 1;
        if self.left_out <= MOST_NAMED {
            narrate::remark(format_args!("not copied: {shown}: {why}"));
        }
    }

    fn finish(&self) {
        if self.left_out > MOST_NAMED {
            narrate::remark(format_args!("not copied: {} more files", self.left_out - MOST_NAMED));
        }
    }
}

/// The directory that is being read.
struct Parent<'a> {
    fd: BorrowedFd<'a>,
    device: u64,
    shown: &'a str,
}

fn stat(fd: &OwnedFd, shown: &str) -> Result<Stat, Fault> {
    look(format!("copy {shown}"), format!("fstat({shown:?})"), || fstat(fd))
}

/// Returns whether the kernel makes the content of this file.
fn is_of_kernel(fd: &OwnedFd) -> bool {
    fstatfs(fd).is_ok_and(|on| is_made_by_kernel(&on))
}

/// Returns the name of a kind of file.
pub(super) fn described(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "regular file",
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        FileType::Unknown => "file of an unknown kind",
    }
}
