//! Ending everything in a group: a signal to each process, or SIGKILL to all at once. `cgroups(7)`, `kill(2)`.
//!
//! v2 kills by one write to `cgroup.kill` (Linux 5.14), which no fork escapes. Without it, the members are listed and
//! killed until none is left; a fork bomb is frozen first, where there is a freezer. The surprise: between listing and
//! killing, a pid can become that of a stranger; so each process is opened first, and listed once more.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::cgroup::usage::Member;
use plumbing::kernel::call;
use plumbing::pipeline::record::Cgroup;
use plumbing::{Fault, narrate};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::removal::{any_member, members_of};

/// How often a group is listed and killed, until none is left.
const ROUNDS: usize = 1000;

/// The number of processes that are open at the same time.
const OPEN: usize = 256;

/// The directories of one group.
#[derive(Debug)]
pub(crate) struct Members(Vec<Member>);

impl Members {
    /// Opens the directories of a group.
    pub(crate) fn open(cgroup: &Cgroup, hierarchies: &Hierarchies) -> Result<Members, Fault> {
        let mut members: Vec<Member> = Vec::new();
        for (controller, path) in &cgroup.paths {
            let Some(hierarchy) = hierarchies.v1(controller) else { continue };
            let same = |member: &&mut Member| {
                member.group.version == 1 && hierarchy.controllers.contains(&member.controllers[0])
            };
            match members.iter_mut().find(same) {
                Some(member) => member.controllers.push(controller.to_owned()),
                None => members.push(Member {
                    controllers: vec![controller.to_owned()],
                    group: hierarchy.open_made(&path.to_path())?.known(cgroup.inodes.get(controller).copied())?,
                }),
            }
        }
        // Last: where v1 has the controllers, v2 has only what is left.
        if let Some(v2) = hierarchies.v2().filter(|_| cgroup.version == 2) {
            let group = v2.open_made(&cgroup.path.to_path())?.known(cgroup.inode)?;
            members.push(Member { controllers: Vec::new(), group });
        }
        Ok(Members(members))
    }

    /// Returns each directory with its parent.
    pub(crate) fn with_parents(&self) -> Result<Vec<(&Member, Group)>, Fault> {
        let hierarchies = Hierarchies::discover()?;
        let mut pairs = Vec::new();
        for member in &self.0 {
            let hierarchy = match member.controllers.first() {
                Some(controller) => hierarchies.v1(controller),
                None => hierarchies.v2(),
            };
            let parent = hierarchy.zip(member.group.path().parent());
            let (hierarchy, parent) =
                parent.ok_or_else(|| Fault::new("cannot find the parent of the cgroup: its mount is gone"))?;
            pairs.push((member, hierarchy.open(parent)?));
        }
        Ok(pairs)
    }

    /// Opens the directories of the own groups of `hierarchies`, as far as they can be seen.
    pub(crate) fn of_own(hierarchies: &Hierarchies) -> Result<Members, Fault> {
        let mut members = Vec::new();
        for hierarchy in hierarchies.iter().filter(|hierarchy| hierarchy.is_mounted()) {
            match hierarchy.open(hierarchy.own_path()) {
                Ok(group) => members.push(Member { controllers: hierarchy.controllers.clone(), group }),
                Err(fault) => narrate::remark(fault),
            }
        }
        members.sort_by_key(|member| member.group.version);
        if members.is_empty() {
            return Err(Fault::new("cannot find the cgroup: none of its hierarchies can be seen here"));
        }
        Ok(Members(members))
    }

    /// Returns the directories.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> + Clone {
        self.0.iter()
    }

    /// Returns the directory in the v2 hierarchy.
    pub(crate) fn v2(&self) -> Option<&Group> {
        self.0.iter().map(|member| &member.group).find(|group| group.version == 2)
    }

    /// Returns the path in the hierarchy of the memory controller.
    pub(crate) fn memory_path(&self) -> PathBuf {
        let of_memory = self.0.iter().find(|member| member.serves("memory"));
        of_memory.map(|member| member.group.path().to_owned()).unwrap_or_default()
    }

    /// Returns whether no process is in the group.
    pub(crate) fn are_empty(&self) -> Result<bool, Fault> {
        for member in &self.0 {
            if any_member(&member.group, None)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the directory that lists the processes: that of v2, or else the first.
    pub(crate) fn listing(&self) -> Option<&Group> {
        self.v2().or(self.0.first().map(|member| &member.group))
    }
}

/// Sends a signal to each process of the group; returns the first fault after all were tried.
pub(crate) fn signal(members: &Members, signal: Signal, why: &str, deadline: Option<Instant>) -> Result<(), Fault> {
    members.listing().map_or(Ok(()), |group| signal_listed(group, signal, why, deadline))
}

/// Sends a signal to each process that a group lists; returns the first fault after all were tried.
pub(crate) fn signal_listed(group: &Group, signal: Signal, why: &str, deadline: Option<Instant>) -> Result<(), Fault> {
    send_all(group, &members_of(group, deadline)?, (signal, why), deadline)
}

/// Kills all processes of the group.
pub(crate) fn kill(members: &Members, why: &str, deadline: Option<Instant>) -> Result<(), Fault> {
    if let Some(v2) = members.v2() {
        let killed = v2.write("cgroup.kill", "1", &format!("{why}; every process of the group is killed; cgroups(7)"));
        // Linux 5.14 has the file.
        if killed.as_ref().err().and_then(Fault::errno) != Some(Errno::ENOENT) {
            return killed;
        }
    }
    members.listing().map_or(Ok(()), |group| kill_listed(group, why, deadline))
}

/// Kills the processes that a group lists, until it lists none that may be killed.
pub(crate) fn kill_listed(group: &Group, why: &str, deadline: Option<Instant>) -> Result<(), Fault> {
    let mut last = Ok(());
    for _ in 0..ROUNDS {
        let pids = members_of(group, deadline)?;
        if pids.is_empty() || narrate::is_dry_run() {
            return Ok(());
        }
        let sent = send_all(group, &pids, (Signal::SIGKILL, why), deadline);
        if sent.is_err() && last.is_err() {
            return sent;
        }
        last = sent;
    }
    last
}

/// Sends a signal to the processes that were listed, if they are still members once they are open: listing the group once
/// more for each of them would take the square of the time.
fn send_all(group: &Group, pids: &[i32], how: (Signal, &str), deadline: Option<Instant>) -> Result<(), Fault> {
    let mut sent = Ok(());
    for part in pids.chunks(OPEN) {
        let open = |pid: &i32| Some((*pid, pidfd_open(Pid::from_raw(*pid)?, PidfdFlags::empty()).ok()?));
        let opened: Vec<_> = part.iter().filter_map(open).collect();
        let members: HashSet<_> = members_of(group, deadline)?.into_iter().collect();
        for (pid, process) in opened.iter().filter(|(pid, _)| members.contains(pid)) {
            sent = sent.and(send(*pid, process, how));
        }
    }
    sent
}

fn send(pid: i32, process: &OwnedFd, (signal, why): (Signal, &str)) -> Result<(), Fault> {
    let Some(number) = rustix::process::Signal::from_named_raw(signal as i32) else { return Ok(()) };
    let text = format!("pidfd_send_signal(pidfd of {pid}, {signal})");
    let sent = call(format!("end process {pid}"), text, why, || pidfd_send_signal(process, number));
    // It has ended by itself.
    if sent.as_ref().err().and_then(Fault::errno) == Some(Errno::ESRCH) { Ok(()) } else { sent }
}
