//! Where the cgroup hierarchies are mounted, in which group of each we are, and joining a group from outside.
//! `cgroups(7)`.
//!
//! Nothing is at a fixed place: /proc/self/mountinfo lists the mounts, /proc/self/cgroup our groups, both as our cgroup
//! namespace sees them. The surprise: a mount may show only a part of its hierarchy (mountinfo's root field), so a
//! group's directory is its path *minus* that root, below the mount point. And a mount may be hidden under another one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, openat2, statat};

use crate::cgroup::group::Group;
use crate::cgroup::mount::Mount;
use crate::kernel::look;
use crate::pipeline::record::Cgroup;
use crate::process::mountinfo;
use crate::process::target::{self, Target};
use crate::{Fault, narrate};

/// Never out of the hierarchy: a path in a record comes from someone else.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// The controllers of cgroup v1 that limit something, and those that every kernel with limits has.
const LIMITING: [&str; 8] = ["blkio", "cpu", "cpuset", "devices", "hugetlb", "memory", "pids", "rdma"];
const MAIN: [&str; 3] = ["cpu", "memory", "pids"];

/// The hierarchies that we are in, mounted or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies(Vec<Hierarchy>);

/// One cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// 1 or 2.
    pub version: u8,
    /// v1: its controllers, and `name=…` for a named one. v2: none; each group's `cgroup.controllers` lists them.
    pub controllers: Vec<String>,
    own_path: PathBuf,
    mounts: Vec<Mount>,
    /// A mount point of a mount that another mount hides.
    hidden: Option<PathBuf>,
}

impl Hierarchies {
    /// Finds the hierarchies that this process is in.
    pub fn discover() -> Result<Hierarchies, Fault> {
        Ok(Hierarchies::of_tables(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?))
    }

    /// Finds those that the contents of the two files show.
    pub fn of_tables(cgroup: &[u8], mountinfo: &[u8]) -> Hierarchies {
        Hierarchies::parse(cgroup, mountinfo).without_hidden()
    }

    /// Finds those that another process is in, where they are mounted for us.
    pub fn of_process(process: &Target) -> Result<Hierarchies, Fault> {
        let text = format!("read(\"/proc/{}/cgroup\")", process.pid());
        let cgroup = look(format!("read the cgroups of process {}", process.pid()), text, || {
            target::read_at(process.dir(), "cgroup")
        })?;
        Ok(Hierarchies::of_tables(&cgroup, &read("/proc/self/mountinfo")?))
    }

    /// Parses the contents of the two files; pure.
    pub fn parse(cgroup: &[u8], mountinfo: &[u8]) -> Hierarchies {
        let mounts: Vec<Mount> = mountinfo::parse(mountinfo).into_iter().filter_map(Mount::of_cgroups).collect();
        let of_line = |(controllers, own_path): (Vec<String>, PathBuf)| {
            let version = if controllers.is_empty() { 2 } else { 1 };
            let shows = |mount: &&Mount| {
                mount.version == version && controllers.iter().all(|controller| mount.options.contains(controller))
            };
            let mut mounts: Vec<Mount> = mounts.iter().filter(shows).cloned().collect();
            // The mount that shows the most comes first, then the one made last: it is on top.
            mounts.reverse();
            mounts.sort_by_key(|mount| mount.root.components().count());
            Hierarchy { version, controllers, own_path, mounts, hidden: None }
        };
        Hierarchies(memberships(cgroup).map(of_line).collect())
    }

    /// Drops the mounts to which no path leads any more, because another one was mounted over them.
    fn without_hidden(mut self) -> Hierarchies {
        for hierarchy in &mut self.0 {
            let hidden = hierarchy.mounts.extract_if(.., |mount| !mount.is_on_top());
            hierarchy.hidden = hidden.map(|mount| mount.point).collect::<Vec<_>>().into_iter().next();
        }
        self
    }

    /// Replaces the own group of each hierarchy; drops the hierarchies for which `group` returns none.
    pub fn with_groups(self, mut group: impl FnMut(&Hierarchy) -> Option<PathBuf>) -> Hierarchies {
        let replace = |hierarchy: Hierarchy| Some(Hierarchy { own_path: group(&hierarchy)?, ..hierarchy });
        Hierarchies(self.0.into_iter().filter_map(replace).collect())
    }

    /// Returns all hierarchies, in the order of /proc/self/cgroup.
    pub fn iter(&self) -> impl Iterator<Item = &Hierarchy> {
        self.0.iter()
    }

    /// Returns the v2 hierarchy, if it is mounted.
    pub fn v2(&self) -> Option<&Hierarchy> {
        self.iter().find(|hierarchy| hierarchy.version == 2 && hierarchy.is_mounted())
    }

    /// Returns the v1 hierarchy of a controller, or of a name given as `name=…`; mounted or not.
    pub fn v1(&self, controller: &str) -> Option<&Hierarchy> {
        self.iter().find(|hierarchy| hierarchy.controllers.iter().any(|known| known == controller))
    }

    /// Returns the controllers whose limits cannot be read here, with the reason: their hierarchies are not mounted for us.
    pub fn unreadable(&self) -> BTreeMap<String, String> {
        let of_v1 = self.iter().flat_map(|hierarchy| &hierarchy.controllers).map(String::as_str);
        let limiting = of_v1.filter(|controller| LIMITING.contains(controller)).chain(MAIN);
        limiting
            .filter_map(|controller| Some((controller.to_owned(), self.of(controller).err()?.to_string())))
            .collect()
    }

    /// Returns the hierarchy in which limits of `controller` are set: its v1 hierarchy if it has one, otherwise v2.
    pub fn of(&self, controller: &str) -> Result<&Hierarchy, Fault> {
        let found = self.v1(controller).or(self.v2());
        found.filter(|hierarchy| hierarchy.is_mounted()).ok_or_else(|| {
            let what = if found.is_some() { "its cgroup v1 hierarchy" } else { "a hierarchy with it" };
            let why = match found.and_then(|hierarchy| hierarchy.hidden.as_ref()) {
                Some(point) => format!("is mounted on {}, but another mount hides it", point.display()),
                None => "is not mounted (/proc/self/mountinfo)".to_owned(),
            };
            Fault::new(format!("cannot use the {controller} controller: {what} {why}"))
        })
    }
}

impl Hierarchy {
    /// Returns whether the hierarchy is mounted.
    pub fn is_mounted(&self) -> bool {
        !self.mounts.is_empty()
    }

    /// Returns the group that we are in (or that the process is in), as our cgroup namespace sees it.
    pub fn own_path(&self) -> &Path {
        &self.own_path
    }

    /// Returns its name for texts: `memory`, `cpu,cpuacct`, `v2`.
    pub fn name(&self) -> String {
        if self.version == 2 { "v2".to_owned() } else { self.controllers.join(",") }
    }

    /// Returns the group at the mount point; `None` if the hierarchy is not mounted.
    pub fn mount_root(&self) -> Option<&Path> {
        self.mounts.first().map(|mount| mount.root.as_path())
    }

    /// Returns where the hierarchy is mounted, the mount that shows the most first.
    pub fn mount_points(&self) -> impl Iterator<Item = &Path> {
        self.mounts.iter().map(|mount| mount.point.as_path())
    }

    /// Returns whether our cgroup namespace begins in the root of the hierarchy, where the groups of the whole machine
    /// are; `None` if that cannot be seen. A path does not show it: to its members, the root of every namespace is `/`.
    pub fn is_whole(&self) -> Option<bool> {
        let mount = self.mounts.first()?;
        if mount.root != Path::new("/") {
            return mount.root.starts_with("/..").then_some(false);
        }
        mount.shows_root()
    }

    /// Opens a group as [`Hierarchy::open`] does; in a dry run the group may be missing: an earlier step would have
    /// made it.
    pub fn open_made(&self, path: &Path) -> Result<Group, Fault> {
        match (self.open(path), self.mounts.first()) {
            (Err(fault), Some(mount)) if narrate::is_dry_run() && fault.errno() == Some(Errno::ENOENT) => {
                let shown = below(path, &mount.root).map(|below| mount.point.join(below)).unwrap_or_default();
                Ok(Group::pretended(self.version, path, shown))
            }
            (opened, _) => opened,
        }
    }

    /// Returns the inode of the v1 group at `path` if the process, or thread, is in it. That the kernel names the path is not
    /// enough: the owner of the group above can have put another one there meanwhile. The group of v2 stays where it is as
    /// long as a process is in it.
    pub fn inode_with(&self, process: &Target, path: &Path) -> Result<Option<u64>, Fault> {
        let group = self.open(path)?;
        let (listed, pid) = (group.read("tasks")?, process.pid().to_string());
        listed.lines().any(|line| line == pid).then(|| group.inode()).transpose()
    }

    /// Opens the group at `path`, below the mount and nowhere else.
    pub fn open(&self, path: &Path) -> Result<Group, Fault> {
        let goal = format!("open the {} cgroup {}", self.name(), path.display());
        if !self.is_mounted() {
            let why = match &self.hidden {
                Some(point) => format!("its mount on {} is hidden by another mount", point.display()),
                None => "that hierarchy is not mounted here".to_owned(),
            };
            return Err(Fault::new(format!("cannot {goal}: {why}")));
        }
        for mount in &self.mounts {
            let Some(below) = below(path, &mount.root) else { continue };
            // It was on top a moment ago.
            let Some(point) = mount.open(&goal)? else { continue };
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let shown = if below.as_os_str().is_empty() { mount.point.clone() } else { mount.point.join(&below) };
            let from = if below.as_os_str().is_empty() { Path::new(".") } else { &below };
            let text = format!("openat2({:?}, {from:?}, RESOLVE_BENEATH)", mount.point);
            let dir = look(&goal, text, || openat2(&point, from, flags, Mode::empty(), BENEATH))?;
            return Ok(Group::opened(self.version, path, shown, dir));
        }
        let shown = |mount: &Mount| format!("{} shows {}", mount.point.display(), mount.root.display());
        let shown: Vec<_> = self.mounts.iter().map(shown).collect();
        let fault = Fault::new(format!("cannot {goal}: it is not below any mount: {}", shown.join("; ")));
        if self.mounts.iter().all(|mount| mount.root.starts_with("/..")) {
            Err(fault
                .with_remedy("that mount was made outside this cgroup namespace: mount the hierarchy again inside"))
        } else {
            Err(fault)
        }
    }
}

impl Cgroup {
    /// Moves this process into the group, in each of its hierarchies.
    pub fn join(&self, hierarchies: &Hierarchies) -> Result<(), Fault> {
        if !matches!((self.version, self.paths.is_empty()), (1, false) | (2, _)) {
            return Err(Fault::new(
                "cannot join the container's cgroup: the record's member \"cgroup\" names no group",
            ));
        }
        let missing = |what: &str| Fault::new(format!("cannot join the container's cgroup: no {what} is mounted here"));
        if self.version == 2 {
            let v2 = hierarchies.v2().ok_or_else(|| missing("cgroup v2 hierarchy"))?;
            v2.open_made(&self.path.to_path())?.known(self.inode)?.join()?;
        }
        let mut joined: Vec<&Hierarchy> = Vec::new();
        for (controller, path) in &self.paths {
            let hierarchy = hierarchies.v1(controller);
            let hierarchy = hierarchy.ok_or_else(|| missing(&format!("cgroup v1 hierarchy of {controller:?}")))?;
            if !joined.contains(&hierarchy) {
                hierarchy.open_made(&path.to_path())?.known(self.inodes.get(controller).copied())?.join()?;
                joined.push(hierarchy);
            }
        }
        Ok(())
    }
}

fn read(path: &str) -> Result<Vec<u8>, Fault> {
    look("find the cgroup hierarchies", format!("read({path:?})"), || target::read_at(CWD, path))
}

/// Parses the lines of /proc/PID/cgroup: the hierarchy's controllers (none: v2), and the group.
pub fn memberships(cgroup: &[u8]) -> impl Iterator<Item = (Vec<String>, PathBuf)> {
    cgroup.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.splitn(3, |byte| *byte == b':').skip(1);
        let controllers = String::from_utf8_lossy(fields.next()?);
        let path = PathBuf::from(OsString::from_vec(fields.next()?.to_vec()));
        let controllers = controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Some((controllers, path))
    })
}

/// Returns the file that shows whether a group is the root of a hierarchy, and whether the root is what has it.
fn root_file(version: u8) -> (&'static str, bool) {
    if version == 2 { ("cgroup.type", false) } else { ("release_agent", true) }
}

/// Returns whether this directory of a cgroup file system is the root of the hierarchy: on v1 only the root has the
/// file `release_agent`, on v2 all groups except the root have `cgroup.type`.
pub fn is_root_of_hierarchy(dir: impl AsFd, version: u8) -> Result<bool, rustix::io::Errno> {
    let (file, is_of_root) = root_file(version);
    match statat(dir, file, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(is_of_root),
        Err(rustix::io::Errno::NOENT) => Ok(!is_of_root),
        Err(errno) => Err(errno),
    }
}

/// Returns the path of `path` below a mount that shows `root`; `None` if it is not below, or leads upwards.
fn below(path: &Path, root: &Path) -> Option<PathBuf> {
    let below = path.strip_prefix(root).ok()?;
    below.components().all(|part| matches!(part, Component::Normal(_))).then(|| below.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:4 master:1 - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const MEMBER: &str = "9:name=systemd:/\n4:memory:/box/a:b\n3:pids:/\n2:cpu,cpuacct:/x\n0::/\n";

    fn parse(cgroup: &str, mountinfo: &str) -> Hierarchies {
        Hierarchies::parse(cgroup.as_bytes(), mountinfo.as_bytes())
    }

    #[test]
    fn a_hybrid_machine_has_its_controllers_in_v1() {
        let found = parse(MEMBER, HYBRID);
        assert_eq!(found.of("memory").unwrap().own_path(), Path::new("/box/a:b"));
        assert_eq!(found.of("cpuacct").unwrap().name(), "cpu,cpuacct");
        assert_eq!(found.v1("name=systemd").unwrap().mounts[0].point, Path::new("/sys/fs/cgroup/systemd"));
        assert!(found.of("pids").unwrap_err().to_string().contains("not mounted"));
        // Only cgroup.controllers shows whether v2 has the controller.
        assert_eq!(found.of("hugetlb").unwrap().version, 2);
    }

    #[test]
    fn a_pure_v2_machine_needs_no_fixed_place() {
        let found = parse("0::/user.slice/a b\n", "30 1 0:26 / /my\\040groups rw - cgroup2 none rw,nsdelegate");
        assert!(found.iter().all(|hierarchy| hierarchy.version == 2));
        let v2 = found.of("memory").unwrap();
        assert_eq!(
            (v2.own_path(), v2.mounts[0].point.as_path()),
            (Path::new("/user.slice/a b"), Path::new("/my groups"))
        );
    }

    #[test]
    fn the_mount_that_shows_more_of_the_hierarchy_is_chosen() {
        let found = parse("0::/\n", "1 1 0:9 /a/b /one rw - cgroup2 none rw\n2 1 0:9 / /two rw - cgroup2 none rw");
        assert_eq!(found.v2().unwrap().mounts[0].point, Path::new("/two"));
        assert!(parse("0::/\n", "").v2().is_none());
    }

    #[test]
    fn a_group_is_found_only_below_its_mount() {
        let of =
            |path: &str, root: &str| below(Path::new(path), Path::new(root)).map(|path| path.display().to_string());
        assert_eq!(of("/box/web", "/").as_deref(), Some("box/web"));
        assert_eq!(of("/docker/1/web", "/docker/1").as_deref(), Some("web"));
        assert_eq!(of("/docker/1", "/docker/1").as_deref(), Some(""));
        assert_eq!(of("/../web", "/..").as_deref(), Some("web"));
        for (path, root) in [("/../web", "/"), ("/box/../..", "/"), ("/", "/.."), ("/other", "/docker/1"), ("box", "/")]
        {
            assert_eq!(of(path, root), None, "{path} {root}");
        }
    }

    #[test]
    fn the_record_member_keeps_its_shape() {
        let line =
            r#"{"version":2,"path":"/box/web","inode":4294967300,"limits":{"memory.max":268435456,"pids.max":100}}"#;
        let cgroup: Cgroup = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&cgroup).unwrap(), line);
    }

    #[test]
    fn a_records_path_cannot_lead_out() {
        let found = Hierarchies::discover().unwrap();
        for hierarchy in found.iter().filter(|hierarchy| hierarchy.is_mounted()) {
            for path in ["/..", "/../../etc", "etc", "/no/such/group"] {
                assert!(hierarchy.open(Path::new(path)).is_err(), "{path}");
            }
        }
    }
}
