//! A process's mounts, and which mount is at a path. `proc_pid_mountinfo(5)`, `mount_namespaces(7)`.
//!
//! Paths are compared as text and never followed: the order of the mounts decides in which mount a path ends. The
//! surprise: the mount of a later line may be under that of an earlier one, so the order is that of the tree, by
//! parent.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use plumbing::Fault;
use plumbing::process::mountinfo::Mount;
use plumbing::process::target::Target;

use super::reading::each_line;

/// The mounts of a process.
#[derive(Debug)]
pub(super) struct MountTable {
    pub(super) mounts: Vec<Mount>,
    /// Whether the whole table was read.
    pub(super) is_whole: bool,
    /// The mounts by parent and mount point; those whose parent we may not see have the parent `None`.
    children: HashMap<Option<u64>, HashMap<PathBuf, usize>>,
    ids: HashSet<u64>,
    by_device: HashMap<(u32, u32), Vec<usize>>,
}

impl MountTable {
    /// Reads the mounts of a process, as far as the limit allows.
    pub(super) fn of(target: &Target) -> Result<MountTable, Fault> {
        let mut mounts = Vec::new();
        let is_whole = each_line(target, "mountinfo", |line| mounts.extend(Mount::parse(line)))?;
        Ok(MountTable::new(mounts, is_whole))
    }

    /// Builds the table from its mounts.
    pub(super) fn new(mounts: Vec<Mount>, is_whole: bool) -> MountTable {
        let ids: HashSet<u64> = mounts.iter().map(|mount| mount.id).collect();
        let (mut children, mut by_device) = (HashMap::<_, HashMap<_, _>>::new(), HashMap::<_, Vec<_>>::new());
        for (index, mount) in mounts.iter().enumerate() {
            let parent = Some(mount.parent).filter(|parent| *parent != mount.id && ids.contains(parent));
            children.entry(parent).or_default().insert(mount.point.clone(), index);
            by_device.entry(mount.device).or_default().push(index);
        }
        MountTable { mounts, is_whole, children, ids, by_device }
    }

    /// Returns whether a mount with this id is in the table.
    pub(super) fn has(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    /// Returns the mount in which a path ends.
    pub(super) fn at(&self, path: &Path) -> Option<&Mount> {
        let mut current: Option<&Mount> = None;
        let mut way: Vec<_> = path.ancestors().collect();
        while let Some(step) = way.pop() {
            let on_top = |below: Option<&Mount>| {
                let index = self.children.get(&below.map(|mount| mount.id))?.get(step)?;
                Some(&self.mounts[*index])
            };
            // Several mounts may be on top of each other at the same point.
            while let Some(mount) = on_top(current) {
                current = Some(mount);
            }
        }
        current
    }

    /// Returns the path at which these mounts show what a mount of another table shows.
    pub(super) fn path_of(&self, mount: &Mount) -> Option<PathBuf> {
        let same = self.by_device.get(&mount.device)?.iter().map(|index| &self.mounts[*index]);
        let shows = same.filter(|own| mount.root.starts_with(&own.root));
        let own = shows.min_by_key(|own| std::cmp::Reverse(own.root.as_os_str().len()))?;
        let below = mount.root.strip_prefix(&own.root).ok()?;
        Some(if below.as_os_str().is_empty() { own.point.clone() } else { own.point.join(below) })
    }

    /// Returns the peer groups of the mounts in this table.
    pub(super) fn peer_groups(&self) -> HashSet<u64> {
        self.mounts.iter().filter_map(|mount| mount.peer_group).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lines: &[&str]) -> MountTable {
        MountTable::new(lines.iter().map(|line| Mount::parse(line.as_bytes()).unwrap()).collect(), true)
    }

    #[test]
    fn a_path_ends_in_the_mount_on_top() {
        let table = table(&[
            "92 91 0:40 / /proc rw - proc proc rw",
            "91 68 254:0 /srv / rw - ext4 /dev/vda rw",
            "117 92 0:40 /sys /proc/sys ro - proc proc rw",
            "118 117 0:50 / /proc/sys rw - tmpfs x rw",
            "119 91 0:51 / /sysfs rw - sysfs x rw",
        ]);
        for (path, id) in
            [("/proc/kcore", 92), ("/proc/sys", 118), ("/proc/sys/kernel/core_pattern", 118), ("/proc2", 91), ("/", 91)]
        {
            assert_eq!(table.at(Path::new(path)).unwrap().id, id, "{path}");
        }
        let chrooted = self::table(&["92 91 0:40 / /proc rw - proc proc rw"]);
        assert_eq!(chrooted.at(Path::new("/proc/sys")).unwrap().id, 92);
        assert!(chrooted.at(Path::new("/etc")).is_none());
    }

    #[test]
    fn a_bind_mount_is_found_on_the_host() {
        let host = table(&["1 0 254:0 / / rw - ext4 a rw", "2 1 0:9 / /run rw - tmpfs b rw"]);
        let of = |line: &str| host.path_of(&Mount::parse(line.as_bytes()).unwrap());
        assert_eq!(of("7 6 254:0 /srv/x /data rw - ext4 a rw"), Some(PathBuf::from("/srv/x")));
        assert_eq!(of("7 6 0:9 /docker.sock /s rw - tmpfs b rw"), Some(PathBuf::from("/run/docker.sock")));
        assert_eq!(of("7 6 254:0 / /host rw - ext4 a rw"), Some(PathBuf::from("/")));
        assert_eq!(of("7 6 0:77 / /tmp rw - tmpfs b rw"), None);
    }
}
