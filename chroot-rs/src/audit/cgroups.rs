//! Cgroups: whether the container can change its own limits, run a program on the host, or has no limits at all.
//! `cgroups(7)`, `cgroup_namespaces(7)`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plumbing::Fault;
use plumbing::process::mountinfo::Mount;

use super::look::{is_writable, mounts, read, some};
use super::{By, Finding, Probe, Severity};

pub(super) const PROBES: &[Probe] = &[
    Probe {
        name: "cgroup-writable",
        severity: Severity::High,
        why: "a container that can write to its hierarchy can remove its limits; cgroups(7)",
        by: By::Looking(writable),
    },
    Probe {
        name: "cgroup-release-agent",
        severity: Severity::Critical,
        why: "the program named there runs as root on the host (CVE-2022-0492)",
        by: By::Looking(release_agent),
    },
    Probe {
        name: "cgroup-namespace",
        severity: Severity::Low,
        why: "without one, rooted at the container's own group, the host's groups are visible; cgroup_namespaces(7)",
        by: By::Looking(namespace),
    },
    Probe {
        name: "memory-limit",
        severity: Severity::Low,
        why: "without a limit, one container can use all memory of the machine; cgroups(7)",
        by: By::Looking(memory),
    },
    Probe {
        name: "process-limit",
        severity: Severity::Low,
        why: "without a limit, a fork bomb can use all process ids; cgroups(7)",
        by: By::Looking(processes),
    },
];

/// The finding if no cgroup file system is mounted or there is no /proc.
const NONE: &str = "no cgroup file system is mounted here";

fn hierarchies() -> Vec<Mount> {
    mounts().unwrap_or_default().into_iter().filter(|mount| mount.fs_type.starts_with("cgroup")).collect()
}

/// Lists the mounts in which a file of this name can be opened for writing.
fn with_writable(name: &str) -> Result<Finding, Fault> {
    let hierarchies = hierarchies();
    if hierarchies.is_empty() {
        return Ok(Finding::not_here(NONE));
    }
    let points = hierarchies.into_iter().map(|mount| mount.point);
    let open = points.filter(|point| is_writable(point.join(name)));
    let open: Vec<_> = open.map(|point| point.display().to_string()).collect();
    Ok(Finding::none_of(&open, format!("no {name} is writable")))
}

fn writable() -> Result<Finding, Fault> {
    with_writable("cgroup.procs")
}

fn release_agent() -> Result<Finding, Fault> {
    with_writable("release_agent")
}

fn namespace() -> Result<Finding, Fault> {
    let Some(groups) = read("/proc/self/cgroup") else { return Ok(Finding::unknown("there is no /proc")) };
    let paths: Vec<String> = groups.lines().filter_map(|line| line.splitn(3, ':').nth(2)).map(str::to_owned).collect();
    let outside: Vec<String> = paths.into_iter().filter(|path| path != "/").collect();
    let foreign: Vec<String> = hierarchies().iter().filter_map(foreign).collect();
    if super::namespaces::is_initial("cgroup") == Some(true) {
        return Ok(Finding::open("it is the host's cgroup namespace"));
    }
    if !outside.is_empty() {
        return Ok(Finding::open(some(&outside)));
    }
    Ok(Finding::none_of(&foreign, "every group is /, and no mount shows another"))
}

/// Describes what a mount shows in addition to our group, which is the root of the namespace, and the groups below it.
fn foreign(mount: &Mount) -> Option<String> {
    let meta = std::fs::metadata(&mount.point).ok()?;
    let device = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    // Another mount covers it.
    if device != mount.device {
        return None;
    }
    // v1 has this file only in the root of a hierarchy, v2 the other one only elsewhere.
    let is_whole = match mount.fs_type.as_str() {
        "cgroup2" => !mount.point.join("cgroup.type").exists(),
        _ => mount.point.join("release_agent").exists(),
    };
    let what = if is_whole {
        "is the root of its hierarchy"
    } else if mount.root.starts_with("/..") {
        "is a group outside ours"
    } else {
        return None;
    };
    let names = names(&mount.point);
    let listed = if names.is_empty() { String::new() } else { format!(", with {}", some(&names)) };
    Some(format!("{} {what}{listed}", mount.point.display()))
}

/// Lists the names of the groups in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut names: Vec<_> = groups.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

fn memory() -> Result<Finding, Fault> {
    limit("memory", "memory.limit_in_bytes", "memory.max")
}

fn processes() -> Result<Finding, Fault> {
    limit("pids", "pids.max", "pids.max")
}

/// Looks for a limit of our group, or of a group above it that is mounted here too.
fn limit(controller: &str, of_v1: &str, of_v2: &str) -> Result<Finding, Fault> {
    let (hierarchies, groups) = (hierarchies(), read("/proc/self/cgroup").unwrap_or_default());
    if hierarchies.is_empty() {
        return Ok(Finding::unknown(NONE));
    }
    for mount in &hierarchies {
        let is_v2 = mount.fs_type == "cgroup2";
        if !is_v2 && !mount.super_options.split(',').any(|name| name == controller) {
            continue;
        }
        let file = if is_v2 { of_v2 } else { of_v1 };
        for directory in own(mount, &groups, if is_v2 { "" } else { controller }) {
            let value = read(directory.join(file)).unwrap_or_default();
            if is_limit(value.trim()) {
                return Ok(Finding::held(format!("{file} is {}", value.trim())));
            }
        }
    }
    Ok(Finding::open(format!("no visible {controller} controller limits this group")))
}

/// Lists our group's directory and those above it, in this mount.
fn own(mount: &Mount, groups: &str, controller: &str) -> Vec<PathBuf> {
    let mut fields = groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let ours = fields.find(|(controllers, _)| controllers.split(',').any(|name| name == controller));
    let group = Path::new(ours.map_or("/", |(_, path)| path));
    // Without a namespace, both are paths of the host.
    let below = group.strip_prefix(&mount.root).or(group.strip_prefix("/")).unwrap_or(group);
    let directory = mount.point.join(below);
    directory.ancestors().take_while(|above| above.starts_with(&mount.point)).map(Path::to_owned).collect()
}

/// Reports whether a value is a limit; v1 writes "no limit" as a number near the largest.
fn is_limit(value: &str) -> bool {
    value.parse::<u64>().is_ok_and(|limit| limit < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_number_is_not_a_limit() {
        assert!(is_limit("268435456") && is_limit("100"));
        assert!(!is_limit("9223372036854771712") && !is_limit("max") && !is_limit(""));
    }

    #[test]
    fn our_group_is_found_with_and_without_a_namespace() {
        let mount = |root: &str| {
            Mount::parse(format!("31 23 0:28 {root} /c/pids ro - cgroup cgroup rw,pids").as_bytes()).expect("a line")
        };
        assert_eq!(own(&mount("/docker/x"), "3:pids:/docker/x\n", "pids"), [Path::new("/c/pids")]);
        assert_eq!(own(&mount("/"), "3:pids:/a\n0::/\n", "pids"), [Path::new("/c/pids/a"), Path::new("/c/pids")]);
    }
}
