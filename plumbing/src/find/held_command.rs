//! The command that shows how a held container is confined: of those that were entered or that lost their parent, the
//! one that may do the least. `capabilities(7)`, `pid_namespaces(7)`.
//!
//! The surprise: the age of a process shows nothing. An administrator may have entered with all rights before the
//! container's program forked and ended, and only the fork would be left to show the confinement. A confinement never
//! becomes weaker, so the process with the least rights is no weaker than the container.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use super::population::Population;
use crate::Fault;
use crate::kernel::nsfs::namespace_parent;
use crate::pipeline::mark::has_mark;
use crate::process::namespace::{Kind, KindSet};
use crate::process::target::{Target, own_namespace_inode, status_field};
use rustix::fs::{Mode, OFlags, fstat, openat};

/// The maximum depth of pid namespaces; `pid_namespaces(7)`.
const DEEPEST: usize = 32;

/// A process in the container.
struct Candidate {
    target: Target,
    parent: i32,
    start_time: u64,
    /// `None` if its rights count in another user namespace, or cannot be read.
    rights: Option<Rights>,
    /// Whether it is in all namespaces of the init.
    shares: bool,
}

/// What a command may do, without regard to its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rights {
    bounding: u64,
    permitted: u64,
    no_new_privs: bool,
    filters: u32,
}

/// Returns the command that represents the container of this init; `None` for a process that is no such init. If the
/// container uses the host's pid namespace, a command cannot be distinguished from a process that entered, so the
/// result is `None`, too.
pub fn command(init: &Target) -> Option<Target> {
    command_among(init, &Population::look().ok()?)
}

/// Returns the same, of processes that were seen before.
pub(super) fn command_among(init: &Target, seen: &Population) -> Option<Target> {
    let shares = |it: &Candidate| it.shares && it.rights.is_some();
    first(inside(init, seen).ok().flatten()?.into_iter().filter(shares)).map(|it| it.target)
}

/// Returns the command whose rights a further command may be given; `None` if no command runs. Fails if no command has
/// the least rights in every respect: then each could have more than the container.
pub fn model(init: &Target) -> Result<Option<Target>, Fault> {
    let all = inside(init, &Population::look()?)?.unwrap_or_default();
    let unclear = |why: String| {
        let goal = format!("cannot determine how the commands of the container with init {} are confined", init.pid());
        Err(Fault::new(format!("{goal}: {why}")).with_remedy("use the record that chroot-rs printed"))
    };
    if let Some(hidden) = all.iter().find(|it| it.rights.is_none()) {
        let pid = hidden.target.pid();
        return unclear(format!("process {pid} is in another user namespace, or its rights cannot be read"));
    }
    let rights: Vec<_> = all.iter().filter_map(|it| Some((it.target.pid(), it.rights?))).collect();
    let Some(least) = first(all.into_iter()) else { return Ok(None) };
    let exceeds = |(_, other): &&(i32, Rights)| least.rights.is_none_or(|its| !its.is_within(other));
    match rights.iter().find(exceeds) {
        Some((other, _)) => {
            unclear(format!("processes {} and {other} each have rights that the other lacks", least.target.pid()))
        }
        None => Ok(Some(least.target)),
    }
}

/// Returns the process with the least rights, the oldest of those with equal rights.
fn first(all: impl Iterator<Item = Candidate>) -> Option<Candidate> {
    all.min_by_key(|it| (it.rights.map(|rights| rights.order()), it.start_time, it.target.pid()))
}

/// Returns the processes in the container whose parent is not in it: those that were entered, and those that lost
/// their parent. All others have at most the rights of one of these.
fn inside(init: &Target, seen: &Population) -> Result<Option<Vec<Candidate>>, Fault> {
    let mut kinds = init.foreign_kinds()?;
    if !kinds.contains(Kind::Pid) || !has_mark(init).unwrap_or(false) {
        return Ok(None);
    }
    // The init may have been moved to another cgroup namespace than the command.
    kinds.remove(Kind::Cgroup);
    kinds.insert(Kind::User);
    let mut namespaces = PidNamespaces::of(init)?;
    let pids = init.namespace_inode(Kind::Pid)?.map(|inode| seen.within(inode)).unwrap_or_default();
    let mut all = Vec::new();
    for pid in pids.into_iter().filter(|pid| *pid != init.pid()) {
        // Checked again: it may be another process by now.
        let Ok(target) = Target::of_pid(pid) else { continue };
        if namespaces.contain(&target) {
            all.extend(Candidate::of(init, kinds, target));
        }
    }
    let pids: Vec<_> = all.iter().map(|it| it.target.pid()).collect();
    all.retain(|it| !pids.contains(&it.parent));
    Ok(Some(all))
}

impl Candidate {
    /// Returns `None` for a process that has ended.
    fn of(init: &Target, kinds: KindSet, target: Target) -> Option<Candidate> {
        let is_same = |kind| {
            let inode = |target: &Target| target.namespace_inode(kind).ok().flatten();
            inode(init).is_some_and(|its| inode(&target) == Some(its))
        };
        let status = target.read("status").ok()?;
        // The first thread may have ended without the process.
        if target.has_ended().unwrap_or(false) {
            return None;
        }
        Some(Candidate {
            parent: status_field(&status, "PPid")?.parse().ok()?,
            start_time: target.start_time().ok()?,
            rights: Rights::of(&status).filter(|_| is_same(Kind::User)),
            shares: kinds.iter().all(is_same),
            target,
        })
    }
}

impl Rights {
    fn of(status: &str) -> Option<Rights> {
        let set = |field| u64::from_str_radix(status_field(status, field)?, 16).ok();
        let number = |field| status_field(status, field)?.parse::<u32>().ok();
        Some(Rights {
            bounding: set("CapBnd")?,
            permitted: set("CapPrm")?,
            no_new_privs: number("NoNewPrivs")? != 0,
            // Linux before 5.9 does not count the filters.
            filters: number("Seccomp_filters").or_else(|| number("Seccomp"))?,
        })
    }

    fn is_within(&self, other: &Rights) -> bool {
        self.bounding & !other.bounding == 0
            && self.permitted & !other.permitted == 0
            && self.no_new_privs >= other.no_new_privs
            && self.filters >= other.filters
    }

    /// Returns a key by which rights that are within others come first.
    fn order(&self) -> impl Ord + use<> {
        let count = (self.bounding.count_ones(), self.permitted.count_ones());
        (count, !self.no_new_privs, Reverse(self.filters))
    }
}

/// Pid namespaces, and whether each is the container's or was made in it.
struct PidNamespaces {
    known: BTreeMap<u64, bool>,
}

impl PidNamespaces {
    fn of(init: &Target) -> Result<PidNamespaces, Fault> {
        let own = init.namespace_inode(Kind::Pid)?.map(|inode| (inode, true));
        let ours = own_namespace_inode(Kind::Pid).map(|inode| (inode, false));
        Ok(PidNamespaces { known: own.into_iter().chain(ours).collect() })
    }

    fn contain(&mut self, process: &Target) -> bool {
        let Ok(Some(inode)) = process.namespace_inode(Kind::Pid) else { return false };
        if let Some(known) = self.known.get(&inode) {
            return *known;
        }
        let file = openat(process.dir(), "ns/pid", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let is_below = file.is_ok_and(|file| self.is_below(file));
        self.known.insert(inode, is_below);
        is_below
    }

    fn is_below(&self, mut namespace: OwnedFd) -> bool {
        for _ in 0..DEEPEST {
            // The kernel does not show the parent of our own namespace.
            let Ok(parent) = namespace_parent(&namespace) else { return false };
            if let Some(known) = fstat(&parent).ok().and_then(|stat| self.known.get(&stat.st_ino)) {
                return *known;
            }
            namespace = parent;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_compared_in_every_respect() {
        let text = "CapPrm:\t07\nCapBnd:\t0f\nNoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t3\n";
        let rights = Rights::of(text).unwrap();
        assert_eq!(rights, Rights { bounding: 15, permitted: 7, no_new_privs: false, filters: 3 });
        let fewer = Rights { bounding: 7, no_new_privs: true, ..rights };
        assert!(fewer.is_within(&rights) && !rights.is_within(&fewer) && fewer.order() < rights.order());
        let other = Rights { permitted: 8, ..rights };
        assert!(!other.is_within(&rights) && !rights.is_within(&other));
        let unfiltered = Rights { filters: 0, ..fewer };
        assert!(!unfiltered.is_within(&rights));
        assert_eq!(Rights::of("CapPrm:\t07\n"), None);
    }
}
