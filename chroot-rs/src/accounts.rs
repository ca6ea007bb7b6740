//! Names of users and groups, read from the passwd and group files of the host or of a root. `passwd(5)`, `group(5)`.
//!
//! These are read as files, never through NSS: for NSS, chroot(8) loads libraries from the new root as root.

use std::path::Path;

use plumbing::Fault;
use plumbing::process::accounts::{entries, id, id_of};

use crate::facts::host_file;
use crate::in_root::InRoot;

/// The passwd and group files of one root.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts {
    pub(crate) passwd: Vec<u8>,
    pub(crate) group: Vec<u8>,
}

/// One line of passwd.
pub(crate) struct User<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: &'a [u8],
}

impl Accounts {
    /// Reads the host's names; a host without these files has none.
    pub(crate) fn of_host() -> Result<Accounts, Fault> {
        Ok(Accounts { passwd: host_file("/etc/passwd")?, group: host_file("/etc/group")? })
    }

    /// Reads the names of a root.
    pub(crate) fn of_root(root: &InRoot) -> Result<Accounts, Fault> {
        let read = |path: &str| root.read(Path::new(path)).map(Option::unwrap_or_default);
        Ok(Accounts { passwd: read("/etc/passwd")?, group: read("/etc/group")? })
    }

    fn users(&self) -> impl Iterator<Item = User<'_>> {
        entries(&self.passwd).filter_map(|fields| {
            let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
            Some(User { name, uid: id(uid)?, gid: id(gid)?, home })
        })
    }

    pub(crate) fn user_by_name(&self, name: &str) -> Option<User<'_>> {
        self.users().find(|user| user.name == name.as_bytes())
    }

    pub(crate) fn user_by_id(&self, uid: u32) -> Option<User<'_>> {
        self.users().find(|user| user.uid == uid)
    }

    pub(crate) fn group_by_id(&self, gid: u32) -> Option<&[u8]> {
        entries(&self.group).find_map(|fields| {
            let [name, _, number, ..] = fields[..] else { return None };
            (id(number)? == gid).then_some(name)
        })
    }

    pub(crate) fn group_by_name(&self, name: &str) -> Option<u32> {
        id_of(&self.group, name.as_bytes())
    }

    /// Lists the groups of a user as initgroups(3) does: the user's own group, then those that list the user.
    pub(crate) fn groups_of(&self, user: &[u8], own: u32) -> Vec<u32> {
        let lists = |members: &[u8]| members.split(|byte| *byte == b',').any(|member| member == user);
        let mut groups = vec![own];
        for fields in entries(&self.group) {
            let [_, _, gid, members, ..] = fields[..] else { continue };
            match id(gid) {
                Some(gid) if lists(members) && !groups.contains(&gid) => groups.push(gid),
                _ => {}
            }
        }
        groups
    }
}
