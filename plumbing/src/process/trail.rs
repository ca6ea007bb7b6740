//! Who can change where a path leads: the owners of the directories and symbolic links on its way. `path_resolution(7)`.
//!
//! The surprise: a link that only root can change leads where a user likes if its text passes through a directory of the
//! user. What fs.protected_symlinks refuses are links in directories like /tmp only.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, fstatfs, openat, readlinkat};
use rustix::io::Errno;

use crate::process::namespace::Kind;
use crate::process::target::is_in_first_namespace;

const PROC_SUPER_MAGIC: i64 = 0x9fa0;
/// The inode of the root of every procfs: the links in it are text, those of processes are deeper.
const PROC_ROOT_INO: u64 = 1;
/// The kernel's own limit.
const MOST_LINKS: u32 = 40;

/// A directory or link that another user can change.
#[derive(Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Where it is.
    pub path: PathBuf,
    /// Its owner, unless its mode lets several users change it, or that is not known.
    pub uid: Option<u32>,
}

impl Stranger {
    /// Returns who can change it, for texts.
    pub fn who(&self) -> String {
        self.uid.map_or_else(|| "another user".to_owned(), |uid| format!("user {uid}"))
    }
}

/// Returns the first directory or link on the way of an absolute path that others than root and this process's user can
/// change. Nothing behind it is looked up.
///
/// If there is none, only root and this user can lead the path elsewhere afterwards, so it may be opened as usual. The
/// links in /proc to the files of a process belong to the kernel: which process is meant is in the path. But the way may not lead
/// through one to a directory: the process, or another one that gets its pid, can change its root, its working directory and its
/// mount namespace at any time. Where nobody knows, because a directory cannot be searched, for example, it counts as a stranger's.
pub fn stranger(path: &Path) -> Option<Stranger> {
    let Ok(at) = root() else { return Some(Stranger { path: "/".into(), uid: None }) };
    let mut walk = Walk { at, shown: PathBuf::from("/"), rest: Vec::new(), links: 0 };
    walk.push(path);
    loop {
        match walk.step() {
            Ok(Step::Further) => {}
            Ok(Step::End) => return None,
            Ok(Step::Stranger(stranger)) => return Some(stranger),
            // Opening it fails in the same way.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return None,
            Err(_) => return Some(Stranger { path: walk.shown, uid: None }),
        }
    }
}

enum Step {
    Further,
    End,
    Stranger(Stranger),
}

/// The directory that has been reached, and the components that are left, the next one last.
struct Walk {
    at: OwnedFd,
    shown: PathBuf,
    rest: Vec<OsString>,
    links: u32,
}

impl Walk {
    fn push(&mut self, path: &Path) {
        for component in path.components().rev() {
            match component {
                Component::Normal(name) => self.rest.push(name.to_owned()),
                Component::ParentDir => self.rest.push("..".into()),
                _ => {}
            }
        }
    }

    fn step(&mut self) -> Result<Step, Errno> {
        let Some(name) = self.rest.pop() else { return Ok(Step::End) };
        let directory = fstat(&self.at)?;
        let is_proc = fstatfs(&self.at)?.f_type as i64 == PROC_SUPER_MAGIC;
        let is_root = self.shown == Path::new("/");
        let is_sticky = directory.st_mode & 0o1000 != 0;
        // The bits of the group also show what an access control list gives to others; acl(5).
        let is_open = directory.st_mode & 0o022 != 0;
        if !is_root && !is_proc && (!is_trusted(directory.st_uid) || is_open && !is_sticky) {
            let uid = Some(directory.st_uid).filter(|uid| !is_trusted(*uid));
            return Ok(Step::Stranger(Stranger { path: self.shown.clone(), uid }));
        }
        let entry = match open(self.at.as_fd(), &name, OFlags::NOFOLLOW) {
            // Anybody can make it before it is opened.
            Err(Errno::NOENT) if is_open && !is_proc => {
                return Ok(Step::Stranger(Stranger { path: self.shown.join(&name), uid: None }));
            }
            entry => entry?,
        };
        let stat = fstat(&entry)?;
        let shown = self.shown.join(&name);
        // In a sticky directory, an entry can be replaced by its owner.
        if is_open && !is_proc && !is_trusted(stat.st_uid) {
            return Ok(Step::Stranger(Stranger { path: shown, uid: Some(stat.st_uid) }));
        }
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        // `self`, for example.
        let is_plain = !is_proc || directory.st_ino == PROC_ROOT_INO;
        if is_link && is_plain {
            return self.follow(&entry);
        }
        if is_link && !self.rest.is_empty() {
            return Ok(Step::Stranger(Stranger {
                path: shown,
                uid: Some(stat.st_uid).filter(|uid| !is_trusted(*uid)),
            }));
        }
        (self.at, self.shown) = (entry, shown);
        Ok(Step::Further)
    }

    fn follow(&mut self, link: &OwnedFd) -> Result<Step, Errno> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Errno::LOOP);
        }
        let target = PathBuf::from(OsString::from_vec(readlinkat(link, "", Vec::new())?.into_bytes()));
        if target.as_os_str().as_bytes().first() == Some(&b'/') {
            (self.at, self.shown) = (root()?, PathBuf::from("/"));
        }
        self.push(&target);
        Ok(Step::Further)
    }
}

fn root() -> Result<OwnedFd, Errno> {
    open(CWD, OsStr::new("/"), OFlags::empty())
}

fn open(at: std::os::fd::BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(at, name, OFlags::PATH | OFlags::CLOEXEC | flags, Mode::empty())
}

/// Returns whether a user is root or ourselves. In a user namespace, what belongs to nobody in it is the host's, too.
fn is_trusted(uid: u32) -> bool {
    const OVERFLOW: u32 = 65534;
    let is_ours = uid == 0 || uid == rustix::process::geteuid().as_raw();
    is_ours || uid == OVERFLOW && is_in_first_namespace(Kind::User) == Some(false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_directory_that_others_can_change_is_a_stranger_also_behind_links() {
        let base = std::env::temp_dir().join(format!("trail-{}", std::process::id()));
        std::fs::create_dir_all(base.join("open")).expect("mkdir");
        std::fs::set_permissions(&base, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        std::fs::set_permissions(base.join("open"), std::fs::Permissions::from_mode(0o777)).expect("chmod");
        symlink("open/x", base.join("relative")).expect("symlink");
        symlink("loop", base.join("loop")).expect("symlink");
        symlink("/proc/self/ns/net", base.join("own")).expect("symlink");
        symlink("/proc/self/root/run", base.join("root")).expect("symlink");
        let found = |name: &str| stranger(&base.join(name)).map(|stranger| stranger.path);
        assert_eq!(found("relative"), Some(base.join("open")));
        assert_eq!(found("open/../own"), Some(base.join("open")));
        assert_eq!(found("root"), Some(format!("/proc/{}/root", std::process::id()).into()));
        for safe in ["own", "loop", "none", "open"] {
            assert_eq!(found(safe), None, "{safe}");
        }
        // In a sticky directory somebody can make what is missing; write permission of a group may be that of others.
        std::fs::set_permissions(base.join("open"), std::fs::Permissions::from_mode(0o1777)).expect("chmod");
        assert_eq!(found("relative"), Some(base.join("open/x")));
        std::fs::set_permissions(base.join("open"), std::fs::Permissions::from_mode(0o775)).expect("chmod");
        assert_eq!(found("relative"), Some(base.join("open")));
        std::fs::remove_dir_all(&base).expect("remove");
    }
}
