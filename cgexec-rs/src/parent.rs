//! The group below which a new one can have limits. `cgroups(7)`, "no internal processes".
//!
//! v1: our own group. v2: a group can set limits on its children only after it has handed down the controllers
//! (`cgroup.subtree_control`), and may do that only without processes of its own; just the root may have both. So the
//! new group mostly becomes a sibling of ours. The surprise: cpu and pids *can* be handed down by a group with
//! processes; it silently turns "threaded" then, and no process can be moved into its children any more.

use std::path::Path;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::group::Group;
use plumbing::hierarchy::Hierarchy;

/// Where to make the group, and what to hand down first.
#[derive(Debug)]
pub(crate) struct Parent {
    pub(crate) group: Group,
    /// For `cgroup.subtree_control`; never taken back, since others may rely on it by then.
    pub(crate) hand_down: Vec<&'static str>,
    /// Our own group and those above it that were passed over: who goes to the new one leaves them.
    pub(crate) left: Vec<Group>,
}

/// Finds the nearest one, from `start` upwards.
pub(crate) fn find(hierarchy: &Hierarchy, start: &Path, controllers: &[&'static str]) -> Result<Parent, Fault> {
    if hierarchy.version == 1 {
        return Ok(Parent { group: hierarchy.open(start)?, hand_down: Vec::new(), left: Vec::new() });
    }
    let (mut reasons, mut left) = (Vec::new(), Vec::new());
    for path in start.ancestors().take_while(|path| hierarchy.mount_root().is_some_and(|root| path.starts_with(root))) {
        let group = hierarchy.open(path)?;
        match fitness(&Facts::read(&group)?, controllers) {
            Ok(hand_down) => return Ok(Parent { group, hand_down, left }),
            Err(reason) => {
                reasons.push(format!("{} {reason}", group.shown().display()));
                left.push(group);
            }
        }
    }
    if reasons.is_empty() {
        // Says why our own group cannot be reached.
        return Ok(Parent { group: hierarchy.open(start)?, hand_down: Vec::new(), left: Vec::new() });
    }
    Err(Fault::new(format!(
        "cannot limit by the {} controller: no cgroup of ours can hand it down: {}",
        controllers.join(" and "),
        reasons.join("; ")
    )))
}

/// What counts of a v2 group.
#[derive(Debug, Default)]
struct Facts {
    is_root: bool,
    /// `domain`, `threaded`…
    kind: String,
    processes: usize,
    offered: Vec<String>,
    handed_down: Vec<String>,
}

impl Facts {
    fn read(group: &Group) -> Result<Facts, Fault> {
        let words = |file| group.read(file).map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let (is_root, kind) = match group.read("cgroup.type") {
            Ok(kind) => (false, kind),
            // Only the root has no type.
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => (true, "domain".to_owned()),
            Err(fault) => return Err(fault),
        };
        let processes = match group.read("cgroup.procs") {
            Ok(pids) => pids.lines().count(),
            Err(fault) if fault.errno() == Some(Errno::EOPNOTSUPP) => 0,
            Err(fault) => return Err(fault),
        };
        let (offered, handed_down) = (words("cgroup.controllers")?, words("cgroup.subtree_control")?);
        Ok(Facts { is_root, kind, processes, offered, handed_down })
    }
}

/// What the group has still to hand down, or why it cannot.
fn fitness(group: &Facts, controllers: &[&'static str]) -> Result<Vec<&'static str>, String> {
    let among = |known: &[String], controller: &str| known.iter().any(|name| name == controller);
    if let Some(missing) = controllers.iter().find(|controller| !among(&group.offered, controller)) {
        let offered = if group.offered.is_empty() { "none".to_owned() } else { group.offered.join(", ") };
        return Err(format!("has no {missing} among its cgroup.controllers ({offered})"));
    }
    if group.kind != "domain" {
        return Err(format!("is {}, so it takes threads only", group.kind));
    }
    if !group.is_root && group.processes > 0 {
        return Err(format!("holds {} processes, and a group with processes hands nothing down", group.processes));
    }
    Ok(controllers.iter().copied().filter(|controller| !among(&group.handed_down, controller)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(is_root: bool, processes: usize, offered: &str, handed_down: &str) -> Facts {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let (offered, handed_down) = (words(offered), words(handed_down));
        Facts { is_root, kind: "domain".into(), processes, offered, handed_down }
    }

    #[test]
    fn only_what_is_missing_is_handed_down() {
        let inner = group(false, 0, "cpu memory pids", "memory");
        assert_eq!(fitness(&inner, &["memory", "pids"]), Ok(vec!["pids"]));
        assert_eq!(fitness(&inner, &["memory"]), Ok(vec![]));
    }

    #[test]
    fn processes_are_in_the_way_but_in_the_root() {
        assert_eq!(fitness(&group(true, 90, "pids", ""), &["pids"]), Ok(vec!["pids"]));
        // The kernel would let pids pass, and make the group threaded.
        assert!(fitness(&group(false, 3, "pids", ""), &["pids"]).unwrap_err().contains("3 processes"));
    }

    #[test]
    fn what_a_group_does_not_have_it_cannot_hand_down() {
        assert!(fitness(&group(true, 0, "hugetlb", ""), &["memory"]).unwrap_err().contains("no memory"));
        let threaded = Facts { kind: "domain threaded".into(), ..group(false, 0, "pids", "pids") };
        assert!(fitness(&threaded, &["pids"]).unwrap_err().contains("threads only"));
    }
}
