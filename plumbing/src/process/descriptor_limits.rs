//! Limits on how many open descriptors of others are examined: a user may have hundreds of thousands, and a look at each of
//! them costs some microseconds. `proc_pid_fd(5)`, `getrlimit(2)`.
//!
//! The surprise: neither the owner of /proc/PID, which is root if the process cannot be traced, nor the uid alone says who is
//! behind a process: in a user namespace, a user may have 65536 of them.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags, fstat, openat};

use super::namespace::Kind;
use super::target::{own_namespace_inode, read_at, status_field};
use crate::kernel::nsfs::namespace_owner_uid;
use crate::narrate;

/// As long as fewer descriptors were seen in all, nobody is asked whose they are: this is the usual case.
const FREE: usize = 20_000;
/// The most descriptors of one author after that.
const OF_AUTHOR: usize = 20_000;
/// The most of root in our own user namespace.
const OF_ROOT: usize = 1_000_000;

/// Who is behind a process: the creator of its user namespace, or its user in ours. User namespaces that root created count
/// separately, by their inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Author {
    User(u32),
    Namespace(u64),
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Author::User(uid) => write!(f, "user {uid}"),
            Author::Namespace(inode) => write!(f, "user namespace {inode}"),
        }
    }
}

/// The descriptors that were examined so far, and for each author those that were not.
#[derive(Debug, Default)]
pub struct DescriptorLimits {
    seen: usize,
    spent: BTreeMap<Author, (usize, usize)>,
}

impl DescriptorLimits {
    /// Returns how many of `count` descriptors of a process may be examined; `process` is its directory in /proc.
    pub fn take(&mut self, process: BorrowedFd<'_>, count: usize) -> usize {
        self.seen = self.seen.saturating_add(count);
        if self.seen <= FREE { count } else { self.charge(author(process), count) }
    }

    fn charge(&mut self, author: Author, count: usize) -> usize {
        let most = if author == Author::User(0) { OF_ROOT } else { OF_AUTHOR };
        let (spent, left_out) = self.spent.entry(author).or_default();
        let allowed = count.min(most - *spent);
        *spent += allowed;
        *left_out += count - allowed;
        allowed
    }

    /// Reports on stderr what was not examined.
    pub fn remark(&self) {
        for (author, (spent, left_out)) in self.spent.iter().filter(|(_, (_, left_out))| *left_out > 0) {
            narrate::remark(format_args!(
                "did not examine {left_out} open descriptors of {author}: the limit is {spent}, so a namespace that only \
                 one of the others keeps is missing"
            ));
        }
    }
}

/// A process that has ended meanwhile has no descriptors, so that its author does not matter.
fn author(process: BorrowedFd<'_>) -> Author {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    if let Ok(namespace) = openat(process, "ns/user", flags, Mode::empty())
        && let Ok(stat) = fstat(&namespace)
        && Some(stat.st_ino) != own_namespace_inode(Kind::User)
    {
        return match namespace_owner_uid(namespace.as_fd()) {
            Ok(0) | Err(_) => Author::Namespace(stat.st_ino),
            Ok(uid) => Author::User(uid),
        };
    }
    let status = read_at(process, "status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let effective = status_field(&status, "Uid").and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok());
    Author::User(effective.unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_charged_before_there_are_many() {
        let own = rustix::fs::open("/proc/self", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let mut limits = DescriptorLimits::default();
        assert_eq!(limits.take(own.as_fd(), FREE), FREE);
        assert!(limits.spent.is_empty());
        assert_eq!(limits.take(own.as_fd(), 3), 3);
        assert_eq!(limits.spent.len(), 1);
    }

    #[test]
    fn an_author_has_a_limit_and_does_not_use_up_that_of_others() {
        let mut limits = DescriptorLimits::default();
        let [one, other] = [Author::User(1000), Author::Namespace(4026532000)];
        assert_eq!(limits.charge(one, OF_AUTHOR - 1), OF_AUTHOR - 1);
        assert_eq!(limits.charge(one, 500_000), 1);
        assert_eq!(limits.charge(one, 1), 0);
        assert_eq!(limits.charge(other, 7), 7);
        assert_eq!(limits.charge(Author::User(0), 500_000), 500_000);
        assert_eq!(limits.spent[&one], (OF_AUTHOR, 500_000));
    }
}
