//! `--oom-guard`: ending a group in an orderly way before its memory runs out. The kernel's
//! `Documentation/admin-guide/cgroup-v2.rst`, `memory.high`, and `Documentation/accounting/psi.rst`.
//!
//! Above `memory.high` the kernel slows processes down while it reclaims their memory, so there is time to act: when
//! they wait for memory and the group is full. The surprise: without such a guard, a group near its limit can stand still
//! for hours, because the kernel always finds a page to reclaim.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use plumbing::Fault;
use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::cgroup::usage::number;
use plumbing::cgroup::verdict::Process;
use plumbing::process::target::read_at;
use plumbing::text::Text;
use rustix::fs::CWD;

use crate::ending::Members;
use crate::pressure::{self, Condition};
use crate::removal::members_of;
use crate::sites;

/// The pressure at which the guard looks: tasks waited for memory for a tenth of two seconds. In a small group the way from
/// `memory.high` to the limit takes hardly a second.
const PRESSURE: Condition = Condition::of_two_seconds("memory", 10);

/// The number of processes in a snapshot.
const LARGEST: usize = 5;

/// What the guard watches.
pub(crate) struct Guard<'m> {
    group: &'m Group,
    trigger: OwnedFd,
    /// The time between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
}

/// Refuses a machine on which the guard would not work.
pub(crate) fn require(hierarchies: &Hierarchies) -> Result<(), Fault> {
    let cannot = |why: &str| Fault::new(format!("cannot guard against running out of memory (--oom-guard): {why}"));
    match sites::hierarchy_of(hierarchies, "memory") {
        Ok(hierarchy) if hierarchy.version == 2 => Ok(()),
        Ok(_) => {
            Err(cannot("the memory controller is in a cgroup v1 hierarchy, which has no memory.high and no pressure"))
        }
        Err(fault) => Err(cannot(&fault.to_string())),
    }
}

impl<'m> Guard<'m> {
    /// Begins to watch the group; `None` in a dry run.
    pub(crate) fn open(members: &'m Members, grace: Duration) -> Result<Option<Guard<'m>>, Fault> {
        let Some(group) = members.v2() else { return Ok(None) };
        let trigger = pressure::trigger(Some(group), PRESSURE)?;
        Ok(trigger.map(|trigger| Guard { group, trigger, grace }))
    }

    /// Returns the descriptor that is ready for `POLLPRI` under pressure.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.trigger.as_fd()
    }

    /// Returns whether the group is full: at nineteen twentieths of `memory.high`, or of `memory.max` if that is less.
    pub(crate) fn is_full(&self) -> Result<bool, Fault> {
        let limits = [number(self.group, "memory.high")?, number(self.group, "memory.max")?];
        let current = number(self.group, "memory.current")?;
        let limit = limits.into_iter().flatten().min();
        Ok(limit.zip(current).is_some_and(|(limit, current)| current >= limit - limit / 20))
    }
}

/// Returns the largest processes of the group.
pub(crate) fn largest(members: &Members) -> Result<Vec<Process>, Fault> {
    let Some(group) = members.listing() else { return Ok(Vec::new()) };
    let page = rustix::param::page_size() as u64;
    let of_pid = |pid: i32| {
        let read = |file: &str| read_at(CWD, &format!("/proc/{pid}/{file}")).ok();
        let name = read("comm")?;
        let statm = String::from_utf8(read("statm")?).ok()?;
        let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
        let name = std::os::unix::ffi::OsStringExt::from_vec(name.strip_suffix(b"\n").unwrap_or(&name).to_vec());
        Some(Process { name: Text(name), memory: pages * page })
    };
    let mut all: Vec<_> = members_of(group, None)?.into_iter().filter_map(of_pid).collect();
    all.sort_by_key(|process| std::cmp::Reverse(process.memory));
    all.truncate(LARGEST);
    Ok(all)
}
