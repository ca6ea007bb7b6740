//! A directory of state files, whose statements are attributed to its owner. `openat2(2)`, `inode(7)`.
//!
//! For root, a directory that belongs to another user is hostile: no symbolic link is followed in it, no mount is
//! crossed (a FUSE file system could block us), only regular files are read, and not more than a runtime would write,
//! neither of one file nor of all files of that user.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use super::read_limits::{MOST, ReadLimits};

/// An open directory.
pub(crate) struct StateDirectory {
    dir: OwnedFd,
    /// The path by which it was opened, for messages.
    pub(crate) path: PathBuf,
    /// The owner of the directory.
    pub(crate) author: u32,
    /// The rest of the limits on the author's files.
    limits: Rc<ReadLimits>,
}

/// The reason why a file cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The file does not exist.
    Absent,
    /// The limit for the author's files is reached; the file may exist.
    LeftOut,
    /// The file exists and has this defect.
    Wrong(String),
}

impl StateDirectory {
    /// Opens a directory of the system. The path to it is the administrator's; the owner of the directory is the author
    /// of its content, and a directory that everybody may write to is refused.
    pub(crate) fn of_system(path: &Path) -> Result<StateDirectory, Unusable> {
        let dir =
            openat2(CWD, path, directory(), Mode::empty(), ResolveFlags::empty()).map_err(|e| refused(path, e))?;
        let stat = stat(path, dir.as_fd())?;
        if stat.st_mode & 0o002 != 0 {
            return Err(Unusable::Wrong(format!("{} is writable by everybody", path.display())));
        }
        Ok(StateDirectory { dir, path: path.to_owned(), author: stat.st_uid, limits: ReadLimits::of_root() })
    }

    /// Opens a directory of a user, such as /run/user/UID; refuses one that another user owns.
    pub(crate) fn of_user(uid: u32, path: &Path) -> Result<StateDirectory, Unusable> {
        let dir = StateDirectory::of_system(path)?;
        if dir.author == uid {
            return Ok(dir);
        }
        Err(Unusable::Wrong(format!("{} does not belong to user {uid}", path.display())))
    }

    /// Sets the limits of the author.
    pub(crate) fn within(self, limits: Rc<ReadLimits>) -> StateDirectory {
        StateDirectory { limits, ..self }
    }

    /// Opens a directory in it, with the same author.
    pub(crate) fn below(&self, path: impl AsRef<Path>) -> Result<StateDirectory, Unusable> {
        let dir = self.open(path.as_ref(), directory())?;
        Ok(StateDirectory { dir, path: self.path.join(path), author: self.author, limits: self.limits.clone() })
    }

    /// Returns its descriptor.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Returns the names in it.
    pub(crate) fn names(&self) -> Result<Vec<OsString>, Unusable> {
        let failed = |error| refused(&self.path, error);
        let mut names = Vec::new();
        let mut seen = 0;
        for entry in Dir::read_from(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            if names.len() < self.limits.most {
                names.push(name.to_owned());
            } else {
                self.limits.leave_out();
            }
            seen += 1;
            if seen == MOST {
                break;
            }
        }
        Ok(names)
    }

    /// Reads a file in it.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Result<Vec<u8>, Unusable> {
        let path = path.as_ref();
        let shown = self.path.join(path);
        let wrong = |what: &str| Err(Unusable::Wrong(format!("{} {what}", shown.display())));
        if !self.limits.open() {
            return Err(Unusable::LeftOut);
        }
        // NONBLOCK, because a FIFO in its place must not block us.
        let file = self.open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC)?;
        let stat = stat(&shown, file.as_fd())?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return wrong("is not a regular file");
        }
        let longest = self.limits.longest;
        if stat.st_size as u64 > longest {
            self.limits.leave_out();
            return wrong("is too large for a state file");
        }
        let mut bytes = Vec::new();
        let read = File::from(file).take(longest + 1).read_to_end(&mut bytes);
        self.limits.read(bytes.len() as u64);
        match read {
            Ok(_) if bytes.len() as u64 > longest => wrong("is too large for a state file"),
            Ok(_) => Ok(bytes),
            Err(error) => wrong(&format!("cannot be read: {error}")),
        }
    }

    /// Reads a JSON file in it.
    pub(crate) fn json<T: DeserializeOwned>(&self, path: impl AsRef<Path>) -> Result<T, Unusable> {
        let bytes = self.read(path.as_ref())?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Unusable::Wrong(format!("{}: {error}", self.path.join(path).display())))
    }

    /// Reads a file in it that contains a pid.
    pub(crate) fn pid(&self, path: impl AsRef<Path>) -> Result<i32, Unusable> {
        let bytes = self.read(path.as_ref())?;
        let pid = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
        pid.ok_or_else(|| Unusable::Wrong(format!("{} does not contain a pid", self.path.join(path).display())))
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Unusable> {
        let careful =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        // In root's own directories, mounts and symbolic links are root's, too.
        let resolve = if self.author == 0 { ResolveFlags::NO_MAGICLINKS } else { careful };
        openat2(&self.dir, path, flags, Mode::empty(), resolve).map_err(|error| refused(&self.path.join(path), error))
    }
}

fn directory() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC
}

fn stat(path: &Path, file: impl AsFd) -> Result<Stat, Unusable> {
    fstat(file).map_err(|error| refused(path, error))
}

fn refused(path: &Path, error: Errno) -> Unusable {
    match error {
        Errno::NOENT | Errno::NOTDIR => Unusable::Absent,
        Errno::LOOP => Unusable::Wrong(format!("{} leads through a symbolic link", path.display())),
        error => Unusable::Wrong(format!("{} cannot be opened: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens a directory as if another user owned it.
    fn foreign_directory(name: &str) -> StateDirectory {
        let path = std::env::temp_dir().join(format!("nsenter-rs-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        StateDirectory {
            author: 4242,
            limits: ReadLimits::of(4242, false),
            ..StateDirectory::of_system(&path).unwrap()
        }
    }

    #[test]
    fn only_regular_files_of_limited_size_are_read() {
        let dir = foreign_directory("dir");
        std::fs::write(dir.path.join("state.json"), "{\"pid\": 7}").unwrap();
        let value: serde_json::Value = dir.json("state.json").unwrap();
        assert_eq!(value["pid"], 7);

        std::os::unix::fs::symlink("state.json", dir.path.join("link")).unwrap();
        nix::unistd::mkfifo(&dir.path.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        File::create(dir.path.join("huge")).unwrap().set_len(64 * 1024 + 1).unwrap();
        for name in ["link", "fifo", "huge", ".", "../x"] {
            assert!(matches!(dir.read(name), Err(Unusable::Wrong(_))), "{name}: {:?}", dir.read(name));
        }
        assert_eq!(dir.read("nothing"), Err(Unusable::Absent));
        std::fs::remove_dir_all(&dir.path).unwrap();
    }
}
