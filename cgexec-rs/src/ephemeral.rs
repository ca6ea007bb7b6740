//! A group for one command or container. A guardian makes it, sets its limits, and removes it afterwards.
//!
//! `cgroups(7)`. Everything that can be refused is looked up before the first directory is made. The surprise: on v1
//! each controller has its own hierarchy, so one group is several directories. `sites.rs` says which.

use std::ffi::{OsStr, OsString};
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::cgroup::mark::{self, Mark, Owner};
use plumbing::pipeline::guardian::{self, Kept};
use plumbing::pipeline::name::random;
use plumbing::pipeline::record::Cgroup;
use plumbing::{Fault, narrate};

use crate::leaf;
use crate::leftovers;
use crate::limit_set::Limits;
use crate::parent::Parent;
use crate::programs;
use crate::refusal::explain;
use crate::removal::{self, Made};
use crate::setting::{Reads, Setting};
use crate::sites::{self, Manner, Site};
use crate::systemd::Ground;
use plumbing::cgroup::usage::{self, Member};

/// The number of names that are tried with a number appended, if the plain name is taken.
const NUMBERS: usize = 8;

/// The number of unpredictable names that are tried after that: a user who may make groups next to ours could take all
/// others beforehand.
const UNPREDICTABLE: usize = 8;

/// Starts a guardian that makes the group below the own group of `hierarchies`. The guardian keeps the group until the
/// process `watched`, given by pid and pidfd, has ended and the group is empty.
pub(crate) fn guarded(
    watched: (i32, BorrowedFd<'_>),
    hierarchies: &Hierarchies,
    (limits, manner): (&Limits, Manner),
    name: &OsStr,
) -> Result<Cgroup, Fault> {
    let (pid, watched) = watched;
    let owner = Owner::of(pid)?;
    // Before the guardian starts, which leaves the current directory: paths may be relative to it.
    let limits = &limits.clone().resolved(hierarchies)?;
    // Before the guardian starts: it moves to a scope together with us.
    let ground = &Ground::find(hierarchies, limits, manner)?;
    let answer = guardian::spawn(watched, || {
        let made = make(sites::of(ground, limits, manner)?, name, owner)?;
        let members = made.iter().map(|made| &made.member);
        let described = if manner.is_recorded { usage::describe(members) } else { usage::identify(members) };
        let cgroup = match described {
            Ok(cgroup) => cgroup,
            Err(fault) => return Err(removal::remove(&made).err().unwrap_or(fault)),
        };
        let answer = serde_json::to_string(&cgroup)
            .map_err(|error| Fault::new(format!("cannot serialize the cgroup: {error}")))?;
        Ok((answer, Groups(made)))
    })?;
    plumbing::json::of_text(&answer).map_err(|error| Fault::new(format!("cannot parse the guardian's answer: {error}")))
}

/// The directories that the guardian keeps.
struct Groups(Vec<Made>);

impl Kept for Groups {
    /// Removes groups that earlier runs left in the same parents because their guardians were killed.
    fn settle(&self) {
        self.0.iter().for_each(|made| leftovers::sweep(&made.parent, &made.name));
    }

    fn remove(self) -> Result<(), Fault> {
        removal::remove(&self.0)
    }
}

fn make(sites: Vec<Site>, name: &OsStr, owner: Owner) -> Result<Vec<Made>, Fault> {
    let (name, sites, groups) = make_directories(sites, name)?;
    for (index, (site, group)) in sites.iter().zip(&groups).enumerate() {
        match group.set_mark(&Mark { owner, from: site.from.clone() }).and_then(|()| limit(site, group)) {
            // It is another run's by now, which made one of the same name: not ours to remove.
            Err(fault) if fault.errno() == Some(Errno::EEXIST) => {
                let fault = take_back(&sites[..index], &groups[..index], &name, fault);
                return Err(take_back(&sites[index + 1..], &groups[index + 1..], &name, fault));
            }
            Err(fault) => return Err(take_back(&sites, &groups, &name, fault)),
            Ok(()) => {}
        }
    }
    let made = |(site, group): (Site, Group)| Made {
        parent: site.parent.group,
        name: name.clone(),
        member: Member { controllers: site.controllers, group },
    };
    Ok(sites.into_iter().zip(groups).map(made).collect())
}

/// Makes one directory for each site, all with the same name, which must be free everywhere.
fn make_directories(mut sites: Vec<Site>, name: &OsStr) -> Result<(OsString, Vec<Site>, Vec<Group>), Fault> {
    let mut names = names(name);
    loop {
        let Some(name) = names.next().transpose()? else {
            return Err(Fault::new(format!(
                "cannot make a cgroup: {} is taken, and so are the names with a suffix",
                first(name).display()
            )));
        };
        match make_all(&mut sites, &name) {
            Ok(groups) => return Ok((name, sites, groups)),
            // The group of another run: neither joined nor removed.
            Err(fault) if fault.errno() == Some(Errno::EEXIST) => {}
            Err(fault) => return Err(fault),
        }
    }
}

/// Makes all directories of this name, or none. Drops refused sites that are not needed.
fn make_all(sites: &mut Vec<Site>, name: &OsStr) -> Result<Vec<Group>, Fault> {
    let mut groups = Vec::new();
    while let Some(site) = sites.get(groups.len()) {
        let parent = &site.parent.group;
        match parent.make(name, "a new group; it is removed when no process is in it any more") {
            Ok(group) => groups.push(group),
            Err(fault) if site.is_needed || fault.errno() == Some(Errno::EEXIST) => {
                let fault = explain(fault, parent, ".");
                return Err(take_back(sites, &groups, name, fault));
            }
            Err(fault) => {
                sites::warn(&site.controllers, &fault);
                sites.remove(groups.len());
            }
        }
    }
    Ok(groups)
}

/// Returns the names to try: the plain one, some with a number, then some that nobody could have taken beforehand.
fn names(name: &OsStr) -> impl Iterator<Item = Result<OsString, Fault>> {
    let with = move |suffix: Result<String, Fault>| {
        let mut with = first(name);
        with.push(suffix?);
        Ok(with)
    };
    let numbered = (2..=NUMBERS).map(|number| Ok(format!("-{number}")));
    let unpredictable = (0..UNPREDICTABLE).map(|_| random().map(|number| format!("-{number:016x}")));
    std::iter::once(Ok(String::new())).chain(numbered).chain(unpredictable).map(with)
}

fn first(name: &OsStr) -> OsString {
    let mut first = OsString::from(mark::PREFIX);
    first.push(name);
    first
}

/// Enables the controllers in the parent and writes the limits. The group was made first, so that nothing has changed
/// if that is refused.
fn limit(site: &Site, group: &Group) -> Result<(), Fault> {
    let Parent { group: parent, enable, optional, needs_leaf, left } = &site.parent;
    let words: Vec<_> = enable.iter().map(|controller| format!("+{controller}")).collect();
    let why = "a group can limit its children only with the controllers in this file";
    let write = || {
        if words.is_empty() {
            return Ok(());
        }
        parent.write("cgroup.subtree_control", &words.join(" "), why)
    };
    let written = if *needs_leaf { leaf::make_room(parent, write) } else { write() };
    written.map_err(|fault| explain(fault, parent, "cgroup.subtree_control"))?;
    for controller in optional {
        let why = "the group counts this for the report";
        // What cannot be counted is missing in the report.
        parent.write("cgroup.subtree_control", &format!("+{controller}"), why).ok();
    }
    site.settings.iter().try_for_each(|setting| apply(group, setting))?;
    programs::inherit(left, group)?;
    site.programs.iter().try_for_each(|program| program.attach(group))
}

/// Writes a limit, and checks that the kernel has kept it.
pub(crate) fn apply(group: &Group, setting: &Setting) -> Result<(), Fault> {
    let written = group.write(&setting.file, &setting.value, setting.why);
    written.map_err(|fault| explain(fault, group, &setting.file))?;
    if setting.reads == Reads::Unknown || narrate::is_dry_run() {
        return Ok(());
    }
    let kept = group.read(&setting.file)?;
    if setting.is_kept(&kept) {
        return Ok(());
    }
    Err(Fault::new(format!(
        "cannot set {}: {} was written, but the kernel has {}",
        group.shown().join(&setting.file).display(),
        setting.value,
        if kept.is_empty() { "nothing" } else { &kept }
    )))
}

/// Removes the directories that were made before `fault`. Returns `fault`, or the fault of a failed removal.
fn take_back(sites: &[Site], groups: &[Group], name: &OsStr, fault: Fault) -> Fault {
    let remove = |(site, group): (&Site, &Group)| {
        removal::remove_itself(&site.parent.group, name, group, "a failure leaves no group behind").err()
    };
    sites.iter().zip(groups).filter_map(remove).fold(fault, |_, left_behind| left_behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_some_numbers_names_are_unpredictable() {
        let [once, again] = [(); 2].map(|()| names(OsStr::new("web")).collect::<Result<Vec<_>, _>>().unwrap());
        assert_eq!(once[..2], ["cgexec-rs-web", "cgexec-rs-web-2"]);
        assert_eq!(once[..NUMBERS], again[..NUMBERS]);
        assert!(once[NUMBERS..].iter().all(|name| !again.contains(name)), "{once:?} {again:?}");
    }
}
