//! What a container may see of each cgroup hierarchy: its own group and those in it, or nothing. `cgroup_namespaces(7)`.
//!
//! A new mount shows the root of the cgroup namespace. The surprise: that may be the root of the hierarchy, where the groups of
//! the whole machine are, and no path says so: to its members, the root of every namespace is `/`.

use std::path::{Path, PathBuf};

use plumbing::Fault;
use plumbing::hierarchy::{Hierarchies, Hierarchy};
use plumbing::namespace::{Kind, KindSet};
use plumbing::target::{Target, is_in_first_namespace};

/// What is shown of a hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum View {
    /// The root of the cgroup namespace, by a new mount, if that is not the root of the hierarchy.
    Namespace,
    /// The group at this path: it is not the root of our namespace.
    Group(PathBuf),
    /// Nothing: there is no group of its own.
    Nothing,
}

/// The view of each hierarchy, by controllers as in /proc/self/cgroup; for a container whose namespaces `joined` are to be
/// entered, of its init `target` instead of us.
pub(crate) fn views(target: Option<&Target>, joined: KindSet) -> Result<Vec<(String, View)>, Fault> {
    let hierarchies = target.map_or_else(Hierarchies::discover, Hierarchies::of_process)?;
    let view = |hierarchy: &Hierarchy| match (target, joined.contains(Kind::Cgroup)) {
        (None, _) => own(hierarchy),
        (Some(_), false) => of_our_namespace(hierarchy),
        (Some(_), true) => of_theirs(hierarchy),
    };
    Ok(hierarchies.iter().map(|hierarchy| (hierarchy.controllers.join(","), view(hierarchy))).collect())
}

fn own(hierarchy: &Hierarchy) -> View {
    if !is_proper(hierarchy.own_path()) {
        return of_our_namespace(hierarchy);
    }
    let opened = hierarchy.open(hierarchy.own_path());
    opened.map_or(View::Nothing, |group| View::Group(group.shown().to_owned()))
}

/// In the first namespace nothing is tried: a new mount of cgroup v2 there would set the options of all mounts of it.
fn of_our_namespace(hierarchy: &Hierarchy) -> View {
    let is_first = is_in_first_namespace(Kind::Cgroup) == Some(true);
    if is_first || hierarchy.is_whole() == Some(true) { View::Nothing } else { View::Namespace }
}

/// Where the container's namespace begins shows once we are in it. It is known before only where the init is in the root of
/// the hierarchy: the namespace cannot begin below its members.
fn of_theirs(hierarchy: &Hierarchy) -> View {
    let is_root = hierarchy.own_path() == Path::new("/") && hierarchy.is_whole() == Some(true);
    if is_root { View::Nothing } else { View::Namespace }
}

/// Neither the root of the namespace nor outside of it.
fn is_proper(path: &Path) -> bool {
    path != Path::new("/") && !path.starts_with("/..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_group_is_shown_where_it_is_one() {
        assert!(is_proper(Path::new("/user.slice/x")) && is_proper(Path::new("/..x")));
        assert!(!is_proper(Path::new("/")) && !is_proper(Path::new("/../x")) && !is_proper(Path::new("/..")));
    }
}
