//! After a failure: removing what was made under the temporary name. `unlinkat(2)`.
//!
//! The content of our directory is removed through a descriptor of it, not by its name, which someone else may have given
//! to another directory.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::{call, look};
use plumbing::text::Text;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, fchmod, openat, unlinkat};

const GOAL: &str = "remove an incomplete copy";
const WHY: &str = "the copy is incomplete";

/// How deep our directories can be.
const DEEPEST: usize = 256;

/// What was made.
pub(super) struct Remains {
    /// The directory that has the temporary name.
    pub(super) parent: OwnedFd,
    /// The directory with that name, if it is one.
    pub(super) top: Option<OwnedFd>,
    pub(super) temporary: OsString,
}

impl Remains {
    /// Removes it.
    pub(super) fn remove(&self) -> Result<(), Fault> {
        match &self.top {
            Some(top) => {
                clear(top, 0)?;
                tolerate_absence(unlink(&self.parent, &self.temporary, true))
            }
            None => match unlink(&self.parent, &self.temporary, false) {
                // A directory that was not opened yet.
                Err(fault) if fault.errno() == Some(Errno::EISDIR) => unlink(&self.parent, &self.temporary, true),
                done => tolerate_absence(done),
            },
        }
    }
}

/// Removes the content of a directory.
fn clear(directory: &OwnedFd, depth: usize) -> Result<(), Fault> {
    if depth > DEEPEST {
        return Err(Fault::new(format!("cannot {GOAL}: its directories are more than {DEEPEST} levels deep")));
    }
    // The copy may have no write permission itself.
    call(GOAL, "fchmod(fd, 0700)", WHY, || fchmod(directory, Mode::RWXU))?;
    let mut names = Vec::new();
    for entry in look(GOAL, "getdents64(fd)", || Dir::read_from(directory))? {
        let entry = look(GOAL, "getdents64(fd)", || entry)?;
        names.push(OsStr::from_bytes(entry.file_name().to_bytes()).to_owned());
    }
    for name in names.iter().filter(|name| *name != "." && *name != "..") {
        match unlink(directory, name, false) {
            Err(fault) if fault.errno() == Some(Errno::EISDIR) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let text = format!("openat(fd, {})", quoted(name));
                clear(&look(GOAL, text, || openat(directory, name, flags, Mode::empty()))?, depth + 1)?;
                unlink(directory, name, true)?;
            }
            done => tolerate_absence(done)?,
        }
    }
    Ok(())
}

fn unlink(directory: &OwnedFd, name: &OsStr, is_directory: bool) -> Result<(), Fault> {
    let (flags, text) = if is_directory { (AtFlags::REMOVEDIR, "AT_REMOVEDIR") } else { (AtFlags::empty(), "0") };
    call(GOAL, format!("unlinkat(fd, {}, {text})", quoted(name)), WHY, || unlinkat(directory, name, flags))
}

fn tolerate_absence(done: Result<(), Fault>) -> Result<(), Fault> {
    match done {
        Err(fault) if fault.errno() == Some(Errno::ENOENT) => Ok(()),
        done => done,
    }
}

fn quoted(name: &OsStr) -> String {
    format!("\"{}\"", Text::from(name).shown())
}
