//! `--leaf`: making room for limited groups below a group that has processes, by moving these into a child of it.
//! `cgroups(7)`, "no internal processes".
//!
//! In a container, and below a delegated group, there is often no other group that could be the parent. The surprise: a
//! process may fork between the last look and the write that enables controllers; that write then fails, and changes
//! nothing, so all is repeated.

use std::ffi::OsStr;

use nix::errno::Errno;
use plumbing::cgroup::group::Group;
use plumbing::{Fault, narrate};
use rustix::process::geteuid;

use crate::removal::remove_itself;

/// The name of the child; it stays, since the processes stay in it.
pub(crate) const NAME: &str = "leaf";

/// How often the processes are listed and moved.
const ROUNDS: usize = 100;

const WHY: &str = "--leaf: a group with processes cannot enable controllers for its children, so they move";

/// Moves all processes of `parent` into its leaf, then enables controllers there with `enable`. If that is refused, the
/// processes move back.
pub(crate) fn make_room(parent: &Group, enable: impl Fn() -> Result<(), Fault>) -> Result<(), Fault> {
    let (leaf, is_new) = match parent.child(OsStr::new(NAME)) {
        Err(fault) if fault.errno() == Some(Errno::ENOENT) => (parent.make(OsStr::new(NAME), WHY)?, true),
        found => (found?, false),
    };
    require_own(&leaf)?;
    let before = listed(&leaf)?;
    let made = move_and_enable(parent, &leaf, &enable);
    if made.is_err() {
        // The group is as it was, as far as that is possible; the fault says what was refused.
        let undone = move_back(parent, &leaf, &before).and_then(|()| {
            if is_new { remove_itself(parent, OsStr::new(NAME), &leaf, "it is of no use") } else { Ok(()) }
        });
        if let Err(fault) = undone {
            narrate::remark(fault);
        }
    }
    made
}

/// Moves the processes of the leaf back, except those that were in it `before`: they are under its limits.
fn move_back(parent: &Group, leaf: &Group, before: &[i32]) -> Result<(), Fault> {
    for pid in listed(leaf)?.iter().filter(|pid| !before.contains(pid)) {
        let moved = parent.write("cgroup.procs", &pid.to_string(), "back, because no controller could be enabled");
        // It has ended meanwhile.
        if moved.as_ref().err().and_then(Fault::errno) != Some(Errno::ESRCH) {
            moved?;
        }
    }
    Ok(())
}

fn move_and_enable(parent: &Group, leaf: &Group, enable: &dyn Fn() -> Result<(), Fault>) -> Result<(), Fault> {
    for _ in 0..ROUNDS {
        for pid in listed(parent)? {
            let moved = leaf.write("cgroup.procs", &pid.to_string(), WHY);
            // It has ended meanwhile.
            if moved.as_ref().err().and_then(Fault::errno) != Some(Errno::ESRCH) {
                moved?;
            }
        }
        match enable() {
            Err(fault) if fault.errno() == Some(Errno::EBUSY) && !narrate::is_dry_run() => {}
            enabled => return enabled,
        }
    }
    Err(Fault::new(format!(
        "cannot move the processes of {} into its leaf: it gets new ones all the time",
        parent.shown().display()
    )))
}

/// Returns the processes of the group itself.
fn listed(group: &Group) -> Result<Vec<i32>, Fault> {
    if group.dir().is_none() {
        return Ok(Vec::new());
    }
    let pids: Vec<i32> = group.read("cgroup.procs")?.lines().filter_map(|line| line.parse().ok()).collect();
    if pids.contains(&0) {
        return Err(Fault::new(format!(
            "cannot move the processes of {}: some belong to another pid namespace, and have no pid here",
            group.shown().display()
        )));
    }
    Ok(pids)
}

/// Refuses a directory that another user has put there.
fn require_own(leaf: &Group) -> Result<(), Fault> {
    let Some(dir) = leaf.dir() else { return Ok(()) };
    let owner = rustix::fs::fstat(dir).map(|stat| stat.st_uid).ok();
    if owner == Some(geteuid().as_raw()) {
        return Ok(());
    }
    Err(Fault::new(format!("cannot use {}: it belongs to another user", leaf.shown().display())))
}
