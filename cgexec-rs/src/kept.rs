//! `--cgroup PATH -- COMMAND`: running in a group that stays. It is made if it is missing, with the groups above it.
//! `cgroups(7)`.
//!
//! Where the group exists in one hierarchy, it is made in another one only for a limit. The surprise: on v2, each group
//! on the way must enable the controllers for the next one, and only a group without processes can.

use std::ffi::OsStr;
use std::path::{Component, Path};

use nix::errno::Errno;
use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};
use plumbing::cgroup::usage::Member;
use plumbing::{Fault, narrate};

use crate::existing::Existing;
use crate::limit_set::Limits;
use crate::refusal::explain;
use crate::removal::New;
use crate::setting::Setting;
use crate::{ephemeral, membership, parent, sites};

const WHY: &str = "the group of --cgroup, which is kept";

/// Moves this process into the group, with these limits.
pub(crate) fn enter(group: &Existing, limits: &Limits, hierarchies: &Hierarchies) -> Result<(), Fault> {
    let limits = limits.clone().resolved(hierarchies)?;
    let mut made = Vec::new();
    let prepared = prepare(group.path(), &limits, hierarchies, &mut made);
    let joined = prepared.and_then(|members| membership::join_all(&members));
    if joined.is_err() {
        // A failure leaves nothing behind that was not there before.
        for (parent, new) in made.iter().rev() {
            if let Err(fault) = new.remove_from(parent, "a failure leaves no group behind") {
                narrate::remark(fault);
            }
        }
    }
    joined
}

/// A group that this run made, with the one above it.
type Made = (Group, New);

/// Makes the group where it is missing, and sets its limits; `made` gets what was made.
fn prepare(
    path: &Path,
    limits: &Limits,
    hierarchies: &Hierarchies,
    made: &mut Vec<Made>,
) -> Result<Vec<Member>, Fault> {
    let mut needed: Vec<(&Hierarchy, Vec<String>)> = Vec::new();
    for controller in limits.controllers() {
        let hierarchy = sites::hierarchy_of(hierarchies, &controller)?;
        match needed.iter_mut().find(|(known, _)| std::ptr::eq(*known, hierarchy)) {
            Some((_, controllers)) => controllers.push(controller),
            None => needed.push((hierarchy, vec![controller])),
        }
    }
    let has_group =
        |hierarchy: &Hierarchy| hierarchy.mount_root().is_some_and(|root| hierarchy.open(&root.join(path)).is_ok());
    let exists = hierarchies.iter().any(has_group);
    let mut members = Vec::new();
    for hierarchy in hierarchies.iter().filter(|hierarchy| hierarchy.is_mounted()) {
        let controllers = needed.iter().find(|(known, _)| std::ptr::eq(*known, hierarchy));
        let controllers = controllers.map(|(_, controllers)| controllers.as_slice());
        let is_real = hierarchy.version == 2 || hierarchy.controllers.iter().any(|name| !name.starts_with("name="));
        let is_wanted = if exists { has_group(hierarchy) } else { is_real };
        if controllers.is_none() && !is_wanted {
            continue;
        }
        match of_hierarchy(hierarchy, path, (controllers.unwrap_or_default(), limits), made) {
            Ok(group) => members.push(Member { controllers: hierarchy.controllers.clone(), group }),
            Err(fault) if controllers.is_some() || exists => return Err(fault),
            Err(fault) => sites::warn(&[hierarchy.name()], &fault),
        }
    }
    if members.is_empty() {
        return Err(Fault::new(format!("cannot make the cgroup {}: no hierarchy allows it", path.display())));
    }
    Ok(members)
}

fn of_hierarchy(
    hierarchy: &Hierarchy,
    path: &Path,
    (controllers, limits): (&[String], &Limits),
    made: &mut Vec<Made>,
) -> Result<Group, Fault> {
    let enabled = controllers.iter().filter(|name| sites::is_enabled(name, hierarchy.version)).cloned();
    let enabled: Vec<_> = enabled.collect();
    let mut group = hierarchy.open(hierarchy.mount_root().unwrap_or(Path::new("/")))?;
    for name in path.components().filter_map(|part| if let Component::Normal(name) = part { Some(name) } else { None })
    {
        if hierarchy.version == 2 {
            enable(&group, &enabled)?;
        }
        let (child, is_new) = child(&group, name)?;
        // Another run may be making it, or may have been killed before it had finished.
        let is_unfinished = is_new || !child.wait_finished()?;
        let above = std::mem::replace(&mut group, child);
        let needs_cpus = is_unfinished && sites::is_cpuset_v1(hierarchy);
        let of_cpuset = if needs_cpus { sites::same_cpus(&above, &[]) } else { Ok(Vec::new()) };
        if is_new {
            made.push((above, New::of(name, &group)?));
        }
        of_cpuset?.iter().try_for_each(|setting| ephemeral::apply(&group, setting))?;
        if is_unfinished {
            group.finish()?;
        }
    }
    let mut settings: Vec<Setting> = Vec::new();
    for controller in controllers {
        settings.extend(limits.reset_v1(controller).filter(|_| hierarchy.version == 1));
        settings.extend(limits.settings(controller, hierarchy.version)?);
    }
    settings.iter().try_for_each(|setting| ephemeral::apply(&group, setting))?;
    let programs = controllers.iter().filter_map(|name| limits.programs(name));
    programs.filter(|_| hierarchy.version == 2).try_for_each(|program| program.replace(&group))?;
    Ok(group)
}

fn child(group: &Group, name: &OsStr) -> Result<(Group, bool), Fault> {
    match group.child(name) {
        Err(fault) if fault.errno() == Some(Errno::ENOENT) => match group.begin(name, WHY) {
            // Somebody else was faster.
            Err(fault) if fault.errno() == Some(Errno::EEXIST) => Ok((group.child(name)?, false)),
            made => Ok((made.map_err(|fault| explain(fault, group, "."))?, true)),
        },
        found => Ok((found?, false)),
    }
}

/// Enables controllers of v2 for the groups in this one.
fn enable(group: &Group, controllers: &[String]) -> Result<(), Fault> {
    let missing = parent::missing(group, controllers)?;
    if missing.is_empty() {
        return Ok(());
    }
    let words: Vec<_> = missing.iter().map(|controller| format!("+{controller}")).collect();
    let why = "a group can limit its children only with the controllers in this file";
    let written = group.write("cgroup.subtree_control", &words.join(" "), why);
    written.map_err(|fault| explain(fault, group, "cgroup.subtree_control"))
}
