//! A process's mounts, and which mount is at a path. `proc_pid_mountinfo(5)`, `mount_namespaces(7)`.
//!
//! The host may show the same directory at several places: each of them says what the files mean to the host.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use plumbing::Fault;
use plumbing::process::mount_tree::MountTree;
use plumbing::process::mountinfo::Mount;
use plumbing::process::target::Target;

use super::reading::each_line;

#[derive(Debug)]
pub(super) struct MountTable {
    pub(super) mounts: Vec<Mount>,
    /// Whether the whole table was read.
    pub(super) is_whole: bool,
    tree: MountTree,
    ids: HashSet<u64>,
    by_device: HashMap<(u32, u32), Vec<usize>>,
}

impl MountTable {
    pub(super) fn of(target: &Target) -> Result<MountTable, Fault> {
        let mut mounts = Vec::new();
        let is_whole = each_line(target, "mountinfo", |line| mounts.extend(Mount::parse(line)))?;
        Ok(MountTable::new(mounts, is_whole))
    }

    pub(super) fn new(mounts: Vec<Mount>, is_whole: bool) -> MountTable {
        let ids: HashSet<u64> = mounts.iter().map(|mount| mount.id).collect();
        let mut by_device = HashMap::<_, Vec<_>>::new();
        for (index, mount) in mounts.iter().enumerate() {
            by_device.entry(mount.device).or_default().push(index);
        }
        let tree = MountTree::of(&mounts);
        MountTable { mounts, is_whole, tree, ids, by_device }
    }

    /// Returns whether a mount with this id is in the table.
    pub(super) fn has(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    /// Returns the mounts that a process can reach: a mount under another one only if it may unmount the latter.
    pub(super) fn in_reach(&self, may_unmount: bool) -> impl Iterator<Item = &Mount> {
        let leads = move |index: usize| may_unmount || self.tree.leads_to(&self.mounts, index);
        self.mounts.iter().enumerate().filter(move |(index, _)| leads(*index)).map(|(_, mount)| mount)
    }

    /// Returns the mount in which a path ends.
    pub(super) fn at(&self, path: &Path) -> Option<&Mount> {
        self.tree.at(&self.mounts, path).map(|index| &self.mounts[index])
    }

    /// Returns the path at which these mounts show what a mount of another table shows.
    pub(super) fn path_of(&self, mount: &Mount) -> Option<PathBuf> {
        self.paths_of(mount).into_iter().next()
    }

    /// Returns all such paths, those of the mounts that show the least first.
    pub(super) fn paths_of(&self, mount: &Mount) -> Vec<PathBuf> {
        let Some(same) = self.by_device.get(&mount.device) else { return Vec::new() };
        let mut shows: Vec<&Mount> = same.iter().map(|index| &self.mounts[*index]).collect();
        shows.retain(|own| mount.root.starts_with(&own.root));
        shows.sort_by_key(|own| std::cmp::Reverse(own.root.as_os_str().len()));
        let path = |own: &Mount| {
            let below = mount.root.strip_prefix(&own.root).ok()?;
            Some(if below.as_os_str().is_empty() { own.point.clone() } else { own.point.join(below) })
        };
        shows.into_iter().filter_map(path).collect()
    }

    /// Returns the places where these mounts show a part of what a mount of another table shows: their paths, with the path
    /// of the part below the mount.
    pub(super) fn parts_of(&self, mount: &Mount) -> Vec<(PathBuf, PathBuf)> {
        let same = self.by_device.get(&mount.device).into_iter().flatten().map(|index| &self.mounts[*index]);
        let part = |own: &Mount| Some((own.point.clone(), own.root.strip_prefix(&mount.root).ok()?.to_owned()));
        same.filter_map(part).filter(|(_, below)| !below.as_os_str().is_empty()).collect()
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

    #[test]
    fn every_place_of_the_host_is_found() {
        let host = table(&[
            "1 0 254:0 / / rw - ext4 a rw",
            "2 1 254:0 /etc /srv/a rw - ext4 a rw",
            "3 1 254:0 /data/etc /opt rw - ext4 a rw",
        ]);
        let mount = |line: &str| Mount::parse(line.as_bytes()).unwrap();
        assert_eq!(host.paths_of(&mount("7 6 254:0 /etc /x rw - ext4 a rw")), [Path::new("/srv/a"), Path::new("/etc")]);
        let parts = host.parts_of(&mount("7 6 254:0 /data /x rw - ext4 a rw"));
        assert_eq!(parts, [(PathBuf::from("/opt"), PathBuf::from("etc"))]);
    }
}
