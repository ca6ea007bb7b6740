//! The end of a group: waiting until no process is in it, then removing it with the empty groups inside.
//!
//! `cgroups(7)`. v2 reports an empty group by an event on `cgroup.events`. The surprise: v1 does not report it; so the
//! guardian waits for the end of a process that is in the group (`pidfd_open(2)`), and checks again. It kills none.
//!
//! The directory that was opened is removed, even if it has another name by then.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plumbing::cgroup::group::Group;
use plumbing::kernel::look;
use plumbing::process::target::{read_at, wait_readable};
use plumbing::{Fault, narrate};
use rustix::fs::{Dir, FileType, Mode, OFlags, openat};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use plumbing::cgroup::usage::Member;

use crate::walk::{Go, Step, present, walk};

/// The number of times that removal may fail with EBUSY in a group that looks empty: the last process is still exiting.
const BUSY: u32 = 100;

/// The longest pause between two checks.
const PAUSE: Duration = Duration::from_millis(500);

/// The reason for the removal of a group.
const UNUSED: &str = "no process is in the group any more";

/// A group directory that we made, with its parent.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) parent: Group,
    pub(crate) name: OsString,
    pub(crate) member: Member,
}

/// Removes each directory as soon as it is empty; returns the first fault after all were tried.
pub(crate) fn remove(made: &[Made]) -> Result<(), Fault> {
    made.iter().map(remove_one).fold(Ok(()), Result::and)
}

fn remove_one(made: &Made) -> Result<(), Fault> {
    if narrate::is_dry_run() {
        return Ok(());
    }
    let mut busy = 0;
    // Most groups are empty by now, and have none inside: the kernel refuses to remove any other.
    let mut removed = remove_itself(&made.parent, &made.name, &made.member.group, UNUSED);
    loop {
        match removed.as_ref().err().and_then(Fault::errno) {
            // Another process has removed it already.
            Some(Errno::ENOENT | Errno::ENODEV) => return Ok(()),
            Some(Errno::EBUSY) if busy <= BUSY => {
                // The first time, it has to be waited for; after that, its last process is still exiting.
                std::thread::sleep(Duration::from_millis(u64::from(busy.min(50))));
                busy += 1;
            }
            _ => return removed,
        }
        let group = &made.member.group;
        removed = wait_empty(group).and_then(|()| remove_tree(&made.parent, &made.name, group, None));
    }
}

/// Removes an empty group, which was made as `name`, with the empty groups in it.
pub(crate) fn remove_tree(parent: &Group, name: &OsStr, group: &Group, deadline: Option<Instant>) -> Result<(), Fault> {
    walk(group, deadline, |step| match step {
        Step::Down(_) => Ok(Go::On),
        Step::Up(outer, inner) => present(outer.remove(inner, "an empty group inside the group")).map(|_| Go::On),
    })?;
    remove_itself(parent, name, group, UNUSED)
}

/// Removes the directory of `group`, whatever its name is by now: on v1, the owner of the parent can rename it and put
/// another one in its place, which must not be removed.
pub(crate) fn remove_itself(parent: &Group, name: &OsStr, group: &Group, why: &str) -> Result<(), Fault> {
    New::of(name, group)?.remove_from(parent, why)
}

/// A group that was made in a parent, by its name and its inode number, which a dry run does not have.
#[derive(Debug)]
pub(crate) struct New {
    name: OsString,
    inode: Option<u64>,
}

impl New {
    /// Describes the group, which was made as `name`.
    pub(crate) fn of(name: &OsStr, group: &Group) -> Result<New, Fault> {
        let inode = if narrate::is_dry_run() { None } else { Some(group.inode()?) };
        Ok(New { name: name.to_owned(), inode })
    }

    /// Removes its directory, as [`remove_itself`] does.
    pub(crate) fn remove_from(&self, parent: &Group, why: &str) -> Result<(), Fault> {
        match self.inode {
            Some(inode) => remove_inode(parent, &self.name, inode, why),
            None => parent.remove(&self.name, why),
        }
    }
}

fn remove_inode(parent: &Group, name: &OsStr, inode: u64, why: &str) -> Result<(), Fault> {
    let leads_to_it = |name: &OsStr| parent.inode_of(name).is_ok_and(|found| found == Some(inode));
    if leads_to_it(name) {
        return parent.remove(name, why);
    }
    if parent.inode_of(name)?.is_some() {
        narrate::remark(format_args!("{} is another cgroup by now, and is kept", parent.shown().join(name).display()));
    }
    let names = directories(parent);
    let names = look("find the cgroup's new name", format!("getdents({:?})", parent.shown()), || names)?;
    match names.iter().find(|name| leads_to_it(name)) {
        Some(name) => parent.remove(name, why),
        // Another process has removed it already.
        None => Ok(()),
    }
}

/// Returns the names of the groups in this one.
pub(crate) fn directories(group: &Group) -> Result<Vec<OsString>, rustix::io::Errno> {
    entries(group, FileType::Directory)
}

/// Returns the names of the files of a group.
pub(crate) fn files(group: &Group) -> Result<Vec<String>, Fault> {
    let text = format!("getdents({:?})", group.shown());
    let names =
        look(format!("list the files of {}", group.shown().display()), text, || entries(group, FileType::RegularFile))?;
    Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

fn entries(group: &Group, kind: FileType) -> Result<Vec<OsString>, rustix::io::Errno> {
    let dir = group.dir().ok_or(rustix::io::Errno::NOENT)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = openat(dir, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::new(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if entry.file_type() == kind && name != b"." && name != b".." {
            names.push(std::os::unix::ffi::OsStringExt::from_vec(name.to_vec()));
        }
    }
    Ok(names)
}

fn wait_empty(group: &Group) -> Result<(), Fault> {
    match group.version {
        2 => wait_event(group),
        _ => wait_members(group),
    }
}

/// Waits on v2: `populated` covers the whole subtree, and poll(2) reports a change of it as an exceptional condition.
fn wait_event(group: &Group) -> Result<(), Fault> {
    let path = group.shown().join("cgroup.events");
    let goal = format!("wait until the cgroup {} is empty", group.shown().display());
    let events: OwnedFd = look(&goal, format!("openat({path:?})"), || {
        let dir = group.dir().ok_or(rustix::io::Errno::NOENT)?;
        openat(dir, "cgroup.events", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    })?;
    loop {
        let mut text = [0; 256];
        let length = look(&goal, format!("pread({path:?})"), || rustix::io::pread(&events, &mut text, 0))?;
        if text[..length].split(|byte| *byte == b'\n').any(|line| line == b"populated 0") {
            return Ok(());
        }
        let mut watched = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Fault::kernel(goal, format!("poll({path:?}, POLLPRI)"), errno)),
        }
    }
}

/// Waits on v1: as long as there is a process in the group or in a group inside it, for the end of that process.
fn wait_members(group: &Group) -> Result<(), Fault> {
    let mut pause = Duration::from_millis(1);
    while let Some(pid) = any_member(group, None)? {
        // None for a process of a pid namespace that we do not see, and for one that has just ended.
        let process = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let waited = std::time::Instant::now();
        if let Some(process) = process {
            // The process may also leave the group alive, so the wait has a limit.
            wait_readable(process.as_fd(), Some(PAUSE))?;
        }
        if waited.elapsed() < pause {
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE);
        } else {
            pause = Duration::from_millis(1);
        }
    }
    Ok(())
}

/// Returns a process in the group or in a group inside it; 0 for a process that we do not see.
pub(crate) fn any_member(group: &Group, deadline: Option<Instant>) -> Result<Option<i32>, Fault> {
    let mut any = None;
    walk(group, deadline, |step| {
        let Step::Down(group) = step else { return Ok(Go::On) };
        let pids = members(group)?;
        let first = pids.split(|byte| *byte == b'\n').next().filter(|first| !first.is_empty());
        // A line that is not a number is no pid to wait for, but still a member.
        any = first.map(|first| pid(first).unwrap_or(0));
        Ok(if any.is_some() { Go::No } else { Go::On })
    })?;
    Ok(any)
}

/// Returns the processes in the group and in the groups inside it, as far as we see them.
pub(crate) fn members_of(group: &Group, deadline: Option<Instant>) -> Result<Vec<i32>, Fault> {
    let mut found = Vec::new();
    walk(group, deadline, |step| {
        if let Step::Down(group) = step {
            found.extend(members(group)?.split(|byte| *byte == b'\n').filter_map(pid).filter(|pid| *pid > 0));
        }
        Ok(Go::On)
    })?;
    Ok(found)
}

/// Returns the number of processes in the group and in the groups inside it, as far as we see them; `most` or more if there
/// are so many, which are not all counted.
pub(crate) fn count_members(group: &Group, most: usize, deadline: Instant) -> Result<usize, Fault> {
    let mut count = 0;
    walk(group, Some(deadline), |step| {
        if let Step::Down(group) = step {
            count += members(group)?.split(|byte| *byte == b'\n').filter_map(pid).filter(|pid| *pid > 0).count();
        }
        Ok(if count >= most { Go::No } else { Go::On })
    })?;
    Ok(count)
}

fn pid(line: &[u8]) -> Option<i32> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// Reads the list of processes of the group itself; empty if it was removed.
fn members(group: &Group) -> Result<Vec<u8>, Fault> {
    let goal = format!("list the processes in {}", group.shown().display());
    let text = format!("read({:?})", group.shown().join("cgroup.procs"));
    let read = look(goal, text, || match group.dir() {
        Some(dir) => read_at(dir, "cgroup.procs"),
        None => Ok(Vec::new()),
    });
    // A group that was removed meanwhile, by its guardian for example, has none.
    present(read).map(Option::unwrap_or_default)
}
