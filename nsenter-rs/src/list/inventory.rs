//! Finds namespaces: by the processes in them, by threads outside their process's namespaces, by open descriptors and
//! sockets, and by mounts, in our mount table and those of others. `namespaces(7)`, `pidfd_getfd(2)`, `proc(5)`.
//!
//! A namespace lives as long as anything refers to it, and no directory of the kernel lists them all. What vanishes
//! meanwhile, and what we may not inspect, is skipped: the result is what could be seen.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use plumbing::kernel::look;
use plumbing::kernel::nsfs::{namespace_by_id, namespace_flag};
use plumbing::process::descriptor_limits::DescriptorLimits;
use plumbing::process::foreign_descriptor::{MOST_SOCKETS, network_of_socket, networks_of_sockets};
use plumbing::process::namespace::{Kind, KindSet};
use plumbing::{Fault, narrate};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, fstat, makedev, openat, statx};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::holder::Holder;
use super::listed;
use super::mount::{self, Mount};
use super::mount_table_limits::MountTableLimits;
use super::process::{self, Process, numbers};

/// A namespace that was found.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) kind: Kind,
    pub(crate) processes: u32,
    /// The first process in it, or what else keeps it alive.
    pub(crate) holder: Holder,
}

/// The processes and namespaces that were found.
pub(crate) struct Inventory {
    pub(crate) proc: OwnedFd,
    pub(crate) kinds: KindSet,
    /// The processes, in the order of their pids.
    pub(crate) processes: Vec<Process>,
    pub(crate) namespaces: BTreeMap<u64, Namespace>,
    /// The device number that all namespaces have as files.
    device: u64,
    sockets: HashSet<u64>,
}

/// Where to search for namespaces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Only processes.
    Processes,
    /// Everything that can hold a namespace.
    Everything,
}

impl Inventory {
    /// Searches for namespaces of these kinds.
    pub(crate) fn take(kinds: KindSet, depth: Depth) -> Result<Inventory, Fault> {
        const GOAL: &str = "look through the processes";
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = look(GOAL, "openat(\"/proc\")", || openat(CWD, "/proc", flags, Mode::empty()))?;
        let own = look("read the device number of namespaces", "stat(\"/proc/self/ns/mnt\")", || {
            rustix::fs::stat("/proc/self/ns/mnt")
        })?;
        let (processes, namespaces) = (Vec::new(), BTreeMap::new());
        let mut inventory =
            Inventory { proc, kinds, processes, namespaces, device: own.st_dev, sockets: HashSet::new() };
        inventory.read_processes(depth);
        if depth == Depth::Everything {
            inventory.read_mounts();
            listed::add_to(&mut inventory);
        }
        Ok(inventory)
    }

    fn read_processes(&mut self, depth: Depth) {
        let mut wanted = self.kinds;
        if depth == Depth::Everything {
            // Mount tables are identified by their mount namespaces.
            wanted.insert(Kind::Mnt);
        }
        let mut pids = numbers(self.proc.as_fd());
        pids.sort_unstable();
        // Only a namespace without a process needs another holder, but a process in it may be found later.
        let (mut held, mut sockets) = (Vec::new(), Vec::new());
        let mut limits = DescriptorLimits::default();
        for pid in pids {
            let Some(dir) = process::open(self.proc.as_fd(), pid) else { continue };
            let process = Process::read(pid, dir.as_fd(), wanted);
            for kind in self.kinds.iter() {
                if let Some(inode) = process.namespace(kind) {
                    self.add_process(inode, kind, pid);
                }
            }
            if depth == Depth::Everything {
                let apart = process::threads_apart(&process, dir.as_fd(), self.kinds);
                held.extend(apart.into_iter().map(|(tid, kind, inode)| (inode, kind, Holder::Thread(pid, tid))));
                self.read_descriptors(pid, dir.as_fd(), &mut limits, &mut held, &mut sockets);
            }
            self.processes.push(process);
        }
        limits.remark();
        held.extend(networks_of(&sockets));
        for (inode, kind, holder) in held {
            self.add_holder(inode, kind, holder);
        }
    }

    fn add_process(&mut self, inode: u64, kind: Kind, pid: i32) {
        let holder = Holder::Process(pid);
        self.namespaces.entry(inode).or_insert(Namespace { kind, processes: 0, holder }).processes += 1;
    }

    /// Adds a namespace with this holder, unless it was found already: the first holder counts.
    pub(crate) fn add_holder(&mut self, inode: u64, kind: Kind, holder: Holder) {
        if self.kinds.contains(kind) {
            self.namespaces.entry(inode).or_insert(Namespace { kind, processes: 0, holder });
        }
    }

    fn read_descriptors(
        &mut self,
        pid: i32,
        dir: BorrowedFd<'_>,
        limits: &mut DescriptorLimits,
        held: &mut Vec<(u64, Kind, Holder)>,
        sockets: &mut Vec<(i32, i32)>,
    ) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(opened) = openat(dir, "fd", flags, Mode::empty()) else { return };
        let descriptors = numbers(opened.as_fd());
        let most = limits.take(dir, descriptors.len());
        for fd in descriptors.into_iter().take(most) {
            // A file server, which may not answer, is not asked.
            let flags = AtFlags::STATX_DONT_SYNC;
            let Ok(file) = statx(&opened, fd.to_string(), flags, StatxFlags::TYPE | StatxFlags::INO) else { continue };
            if makedev(file.stx_dev_major, file.stx_dev_minor) == self.device {
                if !self.namespaces.contains_key(&file.stx_ino) {
                    let kind = reopened(opened.as_fd(), &fd.to_string()).and_then(|namespace| kind_of(&namespace));
                    held.extend(kind.map(|kind| (file.stx_ino, kind, Holder::Descriptor(pid, fd))));
                }
            } else if FileType::from_raw_mode(file.stx_mode.into()) == FileType::Socket
                && self.kinds.contains(Kind::Net)
                && self.sockets.insert(file.stx_ino)
            {
                sockets.push((pid, fd));
            }
        }
    }

    fn read_mounts(&mut self) {
        for Mount { inode, kind, point } in mount::of_namespaces(CWD, "/proc/self/mountinfo", u64::MAX).mounts {
            self.add_holder(inode, kind, Holder::Mount(None, point));
        }
        let own = plumbing::process::target::own_namespace_inode(Kind::Mnt);
        let mut seen: HashSet<_> = own.into_iter().collect();
        let others: Vec<_> = self
            .processes
            .iter()
            .filter_map(|process| process.namespace(Kind::Mnt).filter(|table| seen.insert(*table)).map(|_| process.pid))
            .collect();
        let mut limits = MountTableLimits::new();
        for pid in others {
            let (author, most) = limits.of(self.proc.as_fd(), pid);
            let table = mount::of_namespaces(self.proc.as_fd(), &format!("{pid}/mountinfo"), most);
            limits.spend(author, &table);
            for Mount { inode, kind, point } in table.mounts {
                self.add_holder(inode, kind, Holder::Mount(Some(pid), point));
            }
        }
        limits.remark();
    }

    /// Returns whether the process is in the namespace.
    pub(crate) fn is_in(&self, pid: i32, inode: u64) -> bool {
        let kind = self.namespaces.get(&inode).map(|namespace| namespace.kind);
        kind.is_some_and(|kind| self.process(pid).is_some_and(|process| process.namespace(kind) == Some(inode)))
    }

    /// Returns the process with this pid.
    pub(crate) fn process(&self, pid: i32) -> Option<&Process> {
        self.processes.binary_search_by_key(&pid, |process| process.pid).ok().map(|index| &self.processes[index])
    }

    /// Returns the processes in a namespace.
    pub(crate) fn processes_in(&self, inode: u64) -> impl Iterator<Item = i32> {
        self.processes.iter().map(|process| process.pid).filter(move |pid| self.is_in(*pid, inode))
    }

    /// Opens a namespace through its holder; returns `None` if the holder has released it meanwhile, or if we may not
    /// open it.
    pub(crate) fn open(&self, inode: u64) -> Option<OwnedFd> {
        let namespace = self.namespaces.get(&inode)?;
        let kind = namespace.kind.proc_name();
        let opened = match &namespace.holder {
            Holder::Process(pid) => reopened(self.proc.as_fd(), &format!("{pid}/ns/{kind}")),
            Holder::Thread(pid, tid) => reopened(self.proc.as_fd(), &format!("{pid}/task/{tid}/ns/{kind}")),
            Holder::Descriptor(pid, fd) => reopened(self.proc.as_fd(), &format!("{pid}/fd/{fd}")),
            Holder::Socket(pid, fd) => namespace_of_socket(*pid, *fd),
            Holder::Mount(pid, point) => mount::open(self.proc.as_fd(), *pid, point, |file| self.is_namespace(file)),
            Holder::Listed { id, .. } => namespace_by_id(*id).ok(),
            Holder::Relative { of, relation } => {
                super::parent_and_owner::relative_of(self.open(*of)?.as_fd(), *relation)
            }
        };
        opened.filter(|opened| self.is_namespace(opened.as_fd()) && inode_of(opened) == Some(inode))
    }

    fn is_namespace(&self, file: BorrowedFd<'_>) -> bool {
        fstat(file).is_ok_and(|stat| stat.st_dev == self.device)
    }
}

/// Opens the target of a link in /proc. If it is something else by now, opening it must neither block nor give us a
/// controlling terminal.
fn reopened(dir: BorrowedFd<'_>, path: &str) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat(dir, path, flags, Mode::empty()).ok()
}

fn namespace_of_socket(pid: i32, fd: i32) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    network_of_socket("open the network of a socket", pidfd.as_fd(), fd).ok()
}

/// Returns the networks of these sockets, and says which sockets could not be examined.
fn networks_of(sockets: &[(i32, i32)]) -> Vec<(u64, Kind, Holder)> {
    let mut found = Vec::new();
    for some in sockets.chunks(MOST_SOCKETS) {
        match networks_of_sockets(some) {
            Ok(inodes) => {
                let known = some.iter().zip(inodes).filter(|(_, inode)| *inode != 0);
                found.extend(known.map(|((pid, fd), inode)| (inode, Kind::Net, Holder::Socket(*pid, *fd))));
            }
            Err(fault) => narrate::remark(format_args!("did not examine {} sockets: {fault}", some.len())),
        }
    }
    found
}

/// Returns the kind of an open namespace.
pub(crate) fn kind_of(namespace: &OwnedFd) -> Option<Kind> {
    namespace_flag(namespace).ok().and_then(Kind::of_flag)
}

/// Returns the inode number of an open namespace.
pub(crate) fn inode_of(namespace: &OwnedFd) -> Option<u64> {
    fstat(namespace).ok().map(|stat| stat.st_ino)
}
