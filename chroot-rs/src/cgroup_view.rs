//! The part of each cgroup hierarchy that a container can see: its own group and the groups below, or nothing.
//! `cgroup_namespaces(7)`.
//!
//! A new mount shows the root of the cgroup namespace. The surprise: this may be the root of the hierarchy, which shows
//! the groups of the whole machine, and no path reveals it: to its members, the root of every namespace is `/`.

use std::path::{Path, PathBuf};

use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};
use plumbing::pipeline::record::Cgroup;
use plumbing::process::namespace::{Kind, KindSet};
use plumbing::process::target::{Target, is_in_first_namespace};

/// The part of a hierarchy that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum View {
    /// A new mount, which shows the root of the cgroup namespace; used if this is not the root of the hierarchy.
    Namespace,
    /// The group at this path, which is not the root of our namespace.
    Group(PathBuf),
    /// Nothing: the container has no group of its own.
    Nothing,
}

/// Returns the view of each hierarchy, by controllers as in /proc/self/cgroup. For a container whose namespaces `joined`
/// will be entered, `hierarchies` are those of its init `target`, and `cgroup` is the group that its record names.
pub(crate) fn views(
    hierarchies: &Hierarchies,
    target: Option<&Target>,
    joined: KindSet,
    cgroup: Option<&Cgroup>,
) -> Vec<(String, View)> {
    let is_first = is_in_first_namespace(Kind::Cgroup) == Some(true);
    let view = |hierarchy: &Hierarchy| match (target, joined.contains(Kind::Cgroup)) {
        (None, _) => own(hierarchy, is_first),
        (Some(_), false) => of_our_namespace(hierarchy, is_first),
        (Some(_), true) => of_theirs(hierarchy, cgroup),
    };
    hierarchies.iter().map(|hierarchy| (hierarchy.controllers.join(","), view(hierarchy))).collect()
}

fn own(hierarchy: &Hierarchy, is_first: bool) -> View {
    if !is_proper(hierarchy.own_path()) {
        return of_our_namespace(hierarchy, is_first);
    }
    let opened = hierarchy.open(hierarchy.own_path());
    opened.map_or(View::Nothing, |group| View::Group(group.shown().to_owned()))
}

/// Returns the view of our own namespace, which may be the machine's first. There nothing is mounted: a new mount of cgroup v2 there would change
/// the options of all its mounts.
fn of_our_namespace(hierarchy: &Hierarchy, is_first: bool) -> View {
    if is_first || hierarchy.is_whole() == Some(true) { View::Nothing } else { View::Namespace }
}

/// Returns the view of the container's namespace, whose root is known only after entering it. It is known before only if
/// the init is in the root of the hierarchy, and no stage made a group there: the stage that makes a group moves the
/// namespace to it, but not the init.
fn of_theirs(hierarchy: &Hierarchy, cgroup: Option<&Cgroup>) -> View {
    let is_root = hierarchy.own_path() == Path::new("/") && hierarchy.is_whole() == Some(true);
    let has_group = cgroup.is_some_and(|cgroup| names(cgroup, hierarchy));
    if is_root && !has_group { View::Nothing } else { View::Namespace }
}

/// Reports whether a record's group is in this hierarchy.
fn names(cgroup: &Cgroup, hierarchy: &Hierarchy) -> bool {
    let is_v2 = cgroup.version == 2 && hierarchy.version == 2;
    is_v2 || hierarchy.controllers.iter().any(|controller| cgroup.paths.contains_key(controller))
}

/// Reports whether a group is neither the root of the namespace nor outside of it.
fn is_proper(path: &Path) -> bool {
    path != Path::new("/") && !path.starts_with("/..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_shown_if_it_is_below_the_root_of_the_namespace() {
        assert!(is_proper(Path::new("/user.slice/x")) && is_proper(Path::new("/..x")));
        assert!(!is_proper(Path::new("/")) && !is_proper(Path::new("/../x")) && !is_proper(Path::new("/..")));
    }
}
