//! What a state file says of a container, and whether the kernel agrees: the process must be the one that the runtime
//! started. `pidfd_open(2)`, `cgroups(7)`.
//!
//! A state file may be left from a crash, or from another boot, and its pid another process's by now. The start time
//! tells, where the runtime noted it down; else the process must be in a cgroup that carries the container's id, and
//! that cgroup must be root's or the author's: a user with a delegated cgroup may call its children what he likes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::hierarchy::{Hierarchies, memberships};
use plumbing::kernel::nsfs::namespace_owner_uid;
use plumbing::namespace::Kind;
use plumbing::target::{Target, own_namespace_inode, status_field};
use rustix::fs::{Mode, OFlags, openat};

use super::reference::is_random;
use super::{Container, Runtime};

/// The controllers of a hierarchy, and a group in it.
type OwnGroup = (Vec<String>, PathBuf);

/// What somebody says.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) runtime: Runtime,
    /// What it is called; the first is the one to show.
    pub(crate) names: Vec<OsString>,
    pub(crate) id: Option<String>,
    pub(crate) pid: i32,
    /// In clock ticks since boot.
    pub(crate) start_time: Option<u64>,
    /// By what its cgroup is known, where that is not the id.
    pub(crate) group: Option<Group>,
    pub(crate) image: Option<String>,
    /// Kubernetes: `NAMESPACE/POD`.
    pub(crate) pod: Option<String>,
    /// Whose word all of this is.
    pub(crate) author: u32,
}

/// What the kernel does not confirm.
pub(crate) struct Refused {
    pub(crate) claim: Claim,
    /// Completes "the container …".
    pub(crate) why: String,
}

/// By what the cgroup of a container is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// It is this one, or one below.
    Path(PathBuf),
    /// One of these names is in its path.
    Component(String),
}

impl Claim {
    /// A claim with nothing but what every one has.
    pub(crate) fn new(runtime: Runtime, name: impl Into<OsString>, pid: i32, author: u32) -> Claim {
        let names = vec![name.into()];
        Claim { runtime, names, id: None, pid, start_time: None, group: None, image: None, pod: None, author }
    }

    /// The container, or what is wrong.
    pub(crate) fn verify(self, hierarchies: &Hierarchies) -> Result<Container, Box<Refused>> {
        let checked = self.check(hierarchies).and_then(|(target, group)| {
            // A container that we may not look into is one that we cannot tell.
            let inodes = Kind::ALL.map(|kind| target.namespace_inode(kind));
            match inodes.iter().find_map(|inode| inode.as_ref().err()) {
                Some(fault) => Err(format!("cannot be looked into: {fault}")),
                None => Ok((target, group, inodes.map(|inode| inode.ok().flatten()))),
            }
        });
        match checked {
            Ok((target, group, inodes)) => Ok(Container {
                target,
                group,
                inodes,
                runtime: self.runtime,
                names: self.names,
                id: self.id,
                image: self.image,
                pod: self.pod,
                author: self.author,
            }),
            Err(why) => Err(Box::new(Refused { claim: self, why })),
        }
    }

    fn check(&self, hierarchies: &Hierarchies) -> Result<(Target, Option<OwnGroup>), String> {
        let pid = self.pid;
        if pid <= 0 {
            return Err("does not run".to_owned());
        }
        let target = Target::of_pid(pid).map_err(|fault| match fault.errno() {
            Some(Errno::ESRCH | Errno::ENOENT) => format!("does not run: there is no process {pid}"),
            _ => format!("cannot be looked into: {fault}"),
        })?;
        let group = self.own_group(&target, hierarchies);
        match self.start_time {
            Some(told) if target.start_time().ok() != Some(told) => {
                return Err(format!("does not run: its pid {pid} has passed to another process"));
            }
            Some(_) => {}
            None if group.is_some() => {}
            None => return Err(format!("is not process {pid}, which is in no cgroup of it, whatever its state says")),
        }
        match self.author == 0 || belongs_to(&target, self.author) {
            true => Ok((target, group)),
            false => Err(format!("is not process {pid}, which is not of user {}, who says so", self.author)),
        }
    }

    fn own_group(&self, target: &Target, hierarchies: &Hierarchies) -> Option<OwnGroup> {
        let cgroup = target.read("cgroup").ok()?;
        memberships(cgroup.as_bytes()).find_map(|(controllers, path)| {
            let hierarchy = match controllers.first() {
                None => hierarchies.v2(),
                Some(controller) => hierarchies.v1(controller),
            };
            let group = self.group_in(&path)?;
            let owner = rustix::fs::fstat(hierarchy?.open(&group).ok()?.dir()?).ok()?.st_uid;
            (owner == 0 || owner == self.author).then_some((controllers, group))
        })
    }

    /// The part of a cgroup path that ends with the container's own group.
    fn group_in(&self, path: &Path) -> Option<PathBuf> {
        let is_own = |name: &str| match (&self.group, &self.id) {
            (Some(Group::Component(component)), _) => name == component,
            (_, Some(id)) => name.contains(id.as_str()),
            _ => false,
        };
        match (&self.group, &self.id) {
            (Some(Group::Path(group)), _) => {
                (group != Path::new("/") && path.starts_with(group)).then(|| group.clone())
            }
            (None, Some(id)) if !is_random(id) => None,
            // What lies in another container's group is that one's: it may make groups of any name there.
            _ => up_to(path, |name| is_own(name) || is_containers(name), is_own),
        }
    }
}

/// `path` up to the first component that is one of interest, if that one is the right one.
fn up_to(path: &Path, is_of_interest: impl Fn(&str) -> bool, is_right: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let mut part = PathBuf::new();
    for component in path.components() {
        part.push(component);
        let name = component.as_os_str().to_str().unwrap_or_default();
        if is_of_interest(name) {
            return is_right(name).then_some(part);
        }
    }
    None
}

/// Whether runtimes call the groups of containers so.
fn is_containers(name: &str) -> bool {
    let has_random = name.split(|c: char| !c.is_ascii_hexdigit()).any(is_random);
    // That of a monitor is named after the container too.
    let is_monitors = name.starts_with("libpod-conmon-") || name.starts_with("crio-conmon-");
    has_random && !is_monitors
        || name.starts_with("lxc.payload")
        || name.starts_with("machine-") && name.ends_with(".scope")
}

/// The outermost group of a container that a process is in, by the looks of its path.
fn container_group(path: &Path) -> Option<PathBuf> {
    up_to(path, is_containers, |_| true)
}

/// Whether a process is in a container, as far as its place in pid namespaces and cgroups tells, and we are not. What it
/// says of itself is the container's word then, even where it runs as root. The first process of a pid namespace next
/// to ours may be a container that says so of itself.
pub(crate) fn is_contained(target: &Target, may_be_first: bool) -> bool {
    let (Ok(status), Ok(cgroup)) = (target.read("status"), target.read("cgroup")) else { return true };
    let pids: Vec<_> = status_field(&status, "NSpid").unwrap_or_default().split_whitespace().collect();
    let is_in_another = match pids[..] {
        [_] => false,
        [_, inside] => !(may_be_first && inside == "1"),
        _ => true,
    };
    let own = std::fs::read("/proc/self/cgroup").unwrap_or_default();
    let is_ours = |hierarchy: &Vec<String>, group: &Path| {
        memberships(&own).any(|(controllers, path)| controllers == *hierarchy && path.starts_with(group))
    };
    let mut groups = memberships(cgroup.as_bytes()).filter_map(|(it, path)| Some((it, container_group(&path)?)));
    is_in_another || groups.any(|(hierarchy, group)| !is_ours(&hierarchy, &group))
}

/// Whether a process runs as this user, or in a user namespace that he made.
fn belongs_to(target: &Target, user: u32) -> bool {
    maker(target) == Some(user) || uids(target).is_some_and(|uids| uids.iter().all(|uid| *uid == user))
}

/// Whose word the words of a running process are: the maker's of its user namespace, where that is not ours, else the
/// user's who it runs as. A set-user-ID program has two, and was given its name by the wrong one: nobody's.
pub(crate) fn author(target: &Target) -> Option<u32> {
    if let Some(maker) = maker(target) {
        return Some(maker);
    }
    let uids = uids(target)?;
    uids.iter().all(|uid| *uid == uids[0]).then_some(uids[0])
}

/// Who made its user namespace, where that is not ours and we may look.
fn maker(target: &Target) -> Option<u32> {
    let namespace = target.namespace_inode(Kind::User).ok()??;
    if Some(namespace) == own_namespace_inode(Kind::User) {
        return None;
    }
    let file = openat(target.dir(), "ns/user", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    namespace_owner_uid(file).ok()
}

/// Real, effective, saved, file system's.
fn uids(target: &Target) -> Option<[u32; 4]> {
    let status = target.read("status").ok()?;
    let uids: Vec<u32> = status_field(&status, "Uid")?.split_whitespace().filter_map(|uid| uid.parse().ok()).collect();
    uids.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_container_in_a_cgroup_path_is_the_one() {
        let (own, other) = ("a".repeat(64), "b".repeat(64));
        let claim = Claim { id: Some(own.clone()), ..Claim::new(Runtime::Docker, "web", 1, 0) };
        let group = |path: &str| claim.group_in(Path::new(path)).map(|path| path.display().to_string());
        assert_eq!(group(&format!("/docker/{own}/init.scope")), Some(format!("/docker/{own}")));
        let scope = format!("/system.slice/docker-{own}.scope");
        assert_eq!(group(&scope), Some(scope.clone()));
        assert_eq!(group(&format!("/docker/{other}/docker/{own}")), None);
        assert_eq!(group("/docker"), None);
        assert_eq!(group(&format!("/lxc.payload.web/docker-{own}.scope")), None);
        assert_eq!(group(&format!("/machine.slice/machine-web.scope/docker-{own}.scope")), None);
        assert_eq!(container_group(Path::new("/user.slice/web")), None);
        assert_eq!(container_group(Path::new(&format!("/machine.slice/libpod-conmon-{own}.scope"))), None);
        assert_eq!(group(&format!("/docker/{}", &own[..63])), None);
    }

    #[test]
    fn a_chosen_name_in_a_path_proves_nothing() {
        let claim = Claim { id: Some("web".into()), ..Claim::new(Runtime::Containerd, "web", 1, 0) };
        assert_eq!(claim.group_in(Path::new("/user/web")), None);
        let claim = Claim { group: Some(Group::Path("/default/web".into())), ..claim };
        assert_eq!(claim.group_in(Path::new("/default/web/x")), Some("/default/web".into()));
        assert_eq!(claim.group_in(Path::new("/default/web2")), None);
        let root = Claim { group: Some(Group::Path("/".into())), ..claim };
        assert_eq!(root.group_in(Path::new("/x")), None);
    }
}
