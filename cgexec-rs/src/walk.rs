//! Visiting all groups in a group: one directory is open at a time, and none is opened by its path. `openat(2)`.
//!
//! A user with a delegated group may nest groups as deep as he likes. The surprise: the kernel opens no path of more than
//! 4095 bytes, so the walk goes down by one name and up by `..`. A group never gets another parent (v1 renames groups only
//! in place), which is checked nevertheless.

use std::ffi::{OsStr, OsString};
use std::time::Instant;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::cgroup::group::Group;
use plumbing::kernel::look;

use crate::removal::directories;

/// One step of a walk.
pub(crate) enum Step<'g> {
    /// A group, before the groups in it.
    Down(&'g Group),
    /// A group that was visited with all groups in it, by its name in this one.
    Up(&'g Group, &'g OsStr),
}

/// Whether a walk goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Go {
    /// To the next step.
    On,
    /// No further: what was looked for is found.
    No,
}

/// The groups on the way from the first one to the one that is open.
struct Level {
    inode: u64,
    name: OsString,
    /// The groups in it that come after that one.
    rest: Vec<OsString>,
}

/// Visits `top` and all groups inside, until `visit` says that it is enough; after `deadline`, that is an error. A group that
/// is removed meanwhile is left out.
pub(crate) fn walk(
    top: &Group,
    deadline: Option<Instant>,
    mut visit: impl FnMut(Step<'_>) -> Result<Go, Fault>,
) -> Result<(), Fault> {
    if top.dir().is_none() || visit(Step::Down(top))? == Go::No {
        return Ok(());
    }
    let Some(mut group) = present(top.again())? else { return Ok(()) };
    let (mut way, mut names): (Vec<Level>, _) = (Vec::new(), children(top)?);
    loop {
        in_time(top, deadline)?;
        let next = names.pop();
        if let Some(name) = next {
            let Some(child) = present(group.child(&name))? else { continue };
            let child = child.at(top, names_of(&way).chain([name.as_os_str()]));
            if present(visit(Step::Down(&child)))? == Some(Go::No) {
                return Ok(());
            }
            let rest = std::mem::replace(&mut names, children(&child)?);
            way.push(Level { inode: group.inode()?, name, rest });
            group = child;
            continue;
        }
        let Some(Level { inode, name, rest }) = way.pop() else { return Ok(()) };
        let parent = group.parent()?.at(top, names_of(&way));
        if parent.inode()? != inode {
            return Err(Fault::new(format!(
                "cannot continue in {}: it has another parent by now",
                group.shown().display()
            )));
        }
        (group, names) = (parent, rest);
        if visit(Step::Up(&group, &name))? == Go::No {
            return Ok(());
        }
    }
}

fn names_of(way: &[Level]) -> impl DoubleEndedIterator<Item = &OsStr> + Clone {
    way.iter().map(|level| level.name.as_os_str())
}

/// Returns the names of the groups in one; none if that was removed.
fn children(group: &Group) -> Result<Vec<OsString>, Fault> {
    let text = format!("getdents({:?})", group.shown());
    let names = look(format!("list the cgroups in {}", group.shown().display()), text, || directories(group));
    Ok(present(names)?.unwrap_or_default())
}

/// Refuses to go on after the deadline.
pub(crate) fn in_time(group: &Group, deadline: Option<Instant>) -> Result<(), Fault> {
    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
        Err(too_late(group, "the change"))
    } else {
        Ok(())
    }
}

/// The fault for what has not come before the deadline.
pub(crate) fn too_late(group: &Group, what: &str) -> Fault {
    Fault::new(format!("cannot wait for {what} of {}: it has not come in time (--timeout)", group.shown().display()))
}

/// Returns `None` for a group that was removed in the meantime.
pub(crate) fn present<T>(found: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(fault) if matches!(fault.errno(), Some(Errno::ENOENT | Errno::ENODEV)) => Ok(None),
        Err(fault) => Err(fault),
    }
}
