//! Which mount is on top at a path, and which mounts are covered by others. `proc_pid_mountinfo(5)`, `mount_namespaces(7)`.
//!
//! Paths are compared as text and never followed. The surprise: a mount that another one covers is still in the table, with
//! its point as if it were reachable there, and a later line may be under an earlier one: the order is that of the tree, by
//! parent.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::mountinfo::Mount;

/// The mounts of a table by parent and mount point, as places in the table; those whose parent is not in the table have
/// the parent `None`.
#[derive(Debug)]
pub struct MountTree(HashMap<Option<u64>, HashMap<PathBuf, usize>>);

impl MountTree {
    /// Builds the tree of a table.
    pub fn of(mounts: &[Mount]) -> MountTree {
        let ids: HashSet<u64> = mounts.iter().map(|mount| mount.id).collect();
        let mut children = HashMap::<_, HashMap<_, _>>::new();
        for (index, mount) in mounts.iter().enumerate() {
            let parent = Some(mount.parent).filter(|parent| *parent != mount.id && ids.contains(parent));
            children.entry(parent).or_default().insert(mount.point.clone(), index);
        }
        MountTree(children)
    }

    /// Returns the place in the table of the mount in which a path ends.
    pub fn at(&self, mounts: &[Mount], path: &Path) -> Option<usize> {
        let mut current: Option<usize> = None;
        let mut way: Vec<_> = path.ancestors().collect();
        while let Some(step) = way.pop() {
            let on_top = |below: Option<usize>| self.0.get(&below.map(|index| mounts[index].id))?.get(step).copied();
            // Several mounts may be on top of each other at the same point.
            while let Some(index) = on_top(current) {
                current = Some(index);
            }
        }
        current
    }

    /// Returns whether the path of a mount leads to it: whether no other mount covers it, or a directory above it.
    pub fn leads_to(&self, mounts: &[Mount], index: usize) -> bool {
        self.at(mounts, &mounts[index].point) == Some(index)
    }
}

/// Returns the mounts to which their own paths lead, in the order of the table.
pub fn reachable(mounts: Vec<Mount>) -> Vec<Mount> {
    let tree = MountTree::of(&mounts);
    let leads: Vec<bool> = (0..mounts.len()).map(|index| tree.leads_to(&mounts, index)).collect();
    mounts.into_iter().zip(leads).filter_map(|(mount, leads)| leads.then_some(mount)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::mountinfo::parse;

    fn ids(table: &str) -> Vec<u64> {
        reachable(parse(table.as_bytes())).iter().map(|mount| mount.id).collect()
    }

    #[test]
    fn a_covered_mount_is_not_reachable() {
        let root = "1 0 254:0 / / rw - ext4 a rw\n";
        for (mounts, left) in [
            ("2 1 0:9 / /a rw - tmpfs b rw\n", &[1, 2][..]),
            ("2 1 0:9 / /a rw - tmpfs b rw\n3 2 0:10 / /a rw - tmpfs c rw\n", &[1, 3]),
            ("2 1 0:9 / /a/b rw - tmpfs b rw\n3 1 0:10 / /a rw - tmpfs c rw\n", &[1, 3]),
            (
                "2 1 0:9 / /a/b rw - tmpfs b rw\n3 1 0:10 / /a rw - tmpfs c rw\n4 3 0:11 / /a/b rw - tmpfs d rw\n",
                &[1, 3, 4],
            ),
            ("2 1 0:9 / /ab rw - tmpfs b rw\n3 1 0:10 / /a rw - tmpfs c rw\n", &[1, 2, 3]),
            ("5 1 0:9 / /a\\040b rw - tmpfs b rw\n3 5 0:9 /x /a\\040b rw - tmpfs b rw\n", &[1, 3]),
        ] {
            assert_eq!(ids(&format!("{root}{mounts}")), left, "{mounts}");
        }
        // In a chroot, the mount at / may be missing from the table.
        assert_eq!(ids("92 91 0:40 / /proc rw - proc proc rw\n93 92 0:41 / /proc/x rw - tmpfs t rw\n"), [92, 93]);
    }
}
