//! The group that a view or a verb is about: given by a path, by a process in it, by a container's name or by a record.
//! `proc_pid_cgroup(5)`, `cgroups(7)`.
//!
//! The surprise: on v1, a process is in one group of each hierarchy, and some of these may contain half of the machine's
//! processes. So for a change, a pid means the group with the fewest processes, in all hierarchies where the process is
//! in a group of that path.

use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};
use plumbing::find::{self, Container, Found, PidOrName};
use plumbing::process::target::Target;
use rustix::process::getpid;

use crate::existing::Existing;
use crate::removal::count_members;

/// What the command line names.
#[derive(Debug)]
pub(crate) enum Subject {
    /// Our own groups.
    Ourselves,
    /// The groups of a process or of a container.
    Process(PidOrName),
    /// The group of a path, in every hierarchy that has it.
    Path(Existing),
}

impl Subject {
    /// Returns the pid, if the command line names a process by it, or nothing: then it is ours.
    pub(crate) fn pid(&self) -> Option<i32> {
        match self {
            Subject::Ourselves => Some(getpid().as_raw_nonzero().get()),
            Subject::Process(PidOrName::Process { pid, .. }) => Some(*pid),
            _ => None,
        }
    }

    /// Returns the hierarchies with the subject's groups as the own ones, for a view.
    pub(crate) fn to_view(&self) -> Result<Hierarchies, Fault> {
        match self {
            Subject::Ourselves => Hierarchies::discover(),
            Subject::Path(group) => at_path(group.path()),
            Subject::Process(PidOrName::Named(reference)) => view_of_container(&find::container(reference)?),
            Subject::Process(process) => Hierarchies::of_process(&process.open()?.process()?),
        }
    }

    /// Returns the hierarchies in which the subject has a group that can be changed, with that group as the own one. Which
    /// group a process means may take long to find; after `deadline`, that is an error.
    pub(crate) fn to_change(&self, deadline: Instant) -> Result<Hierarchies, Fault> {
        match self {
            Subject::Ourselves => narrowed(Hierarchies::discover()?, "this process", deadline),
            Subject::Path(group) => at_path(group.path()),
            Subject::Process(PidOrName::Named(reference)) => match find::resolve(reference)? {
                Found::Container(container) => of_container(&container),
                Found::Network(_) => find::container(reference).and_then(|container| of_container(&container)),
            },
            Subject::Process(process) => {
                let target = process.open()?.process()?;
                narrowed(Hierarchies::of_process(&target)?, &format!("process {}", target.pid()), deadline)
            }
        }
    }
}

/// Returns the groups of a container, its own ones where it has these.
fn view_of_container(container: &Container) -> Result<Hierarchies, Fault> {
    let groups = Hierarchies::of_process(&container.target)?;
    let Some(own) = container.own_groups()? else { return Ok(groups) };
    Ok(groups.with_groups(|hierarchy| {
        let same = own.iter().find(|known| known.controllers == hierarchy.controllers);
        Some(same.unwrap_or(hierarchy).own_path().to_owned())
    }))
}

/// Returns the groups of a record's container, for a view.
pub(crate) fn view_of_record(target: &Target) -> Result<Hierarchies, Fault> {
    match find::all(None)?.all.iter().find(|container| container.target.pid() == target.pid()) {
        Some(container) => view_of_container(container),
        None => Hierarchies::of_process(target),
    }
}

/// Returns the groups of a record's container, for a change: the kernel's answer, not the record's.
pub(crate) fn of_record(target: &Target) -> Result<Hierarchies, Fault> {
    match find::all(None)?.all.iter().find(|container| container.target.pid() == target.pid()) {
        Some(container) => of_container(container),
        // The author of a record chooses the process: only a container is changed because of what the record says.
        None => Err(Fault::new(format!(
            "cannot change the cgroup of process {}: the record says that it is a container, and none is found there",
            target.pid()
        ))
        .with_remedy("name the process itself: --target PID")),
    }
}

fn of_container(container: &Container) -> Result<Hierarchies, Fault> {
    container.own_groups()?.ok_or_else(|| {
        Fault::new(format!("cannot change the cgroup of {}: it has none of its own", container.shown())).with_remedy(
            format!("the group of its first process, with all others in it, is that of pid {}", container.target.pid()),
        )
    })
}

/// Keeps the hierarchies that have a group of this path, which is relative to the mount points.
fn at_path(path: &Path) -> Result<Hierarchies, Fault> {
    let mut fault = None;
    let found = Hierarchies::discover()?.with_groups(|hierarchy| {
        let path = hierarchy.mount_root()?.join(path);
        match hierarchy.open(&path) {
            Ok(_) => Some(path),
            // A fault other than a missing group is reported rather than "there is none".
            Err(missing) if missing.errno() == Some(Errno::ENOENT) => {
                fault.get_or_insert(missing);
                None
            }
            Err(other) => {
                fault = Some(other);
                None
            }
        }
    });
    match fault {
        Some(fault) if fault.errno() != Some(Errno::ENOENT) || found.iter().next().is_none() => Err(fault),
        None if found.iter().next().is_none() => {
            Err(Fault::new("cannot open the cgroup: no cgroup hierarchy is mounted here"))
        }
        _ => Ok(found),
    }
}

/// Keeps the group with the fewest processes, and those of the same path in other hierarchies.
fn narrowed(hierarchies: Hierarchies, whose: &str, deadline: Instant) -> Result<Hierarchies, Fault> {
    let is_root = |hierarchy: &Hierarchy| hierarchy.mount_root() == Some(hierarchy.own_path());
    let mut fewest: Option<(usize, &Path)> = None;
    for hierarchy in hierarchies.iter().filter(|hierarchy| hierarchy.is_mounted() && !is_root(hierarchy)) {
        // A group with as many processes as another one is not chosen: the rest need not be counted.
        let most = fewest.map_or(usize::MAX, |(least, _)| least);
        let processes = count_members(&hierarchy.open(hierarchy.own_path())?, most, deadline)?;
        if fewest.is_none_or(|(least, _)| processes < least) {
            fewest = Some((processes, hierarchy.own_path()));
        }
    }
    let Some((_, path)) = fewest else {
        return Err(Fault::new(format!(
            "cannot change the cgroup of {whose}: it is in the root group of each hierarchy, which has all processes"
        )));
    };
    let path = path.to_owned();
    Ok(hierarchies.with_groups(|hierarchy| {
        (hierarchy.is_mounted() && !is_root(hierarchy) && hierarchy.own_path() == path).then(|| path.clone())
    }))
}
