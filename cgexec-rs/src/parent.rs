//! The group below which a new one can have limits. `cgroups(7)`, "no internal processes".
//!
//! v1: our own group. v2: a group can limit its children only with controllers that it has enabled
//! (`cgroup.subtree_control`), and it can enable them only while it contains no process; only the root group may have
//! both. So the new group usually becomes a sibling of ours. The surprise: a group with processes *can* enable cpu and
//! pids; but it then silently becomes "threaded", and no process can be moved into its children any more.

use std::path::Path;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::Hierarchy;
use plumbing::kernel::look;
use plumbing::process::target::read_at;
use rustix::fs::CWD;

use crate::systemd::Ground;

/// The parent of a new group, and the controllers to enable there first.
#[derive(Debug)]
pub(crate) struct Parent {
    pub(crate) group: Group,
    /// For `cgroup.subtree_control`; never disabled again, because other groups may rely on them by then.
    pub(crate) enable: Vec<String>,
    /// Controllers to enable in addition, if the kernel allows it.
    pub(crate) optional: Vec<String>,
    /// Whether its processes move into a leaf first.
    pub(crate) needs_leaf: bool,
    /// Our own group and those above it that were unsuitable: a process that joins the new group leaves them.
    pub(crate) left: Vec<Group>,
}

impl Parent {
    fn of(group: Group) -> Parent {
        Parent { group, enable: Vec::new(), optional: Vec::new(), needs_leaf: false, left: Vec::new() }
    }
}

/// Finds the nearest suitable group, from `start` upwards; with a leaf, `start` itself if only its processes prevent it
/// and no other group is suitable.
pub(crate) fn find(
    hierarchy: &Hierarchy,
    start: &Path,
    controllers: &[String],
    ground: &Ground,
) -> Result<Parent, Fault> {
    if hierarchy.version == 1 {
        return Ok(Parent::of(hierarchy.open(start)?));
    }
    let (mut reasons, mut left) = (Vec::new(), Vec::new());
    let top = ground.top.as_deref().or(hierarchy.mount_root());
    for path in start.ancestors().take_while(|path| top.is_some_and(|top| path.starts_with(top))) {
        let group = hierarchy.open_made(path)?;
        if group.dir().is_none() {
            // A dry run has not asked for the scope.
            let (enable, needs_leaf) = (controllers.to_vec(), ground.leaf);
            return Ok(Parent { enable, needs_leaf, ..Parent::of(group) });
        }
        match fitness(&Facts::read(&group)?, controllers) {
            Ok(enable) => return Ok(Parent { enable, left, ..Parent::of(group) }),
            Err(reason) => {
                reasons.push(format!("{} {reason}", group.shown().display()));
                left.push(group);
            }
        }
    }
    if reasons.is_empty() {
        // The error of opening it says why our own group cannot be reached.
        return Ok(Parent::of(hierarchy.open(start)?));
    }
    let own = hierarchy.open(start)?;
    let with_leaf = fitness(&Facts { processes: 0, ..Facts::read(&own)? }, controllers);
    if ground.leaf
        && let Ok(enable) = with_leaf
    {
        return Ok(Parent { enable, needs_leaf: true, ..Parent::of(own) });
    }
    let fault = Fault::new(format!(
        "cannot limit with the {} controller: none of our cgroups can enable it for its children: {}",
        controllers.join(" and "),
        reasons.join("; ")
    ));
    let table = look("list the controllers", "read(\"/proc/cgroups\")", || read_at(CWD, "/proc/cgroups"));
    let table = table.map(|table| String::from_utf8_lossy(&table).into_owned()).unwrap_or_default();
    Err(match controllers.iter().find(|controller| is_disabled(&table, controller)) {
        Some(controller) => fault.with_remedy(format!(
            "the kernel was started with cgroup_disable={controller} (/proc/cgroups); start it without that parameter"
        )),
        None if with_leaf.is_ok() => {
            fault.with_remedy("--leaf moves the processes of the current cgroup into a child of it, so that it can")
        }
        None => fault,
    })
}

/// Returns whether the table of /proc/cgroups has the controller, but not enabled.
fn is_disabled(table: &str, controller: &str) -> bool {
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    table.lines().map(fields).any(|fields| fields.len() == 4 && fields[0] == controller && fields[3] == "0")
}

/// Returns whether a group can enable one more controller for its children, without becoming threaded.
pub(crate) fn can_enable(parent: &Parent, controller: &str) -> bool {
    let wanted = [controller.to_owned()];
    let facts =
        Facts::read(&parent.group).map(|facts| if parent.needs_leaf { Facts { processes: 0, ..facts } } else { facts });
    facts.and_then(|facts| fitness(&facts, &wanted).map_err(Fault::new)).is_ok_and(|new| !new.is_empty())
}

/// Returns the controllers that a group must still enable so that groups in it can be limited; fails if it cannot.
pub(crate) fn missing(group: &Group, controllers: &[String]) -> Result<Vec<String>, Fault> {
    if controllers.is_empty() || group.dir().is_none() {
        return Ok(controllers.to_vec());
    }
    fitness(&Facts::read(group)?, controllers).map_err(|reason| {
        Fault::new(format!(
            "cannot limit with the {} controller: {} {reason}",
            controllers.join(" and "),
            group.shown().display()
        ))
    })
}

/// The properties of a v2 group that decide.
#[derive(Debug, Default)]
struct Facts {
    is_root: bool,
    /// The content of `cgroup.type`: `domain`, `threaded`…
    kind: String,
    processes: usize,
    available: Vec<String>,
    enabled: Vec<String>,
}

impl Facts {
    fn read(group: &Group) -> Result<Facts, Fault> {
        let words = |file| group.read(file).map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let (is_root, kind) = match group.read("cgroup.type") {
            Ok(kind) => (false, kind),
            // Only the root group has no type.
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => (true, "domain".to_owned()),
            Err(fault) => return Err(fault),
        };
        let processes = match group.read("cgroup.procs") {
            Ok(pids) => pids.lines().count(),
            Err(fault) if fault.errno() == Some(Errno::EOPNOTSUPP) => 0,
            Err(fault) => return Err(fault),
        };
        let (available, enabled) = (words("cgroup.controllers")?, words("cgroup.subtree_control")?);
        Ok(Facts { is_root, kind, processes, available, enabled })
    }
}

/// Returns the controllers that the group must still enable, or why it cannot.
fn fitness(group: &Facts, controllers: &[String]) -> Result<Vec<String>, String> {
    let among = |known: &[String], controller: &str| known.iter().any(|name| name == controller);
    if let Some(missing) = controllers.iter().find(|controller| !among(&group.available, controller)) {
        let available = if group.available.is_empty() { "none".to_owned() } else { group.available.join(", ") };
        return Err(format!("has no {missing} in its cgroup.controllers ({available})"));
    }
    if group.kind != "domain" {
        return Err(format!("is {}, so it accepts only threads", group.kind));
    }
    // Without a controller to enable, a group may have processes and groups.
    if !group.is_root && group.processes > 0 && !controllers.is_empty() {
        return Err(format!(
            "contains {} processes, and a group with processes cannot enable controllers for its children",
            group.processes
        ));
    }
    Ok(controllers.iter().filter(|controller| !among(&group.enabled, controller)).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::{Facts, is_disabled};

    fn fitness(group: &Facts, controllers: &[&str]) -> Result<Vec<String>, String> {
        super::fitness(group, &controllers.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    fn group(is_root: bool, processes: usize, available: &str, enabled: &str) -> Facts {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let (available, enabled) = (words(available), words(enabled));
        Facts { is_root, kind: "domain".into(), processes, available, enabled }
    }

    #[test]
    fn only_missing_controllers_are_enabled() {
        let inner = group(false, 0, "cpu memory pids", "memory");
        assert_eq!(fitness(&inner, &["memory", "pids"]), Ok(vec!["pids".into()]));
        assert_eq!(fitness(&inner, &["memory"]), Ok(vec![]));
    }

    #[test]
    fn processes_prevent_enabling_except_in_the_root() {
        assert_eq!(fitness(&group(true, 90, "pids", ""), &["pids"]), Ok(vec!["pids".into()]));
        // The kernel would enable pids, and make the group threaded.
        assert!(fitness(&group(false, 3, "pids", ""), &["pids"]).unwrap_err().contains("3 processes"));
    }

    #[test]
    fn a_group_cannot_enable_a_controller_that_it_does_not_have() {
        assert!(fitness(&group(true, 0, "hugetlb", ""), &["memory"]).unwrap_err().contains("no memory"));
        let threaded = Facts { kind: "domain threaded".into(), ..group(false, 0, "pids", "pids") };
        assert!(fitness(&threaded, &["pids"]).unwrap_err().contains("only threads"));
    }

    #[test]
    fn a_controller_that_a_boot_parameter_disabled_is_recognized() {
        let table = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t9\t1\nmemory\t0\t9\t0\n";
        assert!(is_disabled(table, "memory") && !is_disabled(table, "cpu") && !is_disabled(table, "rdma"));
    }
}
