//! A group for one command or container: made with its limits by a guardian, which removes it afterwards.
//!
//! `cgroups(7)`. Everything that can be refused is looked up before the first directory is made. The surprise: on v1
//! every controller has a hierarchy of its own, so one group is several directories.

use std::ffi::{OsStr, OsString};
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use plumbing::group::Group;
use plumbing::hierarchy::{Cgroup, Hierarchies, Hierarchy};
use plumbing::{Fault, guardian};

use crate::limits::{Limits, Setting};
use crate::parent::{self, Parent};
use crate::refusal::explain;
use crate::removal::{self, Made};
use plumbing::usage::{self, Member};

/// How often a name that is taken gets another number behind it.
const NAMES: usize = 1000;

/// Has a guardian make the group, below the one that `hierarchies` call their own; for as long as the process behind
/// `watched` lives and the group is not empty.
pub(crate) fn guarded(
    watched: BorrowedFd<'_>,
    hierarchies: &Hierarchies,
    limits: &Limits,
    name: &OsStr,
) -> Result<Cgroup, Fault> {
    let told = guardian::spawn(watched, || {
        let made = make(sites(hierarchies, limits)?, name)?;
        let cgroup = match usage::describe(made.iter().map(|made| &made.member)) {
            Ok(cgroup) => cgroup,
            Err(fault) => return Err(removal::remove(&made).err().unwrap_or(fault)),
        };
        let told =
            serde_json::to_string(&cgroup).map_err(|error| Fault::new(format!("cannot tell the cgroup: {error}")))?;
        Ok((told, move || removal::remove(&made)))
    })?;
    serde_json::from_str(&told).map_err(|error| Fault::new(format!("cannot understand the guardian: {error}")))
}

/// Where one directory is to go, and what is written into it.
struct Site {
    parent: Parent,
    controllers: Vec<&'static str>,
    settings: Vec<Setting>,
}

fn sites(hierarchies: &Hierarchies, limits: &Limits) -> Result<Vec<Site>, Fault> {
    let limits = with_those_left(hierarchies, *limits)?;
    let mut needed: Vec<(&Hierarchy, Vec<&'static str>)> = Vec::new();
    for controller in limits.controllers() {
        let hierarchy = hierarchies.of(controller)?;
        match needed.iter_mut().find(|(known, _)| std::ptr::eq(*known, hierarchy)) {
            Some((_, controllers)) => controllers.push(controller),
            None => needed.push((hierarchy, vec![controller])),
        }
    }
    let site = |(hierarchy, controllers): (&Hierarchy, Vec<&'static str>)| {
        let settings: Result<Vec<_>, Fault> =
            controllers.iter().map(|controller| limits.settings(controller, hierarchy.version)).collect();
        let settings = settings?.concat();
        Ok(Site { parent: parent::find(hierarchy, hierarchy.own_path(), &controllers)?, controllers, settings })
    };
    needed.into_iter().map(site).collect()
}

/// On v2 the new group may be a sibling of the one that its processes leave. Its limits go along, or a limit inside a
/// limit would undo the outer one.
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
        // A further controller may be handed down from higher up only, past further groups.
        if with_left == limits {
            return Ok(limits);
        }
        limits = with_left;
    }
}

fn make(sites: Vec<Site>, name: &OsStr) -> Result<Vec<Made>, Fault> {
    let (name, groups) = make_directories(&sites, name)?;
    for (site, group) in sites.iter().zip(&groups) {
        if let Err(fault) = limit(site, group) {
            return Err(take_back(&sites, &groups, &name, fault));
        }
    }
    let made = |(site, group): (Site, Group)| Made {
        parent: site.parent.group,
        name: name.clone(),
        member: Member { controllers: site.controllers.into_iter().map(str::to_owned).collect(), group },
    };
    Ok(sites.into_iter().zip(groups).map(made).collect())
}

/// One directory for each site, all of the same name, one that is free everywhere.
fn make_directories(sites: &[Site], name: &OsStr) -> Result<(OsString, Vec<Group>), Fault> {
    for number in 1..=NAMES {
        let mut file_name = OsString::from("cgexec-rs-");
        file_name.push(name);
        if number > 1 {
            file_name.push(format!("-{number}"));
        }
        let mut groups = Vec::new();
        let refused = sites.iter().find_map(|site| {
            let parent = &site.parent.group;
            match parent.make(&file_name, "a group of its own; it goes when nothing runs in it any more") {
                Ok(group) => {
                    groups.push(group);
                    None
                }
                Err(fault) => Some(explain(fault, parent, ".")),
            }
        });
        match refused {
            None => return Ok((file_name, groups)),
            // Somebody else's: neither joined nor removed.
            Some(fault) if fault.errno() == Some(Errno::EEXIST) => match take_back(sites, &groups, &file_name, fault) {
                fault if fault.errno() == Some(Errno::EEXIST) => {}
                other => return Err(other),
            },
            Some(fault) => return Err(take_back(sites, &groups, &file_name, fault)),
        }
    }
    Err(Fault::new(format!("cannot make a cgroup: {NAMES} names from cgexec-rs-{} on are taken", name.display())))
}

/// Hands the controllers down and writes the limits. The group comes first: whoever may not make one, changes nothing.
fn limit(site: &Site, group: &Group) -> Result<(), Fault> {
    let Parent { group: parent, hand_down, .. } = &site.parent;
    if !hand_down.is_empty() {
        let words: Vec<_> = hand_down.iter().map(|controller| format!("+{controller}")).collect();
        let why = "only controllers that a group hands down limit its children";
        let written = parent.write("cgroup.subtree_control", &words.join(" "), why);
        written.map_err(|fault| explain(fault, parent, "cgroup.subtree_control"))?;
    }
    site.settings.iter().try_for_each(|setting| {
        let written = group.write(setting.file, &setting.value, setting.why);
        written.map_err(|fault| explain(fault, group, setting.file))
    })
}

/// Removes what was made before `fault`; gives it back, or what kept a directory from going.
fn take_back(sites: &[Site], groups: &[Group], name: &OsStr, fault: Fault) -> Fault {
    let remove = |(site, _): (&Site, &Group)| site.parent.group.remove(name, "nothing is left behind").err();
    sites.iter().zip(groups).filter_map(remove).fold(fault, |_, left_behind| left_behind)
}
