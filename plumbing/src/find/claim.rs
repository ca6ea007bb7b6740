//! Claims of state files about containers, and their verification by the kernel: the process must be the one that the
//! runtime started. `pidfd_open(2)`, `cgroups(7)`.
//!
//! A state file may be left from a crash or an earlier boot, and its pid may have been reused. If the runtime recorded
//! the start time, that must match. Otherwise the process must be in a cgroup whose name contains the container's id,
//! and that cgroup must be owned by root or the author: a user with a delegated cgroup can choose the names of its
//! children.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::cgroup::hierarchy::{Hierarchies, memberships};
use crate::kernel::nsfs::namespace_owner_uid;
use crate::process::kernel_text;
use crate::process::namespace::Kind;
use crate::process::target::{Target, own_namespace_inode, status_field};
use nix::errno::Errno;
use rustix::fs::{Mode, OFlags, openat};

use super::reference::is_random;
use super::{Container, Runtime};

/// The controllers of a hierarchy, and a group in it.
type OwnGroup = (Vec<String>, PathBuf);

/// An unverified statement about a container.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) runtime: Runtime,
    /// The names of the container; the first is the one to show.
    pub(crate) names: Vec<OsString>,
    pub(crate) id: Option<String>,
    pub(crate) pid: i32,
    /// The start time of the process in clock ticks since boot.
    pub(crate) start_time: Option<u64>,
    /// The mark that identifies its cgroup, if that is not the id.
    pub(crate) group: Option<Group>,
    pub(crate) image: Option<String>,
    /// The pod in Kubernetes: `NAMESPACE/POD`.
    pub(crate) pod: Option<String>,
    /// The user who makes the claim.
    pub(crate) author: u32,
}

/// A claim that the kernel does not confirm.
pub(crate) struct Refused {
    pub(crate) claim: Claim,
    /// The reason, which completes "the container …".
    pub(crate) why: String,
}

/// A mark that identifies the cgroup of a container.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// The cgroup is this group, or one below it.
    Path(PathBuf),
    /// This name is a component of the cgroup's path.
    Component(String),
}

impl Claim {
    /// Returns a claim with only the fields that every claim has.
    pub(crate) fn new(runtime: Runtime, name: impl Into<OsString>, pid: i32, author: u32) -> Claim {
        let names = vec![name.into()];
        Claim { runtime, names, id: None, pid, start_time: None, group: None, image: None, pod: None, author }
    }

    /// Returns the container, or the reason why the claim is refused.
    pub(crate) fn verify(self, hierarchies: &Hierarchies) -> Result<Container, Box<Refused>> {
        let checked = self.check(hierarchies).and_then(|(target, group)| {
            // A container that we may not examine cannot be identified.
            let inodes = Kind::ALL.map(|kind| target.namespace_inode(kind));
            match inodes.iter().find_map(|inode| inode.as_ref().err()) {
                Some(fault) => Err(format!("cannot be examined: {fault}")),
                None => Ok((target, group, inodes.map(|inode| inode.ok().flatten()))),
            }
        });
        match checked {
            Ok((target, group, inodes)) => Ok(Container {
                target,
                group,
                inodes,
                population: Rc::default(),
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
            return Err("is not running".to_owned());
        }
        let target = Target::of_pid(pid).map_err(|fault| match fault.errno() {
            Some(Errno::ESRCH | Errno::ENOENT) => format!("is not running: there is no process {pid}"),
            _ => format!("cannot be examined: {fault}"),
        })?;
        let group = self.own_group(&target, hierarchies);
        match self.start_time {
            Some(start_time) if target.start_time().ok() != Some(start_time) => {
                return Err(format!("is not running: its pid {pid} was reused"));
            }
            Some(_) => {}
            None if group.is_some() => {}
            None => {
                return Err(format!(
                    "cannot be process {pid}, which its state names: that process is not in a cgroup of this container"
                ));
            }
        }
        let author = self.author;
        if author != 0 && belongs_to(&target, author) && is_in_anothers(&target, author) {
            return Err(format!(
                "cannot be process {pid}, which user {author} names: that process is not the first of its pid namespace"
            ));
        }
        if author == 0 && self.runtime == Runtime::Systemd && !is_roots(&target) {
            let whose = maker(&target).map_or_else(String::new, |user| format!(" of user {user}"));
            return Err(format!(
                "has only processes in user namespaces that root did not make; its first process, {pid}, is in one{whose}; \
                 to enter that process, use --target {pid}"
            ));
        }
        if author == 0 || belongs_to(&target, author) {
            return Ok((target, group));
        }
        Err(format!(
            "cannot be process {pid}, which user {author} names: that process does not belong to user {author}"
        ))
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

    /// Returns the part of a cgroup path that ends with the container's own group.
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
            // A group inside another container's group belongs to that container, which can choose any name for it.
            _ => up_to(path, |name| is_own(name) || is_containers(name), is_own),
        }
    }
}

/// Returns `path` up to the first component of interest, if that component is the right one.
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

/// Reports whether a name has a form that runtimes give to the groups of containers.
fn is_containers(name: &str) -> bool {
    let has_random = name.split(|c: char| !c.is_ascii_hexdigit()).any(is_random);
    // The group of a monitor is named after the container, too.
    let is_monitors = name.starts_with("libpod-conmon-") || name.starts_with("crio-conmon-");
    has_random && !is_monitors
        || name.starts_with("lxc.payload")
        || name.starts_with("machine-") && name.ends_with(".scope")
}

/// Returns the outermost container's group in the path of a process's group, judged by the names.
fn container_group(path: &Path) -> Option<PathBuf> {
    up_to(path, is_containers, |_| true)
}

/// Reports whether a process is in a container and we are not, judged by its pid namespaces and cgroups. If so, what it
/// says is the container's statement, even if the process runs as root. With `may_be_first`, the first process of a
/// child of our pid namespace does not count as contained, because it may be a container that describes itself.
pub(crate) fn is_contained(target: &Target, may_be_first: bool) -> bool {
    let (Ok(status), Ok(cgroup)) = (target.read("status"), target.read("cgroup")) else { return true };
    let pids: Vec<_> = status_field(&status, "NSpid").unwrap_or_default().split_whitespace().collect();
    let is_in_another = match pids[..] {
        [_] => false,
        [_, inside] => !(may_be_first && inside == "1"),
        _ => true,
    };
    let own = kernel_text::bytes("/proc/self/cgroup").unwrap_or_default();
    let is_ours = |hierarchy: &Vec<String>, group: &Path| {
        memberships(&own).any(|(controllers, path)| controllers == *hierarchy && path.starts_with(group))
    };
    let mut groups = memberships(cgroup.as_bytes()).filter_map(|(it, path)| Some((it, container_group(&path)?)));
    is_in_another || groups.any(|(hierarchy, group)| !is_ours(&hierarchy, &group))
}

/// Reports whether a process runs as this user, or in a user namespace that this user made.
fn belongs_to(target: &Target, user: u32) -> bool {
    maker(target) == Some(user) || uids(target).is_some_and(|uids| uids.iter().all(|uid| *uid == user))
}

/// Reports whether a process in our user's view is in a container that `user` did not make: it is not the first process
/// of its pid namespace, and that is not ours.
fn is_in_anothers(target: &Target, user: u32) -> bool {
    let Ok(status) = target.read("status") else { return true };
    let mut pids = status_field(&status, "NSpid").unwrap_or_default().split_whitespace();
    let is_first = pids.next_back() == Some("1");
    let is_ours = target.namespace_inode(Kind::Pid).is_ok_and(|inode| inode == own_namespace_inode(Kind::Pid));
    !is_first && !is_ours && maker(target) != Some(user)
}

/// Reports whether a process is in our user namespace, or in one that root made: then no user controls its mounts.
pub(crate) fn is_roots(target: &Target) -> bool {
    match target.namespace_inode(Kind::User) {
        Ok(inode) if inode == own_namespace_inode(Kind::User) => true,
        Ok(_) => maker(target) == Some(0),
        Err(_) => false,
    }
}

/// Returns the user who counts as the author of a running process's statements: the owner of its user namespace if that
/// is not ours, otherwise the user it runs as. A set-user-ID program has two users, and its command line comes from the
/// less privileged one, so it has no author.
pub(crate) fn author(target: &Target) -> Option<u32> {
    if let Some(maker) = maker(target) {
        return Some(maker);
    }
    let uids = uids(target)?;
    uids.iter().all(|uid| *uid == uids[0]).then_some(uids[0])
}

/// Returns the owner of its user namespace, if that is not ours and we may examine it.
fn maker(target: &Target) -> Option<u32> {
    let namespace = target.namespace_inode(Kind::User).ok()??;
    if Some(namespace) == own_namespace_inode(Kind::User) {
        return None;
    }
    let file = openat(target.dir(), "ns/user", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    namespace_owner_uid(file).ok()
}

/// Returns the real, effective, saved and file system user.
fn uids(target: &Target) -> Option<[u32; 4]> {
    let status = target.read("status").ok()?;
    let uids: Vec<u32> = status_field(&status, "Uid")?.split_whitespace().filter_map(|uid| uid.parse().ok()).collect();
    uids.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_container_in_a_cgroup_path_counts() {
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
