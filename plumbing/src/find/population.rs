//! The processes of each pid namespace, found in one pass over /proc. `pid_namespaces(7)`, `ioctl_nsfs(2)`.
//!
//! The surprise: a user may have many containers and many processes. A pass for each container would cost their product.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::read_dir;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, fstat, openat, stat};

use crate::Fault;
use crate::kernel::look;
use crate::kernel::nsfs::namespace_parent;
use crate::process::namespace::Kind;
use crate::process::target::own_namespace_inode;

/// The processes outside of our own pid namespace, as far as we may examine them. Each may have ended since, and its pid may
/// be another's.
pub(super) struct Population {
    processes: BTreeMap<u64, Vec<i32>>,
    /// The namespaces that were made in each namespace.
    children: BTreeMap<u64, Vec<u64>>,
}

impl Population {
    pub(super) fn look() -> Result<Population, Fault> {
        let ours = own_namespace_inode(Kind::Pid);
        let mut processes: BTreeMap<u64, Vec<i32>> = BTreeMap::new();
        let entries = look("list the processes", "readdir(\"/proc\")", || read_dir("/proc"))?;
        for pid in entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            let Ok(stat) = stat(path(pid)) else { continue };
            if Some(stat.st_ino) != ours {
                processes.entry(stat.st_ino).or_default().push(pid);
            }
        }
        let mut parents = BTreeMap::new();
        for (inode, pids) in &processes {
            if let Some(namespace) = pids.iter().find_map(|pid| open(*pid, *inode)) {
                trace(namespace, *inode, ours, &mut parents);
            }
        }
        let mut children: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        parents.into_iter().for_each(|(inode, parent)| children.entry(parent).or_default().push(inode));
        Ok(Population { processes, children })
    }

    /// Returns the processes in a pid namespace, and in those that were made in it.
    pub(super) fn within(&self, namespace: u64) -> Vec<i32> {
        let mut found = Vec::new();
        // A number may have become another namespace's during the pass, so that a parent seems to be below its child.
        let mut seen = BTreeSet::new();
        let mut ahead = vec![namespace];
        while let Some(inode) = ahead.pop() {
            if seen.insert(inode) {
                found.extend(self.processes.get(&inode).into_iter().flatten());
                ahead.extend(self.children.get(&inode).into_iter().flatten());
            }
        }
        found
    }
}

fn path(pid: i32) -> String {
    format!("/proc/{pid}/ns/pid")
}

/// Opens the pid namespace of a process, if it still is the one with this number.
fn open(pid: i32, inode: u64) -> Option<OwnedFd> {
    let file = openat(CWD, path(pid), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    (fstat(&file).ok()?.st_ino == inode).then_some(file)
}

/// Notes the parents of a namespace, up to ours or to one whose parents are known.
fn trace(mut namespace: OwnedFd, mut inode: u64, ours: Option<u64>, parents: &mut BTreeMap<u64, u64>) {
    while Some(inode) != ours && !parents.contains_key(&inode) {
        // The kernel does not show the parent of our own namespace, or one that is not below ours.
        let Ok(parent) = namespace_parent(&namespace) else { return };
        let Ok(stat) = fstat(&parent) else { return };
        parents.insert(inode, stat.st_ino);
        (namespace, inode) = (parent, stat.st_ino);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processes_of_a_namespace_are_those_of_all_below_it() {
        let processes = [(1, vec![10, 11]), (2, vec![20]), (3, vec![30]), (5, vec![50])].into();
        let children = [(1, vec![2, 4]), (4, vec![3, 1])].into();
        let population = Population { processes, children };
        let within = |namespace| BTreeSet::from_iter(population.within(namespace));
        assert_eq!(within(1), [10, 11, 20, 30].into());
        assert_eq!((within(2), within(5), within(9)), ([20].into(), [50].into(), [].into()));
    }
}
