//! The ids of the process outside: its user and group, the id maps, and the uid of root inside. `user_namespaces(7)`.
//!
//! The surprise: the kernel shows a map in the ids of the reader's user namespace; to a reader in the same namespace,
//! in those of the parent.

use plumbing::Fault;
use plumbing::process::namespace::Kind;
use plumbing::process::target::{Target, own_namespace_inode};
use serde::Serialize;

use super::proc_status::ProcStatus;

/// All ids, mapped to themselves: the map of the initial user namespace.
const ALL: [u64; 3] = [0, 0, 4_294_967_295];

/// The ids of a process, as a member of `isolation`.
#[derive(Debug, Serialize)]
pub(super) struct Ids {
    /// The effective uid, as we see it.
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    /// First id inside, first id outside, and count.
    pub(super) uid_map: Vec<[u64; 3]>,
    pub(super) gid_map: Vec<[u64; 3]>,
    /// The uid outside to which uid 0 inside is mapped; `None` if it is not mapped.
    pub(super) root_outside: Option<u64>,
    /// Whether the process is uid 0 inside, or can become it with the uids that it holds.
    pub(super) is_root: bool,
}

impl Ids {
    /// Reads the id maps, and takes the ids from the status of the process.
    pub(super) fn of(target: &Target, status: &ProcStatus) -> Result<Ids, Fault> {
        let (uid_map, gid_map) = (map(&target.read("uid_map")?), map(&target.read("gid_map")?));
        let root_outside = uid_map.iter().find(|[inside, ..]| *inside == 0).map(|[_, outside, _]| *outside);
        let is_ours = target.namespace_inode(Kind::User).is_ok_and(|inode| inode == own_namespace_inode(Kind::User));
        let root = if is_ours { Some(0) } else { root_outside };
        Ok(Ids {
            uid: status.uid.get(1).copied().unwrap_or_default(),
            gid: status.gid.get(1).copied().unwrap_or_default(),
            groups: status.groups.iter().copied().take(64).collect(),
            is_root: root.is_some_and(|root| u32::try_from(root).is_ok_and(|root| status.is(root))),
            root_outside,
            uid_map,
            gid_map,
        })
    }

    /// Returns whether every id is mapped to itself.
    pub(super) fn maps_all(&self) -> bool {
        self.uid_map == [ALL]
    }
}

fn map(text: &str) -> Vec<[u64; 3]> {
    let line = |line: &str| {
        let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect();
        numbers.try_into().ok()
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_lines_of_three_numbers() {
        assert_eq!(map("         0     100000      65536\n 65536 5 1\n"), [[0, 100_000, 65_536], [65_536, 5, 1]]);
        assert_eq!(map("         0          0 4294967295\n"), [ALL]);
        assert!(map("").is_empty());
    }
}
