//! Leaving the groups that were made for one command: a guardian that such a command started is not part of that
//! command. `cgroups(7)`.
//!
//! In a chain, the guardian of a later stage would count in the group that an earlier stage made: against its limits,
//! as a victim when its memory runs out, and as one more process that the end of the group has to wait for. So the
//! guardian moves to the group in which the maker of that group was, which the group's mark records. The surprise: that
//! may be another group of this kind.

use std::path::{Path, PathBuf};

use rustix::fs::CWD;

use crate::cgroup::hierarchy::{Hierarchies, Hierarchy, memberships};
use crate::cgroup::mark;
use crate::process::target::read_at;

/// The limit for how many such groups may be nested; more than a chain has stages.
const NESTED: usize = 16;

/// Leaves them in all hierarchies, as far as possible: a guardian without the permission stays, and counts.
pub fn leave() {
    if !is_in_one() {
        return;
    }
    let Ok(hierarchies) = Hierarchies::discover() else { return };
    for hierarchy in hierarchies.iter().filter(|hierarchy| hierarchy.is_mounted()) {
        if let Some(group) = destination(hierarchy).and_then(|path| hierarchy.open(&path).ok()) {
            // Not permitted: the same result as without a mark.
            group.join().ok();
        }
    }
}

/// Returns whether the name of our group is that of such a group: usually not, and then nothing has to be looked up.
fn is_in_one() -> bool {
    let Ok(cgroup) = read_at(CWD, "/proc/self/cgroup") else { return false };
    memberships(&cgroup).any(|(_, path)| path.file_name().is_some_and(mark::is_name))
}

/// Returns the group to move to; `None` if we can stay.
fn destination(hierarchy: &Hierarchy) -> Option<PathBuf> {
    let from = |path: &Path| {
        path.file_name().filter(|name| mark::is_name(name))?;
        hierarchy.open(path).ok()?.mark().map(|mark| mark.from)
    };
    outermost(hierarchy.own_path(), from)
}

/// Follows the marks from `own` outwards.
fn outermost(own: &Path, from: impl Fn(&Path) -> Option<PathBuf>) -> Option<PathBuf> {
    let first = from(own)?;
    let next = |path: &PathBuf| from(path);
    std::iter::successors(Some(first), next).take(NESTED).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_followed_to_the_first_group_without_one() {
        let from = |path: &Path| match path.to_str() {
            Some("/a/one/two") => Some(PathBuf::from("/a/one")),
            Some("/a/one") => Some(PathBuf::from("/a")),
            _ => None,
        };
        assert_eq!(outermost(Path::new("/a/one/two"), from), Some("/a".into()));
        assert_eq!(outermost(Path::new("/a"), from), None);
        // Following a forged circle of marks ends.
        assert!(outermost(Path::new("/x"), |path| Some(path.to_owned())).is_some());
    }
}
