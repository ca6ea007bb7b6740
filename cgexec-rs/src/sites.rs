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
use plumbing::{Fault, narrate};

use crate::leaf;
use crate::limit_set::Limits;
use crate::parent::{self, Parent};
use crate::programs::Program;
use crate::setting::{Reads, Setting};
use crate::systemd::Ground;

/// The controllers of v1 without which a program assumes that the machine has no cgroups.
const EXPECTED: [&str; 4] = ["memory", "cpu", "cpuacct", "cpuset"];

/// The name that v1 has for the io controller.
const IO_V1: &str = "blkio";

/// One directory to make, and what to write to its files.
pub(crate) struct Site {
    pub(crate) parent: Parent,
    /// Our own group, which is not necessarily the parent.
    pub(crate) from: PathBuf,
    pub(crate) controllers: Vec<String>,
    pub(crate) settings: Vec<Setting>,
    /// Programs of v2.
    pub(crate) programs: Vec<Program>,
    /// Whether the group has limits. A group without limits is made only if that is possible.
    pub(crate) is_needed: bool,
}

/// Whether the group also counts what is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting {
    /// Only what has a limit.
    Limited,
    /// All that this machine can count.
    All,
}

/// How groups are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) counting: Counting,
    /// `--leaf`
    pub(crate) leaf: bool,
    /// Whether the limits are read once more for the record.
    pub(crate) is_recorded: bool,
}

/// Controllers that count something for a report.
const COUNTING: [&str; 5] = ["memory", "pids", "cpu", "cpuacct", "blkio"];

/// Controllers of v2 that count something; CPU time and pressure need none.
const COUNTING_V2: [&str; 4] = ["memory", "pids", "cpu", "io"];

/// Returns all directories to make, those with limits first.
pub(crate) fn of(ground: &Ground, limits: &Limits, manner: Manner) -> Result<Vec<Site>, Fault> {
    let (hierarchies, counting) = (&ground.hierarchies, manner.counting);
    let left = ground.left()?;
    let limits = with_those_left(ground, &left, limits.clone())?;
    let mut needed: Vec<(&Hierarchy, Vec<String>)> = Vec::new();
    for controller in limits.controllers() {
        let hierarchy = hierarchy_of(hierarchies, &controller)?;
        match needed.iter_mut().find(|(known, _)| std::ptr::eq(*known, hierarchy)) {
            Some((_, controllers)) => controllers.push(controller),
            None => needed.push((hierarchy, vec![controller])),
        }
    }
    let mut sites = Vec::new();
    for (hierarchy, controllers) in &needed {
        sites.push(limited(hierarchy, controllers, &limits, ground)?);
    }
    if counting == Counting::All {
        sites.iter_mut().for_each(|site| site.count_more(ground));
    }
    let is_needed = |hierarchy: &Hierarchy| needed.iter().any(|(known, _)| std::ptr::eq(*known, hierarchy));
    let is_expected = |hierarchy: &Hierarchy| match counting {
        Counting::Limited => hierarchy.controllers.iter().any(|name| EXPECTED.contains(&name.as_str())),
        Counting::All => {
            hierarchy.version == 2
                || hierarchy.controllers.iter().any(|name| [&EXPECTED[..], &COUNTING].concat().contains(&name.as_str()))
        }
    };
    let rest = hierarchies.iter().filter(|hierarchy| hierarchy.is_mounted() && is_expected(hierarchy));
    for hierarchy in rest.filter(|hierarchy| !is_needed(hierarchy)) {
        match unlimited(hierarchy, ground) {
            Ok(mut site) => {
                site.count_more(ground);
                sites.push(site);
            }
            Err(fault) => warn(&hierarchy.controllers, &fault),
        }
    }
    if let Some(site) = sites.iter_mut().find(|site| site.parent.group.version == 2) {
        site.parent.left.extend(left);
    }
    if sites.is_empty() {
        return Err(Fault::new("cannot make a cgroup: no cgroup hierarchy is mounted here"));
    }
    Ok(sites)
}

impl Site {
    /// Enables the controllers of v2 that count something, as far as the parent has them and can enable them.
    fn count_more(&mut self, ground: &Ground) {
        let hierarchies = &ground.hierarchies;
        if self.parent.group.version != 2 {
            return;
        }
        self.parent.needs_leaf |= ground.is_alone && self.parent.group.path() == self.from;
        let in_v1 = |name: &str| hierarchies.v1(name).is_some() || name == "io" && hierarchies.v1(IO_V1).is_some();
        for name in COUNTING_V2.into_iter().filter(|name| !in_v1(name)) {
            self.parent.optional.extend(parent::can_enable(&self.parent, name).then(|| name.to_owned()));
        }
    }
}

/// Returns the hierarchy in which limits of a controller are set.
pub(crate) fn hierarchy_of<'h>(hierarchies: &'h Hierarchies, controller: &str) -> Result<&'h Hierarchy, Fault> {
    match controller {
        // Files that every group of v2 has.
        "cgroup" => hierarchies
            .v2()
            .ok_or_else(|| Fault::new("cannot set cgroup files: no cgroup v2 hierarchy is mounted here")),
        "io" if hierarchies.v1(IO_V1).is_some() => hierarchies.of(IO_V1),
        // Programs of v2; without v2's mount, the error is that of the controller.
        "devices" if !hierarchies.v1(controller).is_some_and(Hierarchy::is_mounted) => {
            hierarchies.v2().map_or_else(|| hierarchies.of(controller), Ok)
        }
        "net" => hierarchies.v2().ok_or_else(|| {
            Fault::new(
                "cannot limit the rate of sending: no cgroup v2 hierarchy is mounted here; v1's net_cls only marks packets \
                 for a filter of tc(8): --set net_cls.classid=N",
            )
        }),
        controller => hierarchies.of(controller),
    }
}

/// Returns whether a hierarchy has a controller that its groups enable: some of what we call so are files of every
/// group, or programs.
pub(crate) fn is_enabled(controller: &str, version: u8) -> bool {
    !(controller == "cgroup" || version == 2 && matches!(controller, "devices" | "net"))
}

/// Warns that no group was made in a hierarchy that has no limit.
pub(crate) fn warn(controllers: &[String], fault: &Fault) {
    narrate::remark(format_args!("no group in the {} hierarchy, which has no limit: {fault}", controllers.join(",")));
}

fn limited(hierarchy: &Hierarchy, controllers: &[String], limits: &Limits, ground: &Ground) -> Result<Site, Fault> {
    let settings: Result<Vec<_>, Fault> =
        controllers.iter().map(|controller| limits.settings(controller, hierarchy.version)).collect();
    let (settings, from) = (settings?.concat(), hierarchy.own_path().to_owned());
    let enabled: Vec<_> = controllers.iter().filter(|name| is_enabled(name, hierarchy.version)).cloned().collect();
    let is_v2 = |_: &&String| hierarchy.version == 2;
    let programs = controllers.iter().filter(is_v2).filter_map(|name| limits.programs(name)).collect();
    let parent = parent::find(hierarchy, &from, &enabled, ground)?;
    // A guardian that leaves the new group must not return to a group that may have no process.
    let from = if parent.needs_leaf { from.join(leaf::NAME) } else { from };
    let name = |name: &String| if hierarchy.version == 1 && name == "io" { IO_V1.to_owned() } else { name.clone() };
    // A v1 hierarchy may have cpuset among others, and then accepts no process before the group has a CPU.
    let before = if is_cpuset_v1(hierarchy) { same_cpus(&parent.group, &settings)? } else { Vec::new() };
    let settings = [before, settings].concat();
    let controllers = enabled.iter().map(name).collect();
    Ok(Site { parent, from, controllers, settings, programs, is_needed: true })
}

fn unlimited(hierarchy: &Hierarchy, ground: &Ground) -> Result<Site, Fault> {
    let (controllers, from) = (hierarchy.controllers.clone(), hierarchy.own_path().to_owned());
    let parent = parent::find(hierarchy, &from, &[], ground)?;
    let settings = if is_cpuset_v1(hierarchy) { same_cpus(&parent.group, &[])? } else { Vec::new() };
    Ok(Site { parent, from, controllers, settings, programs: Vec::new(), is_needed: false })
}

pub(crate) fn is_cpuset_v1(hierarchy: &Hierarchy) -> bool {
    hierarchy.controllers.iter().any(|name| name == "cpuset")
}

/// Returns settings that copy the CPUs and memory nodes of the parent, except those that `settings` set.
pub(crate) fn same_cpus(parent: &Group, settings: &[Setting]) -> Result<Vec<Setting>, Fault> {
    let mut same = Vec::new();
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if !settings.iter().any(|setting| setting.file == file) {
            let why = "the same as the parent group; without them, the group accepts no process; cpuset(7)";
            same.push(Setting { reads: Reads::List, ..Setting::new(file, parent.read(file)?, why) });
        }
    }
    Ok(same)
}

/// Adds the limits of the groups that the processes leave: on v2 the new group may be a sibling of such a group, and
/// without its limits a limit inside a limit would undo the outer one.
fn with_those_left(ground: &Ground, left: &[Group], mut limits: Limits) -> Result<Limits, Fault> {
    let hierarchies = &ground.hierarchies;
    let Some(v2) = hierarchies.v2() else { return Ok(limits) };
    for group in left {
        limits = limits.tightened(&Limits::outer(group)?)?;
    }
    loop {
        let in_v2 = |controller: &String| {
            is_enabled(controller, 2) && hierarchy_of(hierarchies, controller).is_ok_and(|found| found.version == 2)
        };
        let controllers: Vec<_> = limits.controllers().into_iter().filter(in_v2).collect();
        if controllers.is_empty() {
            return Ok(limits);
        }
        let mut with_left = limits.clone();
        for group in parent::find(v2, v2.own_path(), &controllers, ground)?.left {
            with_left = with_left.tightened(&Limits::outer(&group)?)?;
        }
        // An additional controller may only be available further up, so that the processes leave more groups.
        if with_left == limits {
            return Ok(limits);
        }
        limits = with_left;
    }
}
