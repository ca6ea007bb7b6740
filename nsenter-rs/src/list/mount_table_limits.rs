//! Limits on how much is read of the mount tables of others: a user with a user namespace can make 100000 mounts with
//! long names, in as many mount namespaces as the kernel allows. `fs.mount-max`, `ioctl_nsfs(2)`.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use plumbing::kernel::namespace_owner;
use plumbing::kernel::nsfs::namespace_owner_uid;
use plumbing::narrate;
use plumbing::process::namespace::Kind;
use plumbing::process::target::own_namespace_inode;
use rustix::fs::{Mode, OFlags, openat};

use super::inventory::inode_of;
use super::mount::Table;

/// The maximum number of bytes of one table, and of all tables of one author. A container's table has some ten
/// thousand.
const OF_TABLE: u64 = 256 << 10;
const OF_AUTHOR: u64 = 4 << 20;

/// The user who can mount in a namespace: the creator of the user namespace that owns it. User namespaces that root
/// created count separately, by their inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Author {
    User(u32),
    Namespace(u64),
}

/// The number of bytes that were read of each author's tables, and of tables that were not read to their end.
pub(crate) struct MountTableLimits {
    own: Option<u64>,
    spent: BTreeMap<Author, (u64, usize)>,
}

impl MountTableLimits {
    /// Returns the limits, nothing of which is used yet.
    pub(crate) fn new() -> MountTableLimits {
        MountTableLimits { own: own_namespace_inode(Kind::User), spent: BTreeMap::new() }
    }

    /// Returns the author of a process's mount table, and how many bytes of it may be read. There is no author, and no
    /// limit, if the owner of the mount namespace is our own user namespace, or one that we may not see because it is
    /// above ours.
    pub(crate) fn of(&self, proc: BorrowedFd<'_>, pid: i32) -> (Option<Author>, u64) {
        let Some(author) = self.author(proc, pid) else { return (None, u64::MAX) };
        let spent = self.spent.get(&author).map_or(0, |(bytes, _)| *bytes);
        (Some(author), OF_TABLE.min(OF_AUTHOR.saturating_sub(spent)))
    }

    fn author(&self, proc: BorrowedFd<'_>, pid: i32) -> Option<Author> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace = openat(proc, format!("{pid}/ns/mnt"), flags, Mode::empty()).ok()?;
        let owner = namespace_owner(namespace.as_fd()).ok()?;
        let inode = inode_of(&owner);
        if inode == self.own {
            return None;
        }
        match namespace_owner_uid(&owner).ok()? {
            0 => inode.map(Author::Namespace),
            uid => Some(Author::User(uid)),
        }
    }

    /// Records how much was read of a table.
    pub(crate) fn spend(&mut self, author: Option<Author>, table: &Table) {
        let Some(author) = author else { return };
        let (bytes, cut) = self.spent.entry(author).or_default();
        *bytes += table.bytes;
        *cut += usize::from(table.is_cut);
    }

    /// Reports on stderr which tables were not read to their end.
    pub(crate) fn remark(&self) {
        for (author, (_, cut)) in self.spent.iter().filter(|(_, (_, cut))| *cut > 0) {
            let whose = match author {
                Author::User(uid) => format!("user {uid}"),
                Author::Namespace(inode) => format!("user namespace {inode}"),
            };
            narrate::remark(format_args!(
                "did not read {cut} mount tables of {whose} to their end: the limits are 256 KiB for each table and 4 MiB for all"
            ));
        }
    }
}
