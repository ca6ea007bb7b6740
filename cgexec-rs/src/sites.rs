//! The hierarchies in which a new group gets a directory: each that has a limit, and on v1 also those in which programs
//! look for limits. `cgroups(7)`, `cgroup_namespaces(7)`, `cpuset(7)`.
//!
//! A container is shown only hierarchies in which it has its own group: in the others the root of its cgroup namespace
//! is the root of the hierarchy, with all groups of the host. But runtimes such as Java's look for limits only if they
//! find memory, cpu, cpuacct and cpuset. The surprise: a new group of v1's cpuset has no CPU, and accepts no process
//! until it has one.

use std::path::PathBuf;

use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};
use plumbing::cgroup::usage::Member;
use plumbing::{Fault, narrate};

use crate::limits::{Limits, Setting};
use crate::parent::{self, Parent};

/// The controllers of v1 without which a program assumes that the machine has no cgroups.
const EXPECTED: [&str; 4] = ["memory", "cpu", "cpuacct", "cpuset"];

/// One directory to make, and what to write to its files.
pub(crate) struct Site {
    pub(crate) parent: Parent,
    /// Our own group, which is not necessarily the parent.
    pub(crate) from: PathBuf,
    pub(crate) controllers: Vec<String>,
    pub(crate) settings: Vec<Setting>,
    /// Whether the group has limits. A group without limits is made only if that is possible.
    pub(crate) is_needed: bool,
}

/// Returns all directories to make, those with limits first.
pub(crate) fn of(hierarchies: &Hierarchies, limits: &Limits) -> Result<Vec<Site>, Fault> {
    let limits = with_those_left(hierarchies, *limits)?;
    let mut needed: Vec<(&Hierarchy, Vec<&'static str>)> = Vec::new();
    for controller in limits.controllers() {
        let hierarchy = hierarchies.of(controller)?;
        match needed.iter_mut().find(|(known, _)| std::ptr::eq(*known, hierarchy)) {
            Some((_, controllers)) => controllers.push(controller),
            None => needed.push((hierarchy, vec![controller])),
        }
    }
    let mut sites = Vec::new();
    for (hierarchy, controllers) in &needed {
        sites.push(limited(hierarchy, controllers, &limits)?);
    }
    let is_needed = |hierarchy: &Hierarchy| needed.iter().any(|(known, _)| std::ptr::eq(*known, hierarchy));
    let is_expected =
        |hierarchy: &Hierarchy| hierarchy.controllers.iter().any(|name| EXPECTED.contains(&name.as_str()));
    let rest = hierarchies.iter().filter(|hierarchy| hierarchy.is_mounted() && is_expected(hierarchy));
    for hierarchy in rest.filter(|hierarchy| !is_needed(hierarchy)) {
        match unlimited(hierarchy) {
            Ok(site) => sites.push(site),
            Err(fault) => warn(&hierarchy.controllers, &fault),
        }
    }
    Ok(sites)
}

/// Warns that no group was made in a hierarchy that has no limit.
pub(crate) fn warn(controllers: &[String], fault: &Fault) {
    narrate::remark(format_args!("no group in the {} hierarchy, which has no limit: {fault}", controllers.join(",")));
}

fn limited(hierarchy: &Hierarchy, controllers: &[&'static str], limits: &Limits) -> Result<Site, Fault> {
    let settings: Result<Vec<_>, Fault> =
        controllers.iter().map(|controller| limits.settings(controller, hierarchy.version)).collect();
    let (settings, from) = (settings?.concat(), hierarchy.own_path().to_owned());
    let parent = parent::find(hierarchy, &from, controllers)?;
    let controllers = controllers.iter().map(|name| (*name).to_owned()).collect();
    Ok(Site { parent, from, controllers, settings, is_needed: true })
}

fn unlimited(hierarchy: &Hierarchy) -> Result<Site, Fault> {
    let (controllers, from) = (hierarchy.controllers.clone(), hierarchy.own_path().to_owned());
    let parent = parent::find(hierarchy, &from, &[])?;
    let is_cpuset = controllers.iter().any(|name| name == "cpuset");
    let settings = if is_cpuset { same_cpus(&parent.group)? } else { Vec::new() };
    Ok(Site { parent, from, controllers, settings, is_needed: false })
}

/// Returns settings that copy the CPUs and memory nodes of the parent.
fn same_cpus(parent: &Group) -> Result<Vec<Setting>, Fault> {
    let same = |file: &'static str| {
        let why = "the same as the parent group; without them, the group accepts no process; cpuset(7)";
        parent.read(file).map(|value| Setting { file, value, why })
    };
    Ok(vec![same("cpuset.cpus")?, same("cpuset.mems")?])
}

/// Adds the limits of the groups that the processes leave: on v2 the new group may be a sibling of such a group, and
/// without its limits a limit inside a limit would undo the outer one.
fn with_those_left(hierarchies: &Hierarchies, mut limits: Limits) -> Result<Limits, Fault> {
    let Some(v2) = hierarchies.v2() else { return Ok(limits) };
    loop {
        let controllers: Vec<_> =
            limits.controllers().into_iter().filter(|controller| hierarchies.v1(controller).is_none()).collect();
        if controllers.is_empty() {
            return Ok(limits);
        }
        let mut with_left = limits;
        for group in parent::find(v2, v2.own_path(), &controllers)?.left {
            with_left = with_left.tightened(Limits::of(&Member { controllers: Vec::new(), group })?);
        }
        // An additional controller may only be available further up, so that the processes leave more groups.
        if with_left == limits {
            return Ok(limits);
        }
        limits = with_left;
    }
}
