//! Containers of `unshare-rs --hold`: each init has the mark of a hold, and in its command line its instructions, which
//! include the name. Nothing is stored on disk. `pid_namespaces(7)`.
//!
//! The surprise: such an init is neither confined nor in the container's cgroup. The first of the commands that run in
//! the container shows how it is confined.

use plumbing::assembly::has_mark;
use plumbing::hierarchy::{Cgroup, memberships};
use plumbing::namespace::{Kind, KindSet};
use plumbing::target::Target;
use plumbing::{Fault, usage};

use super::claim::Claim;
use super::processes::{HELD_INIT, Process};
use super::{Runtime, Search};

/// Returns the claims of the held inits.
pub(super) fn claims(search: &Search) -> Vec<Claim> {
    let inits = search.processes.iter().filter(|process| process.program == HELD_INIT);
    inits.filter(|init| has_mark(&init.target).unwrap_or(false)).filter_map(of_init).collect()
}

fn of_init(init: &Process) -> Option<Claim> {
    let [_, _, name] = &init.argv[..] else { return None };
    let start_time = Some(init.target.start_time().ok()?);
    Some(Claim { start_time, ..Claim::new(Runtime::Hold, name, init.target.pid(), init.author) })
}

/// Returns the command in the container of this init that was started first; `None` for a process that is no such init.
/// If the container uses the host's pid namespace, a command cannot be distinguished from a process that entered, so
/// the result is `None`, too.
pub(crate) fn command(init: &Target) -> Option<Target> {
    let mut kinds = init.foreign_kinds().ok()?;
    // The init may have been moved to another cgroup namespace than the command.
    kinds.remove(Kind::Cgroup);
    if !kinds.contains(Kind::Pid) || !has_mark(init).unwrap_or(false) {
        return None;
    }
    let pids = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let own = init.namespace_inode(Kind::Pid).ok()??;
    // Checked first, because it is a single system call.
    let is_inside = |pid: &i32| rustix::fs::stat(format!("/proc/{pid}/ns/pid")).is_ok_and(|it| it.st_ino == own);
    let others = pids.filter(|pid| *pid != init.pid()).filter(is_inside).filter_map(|pid| Target::of_pid(pid).ok());
    let commands = others.filter(|other| shares(init, other, kinds));
    let by_age = commands.filter_map(|command| Some((command.start_time().ok()?, command.pid(), command)));
    by_age.min_by_key(|(start_time, pid, _)| (*start_time, *pid)).map(|(_, _, command)| command)
}

fn shares(one: &Target, other: &Target, kinds: KindSet) -> bool {
    let inode = |target: &Target, kind| target.namespace_inode(kind).ok().flatten();
    kinds.iter().all(|kind| inode(one, kind).is_some_and(|its| inode(other, kind) == Some(its)))
}

/// Returns the groups that the command is in and the init is not: those that were made for the container.
pub(super) fn groups(init: &Target, command: &Target) -> Result<Option<Cgroup>, Fault> {
    let around = init.read("cgroup")?;
    let is_own = |group: &_| !memberships(around.as_bytes()).any(|it| it == *group);
    let own: Vec<_> = memberships(command.read("cgroup")?.as_bytes()).filter(is_own).collect();
    let places = own.iter().map(|(controllers, path)| {
        let version = if controllers.is_empty() { 2 } else { 1 };
        (version, controllers.as_slice(), path.as_path())
    });
    if own.is_empty() { Ok(None) } else { usage::name(places).map(Some) }
}
