//! After a failure: removing what was made under the temporary name. `unlinkat(2)`.
//!
//! The content of our directory is removed through a descriptor of it, not by its name, which someone else may have given
//! to another directory. A directory that has another name now is left: the writer may have completed it just before its end.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::{call, look};
use plumbing::text::quoted;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, fchmod, fstat, openat, statat, unlinkat};

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
                if !self.has_temporary_name(top)? {
                    return Ok(());
                }
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

    /// Returns whether the temporary name still is that of our directory.
    fn has_temporary_name(&self, top: &OwnedFd) -> Result<bool, Fault> {
        let ours = look(GOAL, "fstat(fd)", || fstat(top))?;
        let text = format!("newfstatat(fd, {}, AT_SYMLINK_NOFOLLOW)", quoted(&self.temporary));
        match look(GOAL, text, || statat(&self.parent, &self.temporary, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(named) => Ok((named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)),
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => Ok(false),
            Err(fault) => Err(fault),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_removed_while_it_has_the_temporary_name_and_left_when_it_is_complete() {
        let path = std::env::temp_dir().join(format!("nsenter-rs-removal-{}", std::process::id()));
        for (name, is_left) in [("temporary", false), ("complete", true)] {
            std::fs::create_dir_all(path.join(name).join("sub")).unwrap();
            let open = |path| OwnedFd::from(std::fs::File::open(path).unwrap());
            let top = Some(open(path.join(name)));
            let remains = Remains { parent: open(path.clone()), top, temporary: "temporary".into() };
            remains.remove().unwrap();
            assert_eq!(path.join(name).join("sub").exists(), is_left, "{name}");
            assert_eq!(path.join(name).exists(), is_left, "{name}");
        }
        std::fs::remove_dir_all(&path).unwrap();
    }
}
