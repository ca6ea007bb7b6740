//! The user that chroot-rs runs as, where that is not root: its name and home directory, for a root that has only root and
//! nobody. `passwd(5)`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use plumbing::Fault;
use rustix::process::{getegid, geteuid};

use crate::accounts::Accounts;
use crate::entry::{Entry, What};

/// The only directory of the host's layout in which a home directory is made.
const HOMES: &[u8] = b"/home/";

/// A user other than root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) name: Vec<u8>,
    pub(crate) group: Vec<u8>,
    pub(crate) home: Vec<u8>,
}

impl OwnUser {
    /// Looks this process's user up in the host's files; `None` for root.
    pub(crate) fn read() -> Result<Option<OwnUser>, Fault> {
        if geteuid().is_root() {
            return Ok(None);
        }
        Ok(Some(OwnUser::of(&Accounts::of_host()?, geteuid().as_raw(), getegid().as_raw())))
    }

    fn of(accounts: &Accounts, uid: u32, gid: u32) -> OwnUser {
        let entry = accounts.user_by_id(uid);
        let name = entry.as_ref().map_or(&b"user"[..], |user| user.name).to_vec();
        let home = entry.as_ref().map_or(&b"/"[..], |user| user.home);
        let group = accounts.group_by_id(gid).map_or_else(|| name.clone(), <[u8]>::to_vec);
        OwnUser { uid, gid, name, group, home: if is_plain(home) { home.to_vec() } else { b"/".to_vec() } }
    }

    /// Returns the line for passwd.
    pub(crate) fn passwd(&self) -> Vec<u8> {
        let ids = format!(":x:{}:{}:", self.uid, self.gid);
        [&self.name, ids.as_bytes(), &self.name, b":", &self.home, b":/bin/sh\n"].concat()
    }

    /// Returns the line for group.
    pub(crate) fn group(&self) -> Vec<u8> {
        [&self.group, format!(":x:{}:\n", self.gid).as_bytes()].concat()
    }

    /// Returns the entry for the home directory, unless it is a place that the root has anyway.
    pub(crate) fn home_directory(&self) -> Option<Entry> {
        let is_below = self.home.strip_prefix(HOMES).is_some_and(|name| !name.is_empty());
        let target = OsStr::from_bytes(&self.home);
        is_below.then(|| Entry::new(target, What::Directory(0o700), "the empty home directory of the present user"))
    }
}

/// Reports whether it is an absolute path without `..` and empty parts.
fn is_plain(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/") else { return false };
    !path.contains(&0) && rest.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(passwd: &str) -> OwnUser {
        let group = b"dev:x:7:\n".to_vec();
        OwnUser::of(&Accounts { passwd: passwd.as_bytes().to_vec(), group }, 1001, 7)
    }

    #[test]
    fn the_lines_name_the_own_user_and_group() {
        let ann = read("root:x:0:0::/root:/bin/sh\nann:x:1001:7:Ann,,,:/home/ann:/bin/zsh\n");
        assert_eq!(ann.passwd(), b"ann:x:1001:7:ann:/home/ann:/bin/sh\n");
        assert_eq!(ann.group(), b"dev:x:7:\n");
        assert_eq!(ann.home_directory().map(|entry| entry.target), Some("/home/ann".into()));
    }

    #[test]
    fn without_an_entry_or_with_an_odd_one_the_home_is_the_root() {
        assert_eq!(read("").passwd(), b"user:x:1001:7:user:/:/bin/sh\n");
        for home in ["/home/../etc", "home", "", "/home//x"] {
            let own = read(&format!("a:x:1001:7::{home}:\n"));
            assert_eq!((own.home.as_slice(), own.home_directory()), (&b"/"[..], None), "{home}");
        }
        assert_eq!(read("a:x:1001:7::/usr/sbin:\n").home_directory(), None);
    }
}
