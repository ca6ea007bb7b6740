//! A group for one command or container: made with its limits by a guardian, which removes it afterwards.
//!
//! `cgroups(7)`. Everything that can be refused is looked up before the first directory is made. The surprise: on v1
//! every controller has a hierarchy of its own, so one group is several directories. `sites.rs` says which.

use std::collections::hash_map::RandomState;
use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, Hasher};
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::group::Group;
use plumbing::guardian::{self, Kept};
use plumbing::hierarchy::{Cgroup, Hierarchies};
use plumbing::mark::{self, Mark, Owner};

use crate::leftovers;
use crate::limits::Limits;
use crate::parent::Parent;
use crate::refusal::explain;
use crate::removal::{self, Made};
use crate::sites::{self, Site};
use plumbing::usage::{self, Member};

/// How often a name that is taken gets another number behind it.
const NUMBERS: usize = 8;

/// How many names that nobody can foresee are tried after that: who may make groups beside ours could take all others.
const UNFORESEEN: usize = 8;

/// Has a guardian make the group, below the one that `hierarchies` call their own; for as long as the process `watched`,
/// given by pid and pidfd, lives and the group is not empty.
pub(crate) fn guarded(
    watched: (i32, BorrowedFd<'_>),
    hierarchies: &Hierarchies,
    limits: &Limits,
    name: &OsStr,
) -> Result<Cgroup, Fault> {
    let (pid, watched) = watched;
    let owner = Owner::of(pid)?;
    let told = guardian::spawn(watched, || {
        let made = make(sites::of(hierarchies, limits)?, name, owner)?;
        let cgroup = match usage::describe(made.iter().map(|made| &made.member)) {
            Ok(cgroup) => cgroup,
            Err(fault) => return Err(removal::remove(&made).err().unwrap_or(fault)),
        };
        let told =
            serde_json::to_string(&cgroup).map_err(|error| Fault::new(format!("cannot tell the cgroup: {error}")))?;
        Ok((told, Groups(made)))
    })?;
    serde_json::from_str(&told).map_err(|error| Fault::new(format!("cannot understand the guardian: {error}")))
}

/// What the guardian keeps.
struct Groups(Vec<Made>);

impl Kept for Groups {
    /// Clears what is left in the same places of earlier runs whose guardians were killed.
    fn settle(&self) {
        self.0.iter().for_each(|made| leftovers::sweep(&made.parent));
    }

    fn remove(self) -> Result<(), Fault> {
        removal::remove(&self.0)
    }
}

fn make(sites: Vec<Site>, name: &OsStr, owner: Owner) -> Result<Vec<Made>, Fault> {
    let (name, sites, groups) = make_directories(sites, name)?;
    for (site, group) in sites.iter().zip(&groups) {
        let mark = Mark { owner, from: site.from.clone() };
        if let Err(fault) = group.set_mark(&mark).and_then(|()| limit(site, group)) {
            return Err(take_back(&sites, &groups, &name, fault));
        }
    }
    let made = |(site, group): (Site, Group)| Made {
        parent: site.parent.group,
        name: name.clone(),
        member: Member { controllers: site.controllers, group },
    };
    Ok(sites.into_iter().zip(groups).map(made).collect())
}

/// One directory for each site, all of the same name, one that is free everywhere.
fn make_directories(mut sites: Vec<Site>, name: &OsStr) -> Result<(OsString, Vec<Site>, Vec<Group>), Fault> {
    let mut names = names(name);
    loop {
        let Some(name) = names.next() else {
            return Err(Fault::new(format!(
                "cannot make a cgroup: {} is taken, and what comes after it",
                first(name).display()
            )));
        };
        match make_all(&mut sites, &name) {
            Ok(groups) => return Ok((name, sites, groups)),
            // Somebody else's: neither joined nor removed.
            Err(fault) if fault.errno() == Some(Errno::EEXIST) => {}
            Err(fault) => return Err(fault),
        }
    }
}

/// All directories of this name, or none. Sites that are not needed go where they are refused.
fn make_all(sites: &mut Vec<Site>, name: &OsStr) -> Result<Vec<Group>, Fault> {
    let mut groups = Vec::new();
    while let Some(site) = sites.get(groups.len()) {
        let parent = &site.parent.group;
        match parent.make(name, "a group of its own; it goes when nothing runs in it any more") {
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

/// The names to try: the plain one, some with a number, then some that nobody could have taken beforehand.
fn names(name: &OsStr) -> impl Iterator<Item = OsString> {
    let with = move |suffix: String| {
        let mut with = first(name);
        with.push(suffix);
        with
    };
    let numbered = (2..=NUMBERS).map(|number| format!("-{number}"));
    // The standard library seeds its hashes from getrandom(2).
    let unforeseen = (0..UNFORESEEN).map(|_| format!("-{:016x}", RandomState::new().build_hasher().finish()));
    std::iter::once(String::new()).chain(numbered).chain(unforeseen).map(with)
}

fn first(name: &OsStr) -> OsString {
    let mut first = OsString::from(mark::PREFIX);
    first.push(name);
    first
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
    let remove = |(site, group): (&Site, &Group)| {
        removal::remove_itself(&site.parent.group, name, group, "nothing is left behind").err()
    };
    sites.iter().zip(groups).filter_map(remove).fold(fault, |_, left_behind| left_behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_some_numbers_names_cannot_be_foreseen() {
        let [once, again] = [(); 2].map(|()| names(OsStr::new("web")).collect::<Vec<_>>());
        assert_eq!(once[..2], ["cgexec-rs-web", "cgexec-rs-web-2"]);
        assert_eq!(once[..NUMBERS], again[..NUMBERS]);
        assert!(once[NUMBERS..].iter().all(|name| !again.contains(name)), "{once:?} {again:?}");
    }
}
