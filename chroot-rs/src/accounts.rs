//! Names of users and groups, read from the passwd and group files of the host or of a root. `passwd(5)`, `group(5)`.
//!
//! These are read as files, never through NSS: for NSS, chroot(8) loads libraries from the new root as root.

use std::path::Path;

use plumbing::Fault;

use crate::facts::host_file;
use crate::in_root::InRoot;

/// The passwd and group files of one root.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts {
    pub(crate) passwd: String,
    pub(crate) group: String,
}

/// One line of passwd.
pub(crate) struct User<'a> {
    pub(crate) name: &'a str,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: &'a str,
}

impl Accounts {
    /// Reads the host's names; a host without these files has none.
    pub(crate) fn of_host() -> Accounts {
        Accounts { passwd: host_file("/etc/passwd"), group: host_file("/etc/group") }
    }

    /// Reads the names of a root.
    pub(crate) fn of_root(root: &InRoot) -> Result<Accounts, Fault> {
        let read = |path: &str| {
            let content = root.read(Path::new(path))?.unwrap_or_default();
            Ok::<_, Fault>(String::from_utf8_lossy(&content).into_owned())
        };
        Ok(Accounts { passwd: read("/etc/passwd")?, group: read("/etc/group")? })
    }

    fn users(&self) -> impl Iterator<Item = User<'_>> {
        self.passwd.lines().filter_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
            Some(User { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
        })
    }

    pub(crate) fn user_by_name(&self, name: &str) -> Option<User<'_>> {
        self.users().find(|user| user.name == name)
    }

    pub(crate) fn user_by_id(&self, uid: u32) -> Option<User<'_>> {
        self.users().find(|user| user.uid == uid)
    }

    /// Lists the groups: name, id, members.
    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            let [name, _, gid, members, ..] = fields[..] else { return None };
            Some((name, gid.parse().ok()?, members))
        })
    }

    pub(crate) fn group_by_name(&self, name: &str) -> Option<u32> {
        self.groups().find(|(known, ..)| *known == name).map(|(_, gid, _)| gid)
    }

    /// Lists the groups of a user as initgroups(3) does: the user's own group, then those that list the user.
    pub(crate) fn groups_of(&self, user: &str, own: u32) -> Vec<u32> {
        let lists = |members: &str| members.split(',').any(|member| member == user);
        let mut groups = vec![own];
        for (_, gid, members) in self.groups() {
            if lists(members) && !groups.contains(&gid) {
                groups.push(gid);
            }
        }
        groups
    }
}
