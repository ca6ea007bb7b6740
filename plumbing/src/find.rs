//! Finding running containers by name, id or pid, using only /proc and the runtimes' state files. `proc(5)`.
//!
//! Each source makes *claims*; a claim that the kernel does not confirm is ignored. The surprise: several claims can be
//! about one process (docker runs on containerd, podman on crun); then the runtime that knows the name wins, and root's
//! claims come first.

mod claim;
mod container;
mod containerd;
mod docker;
mod getopt;
mod held_command;
mod hold;
mod kubernetes;
mod lxc;
mod netns;
mod nspawn;
mod oci;
mod own_groups;
mod pid_or_name;
mod population;
mod processes;
mod read_limits;
mod reference;
mod resolve;
mod runtime;
mod similar;
mod state_directory;
mod stopped;
mod storage;
mod unit;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::cgroup::hierarchy::{Hierarchies, memberships};
use crate::process::namespace::Kind;
use crate::process::startup;
use crate::process::target::{Target, own_namespace_inode};
use crate::{Fault, Status, narrate};

use claim::{Claim, Refused};
pub use container::Container;
pub use held_command::{command as command_of, model as model_of};
pub use pid_or_name::{OpenTarget, PidOrName};
use population::Population;
use processes::Process;
use read_limits::ReadLimits;
pub use reference::Reference;
pub use resolve::{Found, resolve};
pub use runtime::Runtime;
use state_directory::{StateDirectory, Unusable};
pub use stopped::{End, Stopped, stopped, stored};

/// All containers that run here, as far as we may examine them.
#[derive(Default)]
pub struct Containers {
    /// The containers, ordered by pid.
    pub all: Vec<Container>,
    /// Claims that were not confirmed, and the reasons.
    refused: Vec<Refused>,
    /// State files that could not be used.
    passed_over: BTreeSet<String>,
}

/// The state that the sources share.
struct Search<'a> {
    own: u32,
    /// The one container that is searched for.
    wanted: Option<&'a Reference>,
    hierarchies: Hierarchies,
    processes: Vec<Process>,
    /// The processes of all pid namespaces, for all containers; found when they are needed.
    population: Rc<OnceCell<Population>>,
    passed_over: RefCell<BTreeSet<String>>,
    /// The rest of the limits on each author's files.
    limits: RefCell<BTreeMap<u32, Rc<ReadLimits>>>,
}

/// A function that returns the claims of one kind of runtime.
type Source = fn(&Search<'_>) -> Vec<Claim>;

/// The sources that read files.
const FILES: &[Source] = &[docker::claims, storage::claims, containerd::claims, nspawn::registered, oci::claims];

/// The sources that rely on processes.
const PROCESSES: &[Source] = &[storage::monitored, nspawn::unregistered, lxc::claims, hold::claims];

/// Finds all containers. If one is `wanted`, skips files of other users that cannot be about that one.
pub fn all(wanted: Option<&Reference>) -> Result<Containers, Fault> {
    let mut search = Search::begin(wanted)?;
    let mut containers = Containers::default();
    containers.judge(&search, FILES.iter().flat_map(|source| source(&search)).collect());
    // A claim by a process in a container is that container's own, so such processes are dropped. Containers must be
    // found by files first, because some are found only by files.
    search.processes.retain(|process| !containers.contain(&process.target));
    containers.judge(&search, PROCESSES.iter().flat_map(|source| source(&search)).collect());
    search.limits.borrow().values().filter_map(|it| it.remark()).for_each(narrate::remark);
    containers.passed_over = search.passed_over.into_inner();
    Ok(containers)
}

/// Prints the record of the container to which a name refers.
pub fn print(reference: &Reference) -> Result<Status, Fault> {
    startup::print(&container(reference)?.record()?.to_line())
}

/// Returns the container to which a name refers.
pub fn container(reference: &Reference) -> Result<Container, Fault> {
    match resolve(reference)? {
        Found::Container(container) => Ok(*container),
        Found::Network(path) => Err(Fault::new(format!(
            "cannot use {} as a container: it is a named network namespace, which has no process",
            reference.shown()
        ))
        .with_remedy(format!("enter it with --net={}", path.display()))),
    }
}

impl Containers {
    /// Returns the container that a process is in: one that shares a namespace with it, but not with us, or whose
    /// cgroup it is in.
    pub fn of(&self, process: &Target) -> Option<&Container> {
        let is_first = |container: &&Container| container.target.pid() == process.pid();
        let by_namespace = || {
            // A namespace that several containers share (those of a pod, or of a user) identifies none of them; another
            // kind may.
            let kinds = [Kind::Pid, Kind::Mnt, Kind::Cgroup, Kind::Uts, Kind::Ipc, Kind::Net, Kind::User];
            kinds.iter().find_map(|kind| self.of_namespace(*kind, process.namespace_inode(*kind).ok()??))
        };
        self.all.iter().find(is_first).or_else(by_namespace).or_else(|| self.by_cgroup(process))
    }

    /// Returns the only container whose first process is in this namespace, if we are not in it; of several, the only
    /// one of root.
    pub fn of_namespace(&self, kind: Kind, inode: u64) -> Option<&Container> {
        if own_namespace_inode(kind) == Some(inode) {
            return None;
        }
        let found = self.all.iter().filter(|it| it.inodes[kind as usize] == Some(inode));
        // A user can claim a process of his own in a container of root.
        let (of_root, of_users): (Vec<_>, Vec<_>) = found.partition(|it| it.author == 0);
        let claims = if of_root.is_empty() { of_users } else { of_root };
        if let [only] = claims[..] { Some(only) } else { None }
    }

    /// Reports whether a process is in one of the containers.
    fn contain(&self, process: &Target) -> bool {
        let inode = process.namespace_inode(Kind::Pid).ok().flatten();
        let found = inode.and_then(|inode| self.of_namespace(Kind::Pid, inode)).or_else(|| self.by_cgroup(process));
        found.is_some()
    }

    /// Adds the containers whose claims the kernel confirms.
    fn judge(&mut self, search: &Search, claims: Vec<Claim>) {
        for claim in claims {
            match claim.verify(&search.hierarchies) {
                Ok(container) => self.all.push(Container { population: search.population.clone(), ..container }),
                Err(refused) => self.refused.push(*refused),
            }
        }
        self.all.sort_by_key(|it| (it.target.pid(), it.author != 0, it.runtime));
        self.all.dedup_by_key(|container| container.target.pid());
    }

    fn by_cgroup(&self, process: &Target) -> Option<&Container> {
        let cgroup = process.read("cgroup").ok()?;
        let is_in = |(hierarchy, group): &(Vec<String>, PathBuf)| {
            memberships(cgroup.as_bytes()).any(|(its, path)| its == *hierarchy && path.starts_with(group))
        };
        let found = self.all.iter().filter(|container| container.group.as_ref().is_some_and(is_in));
        found.min_by_key(|container| container.author != 0)
    }
}

impl<'a> Search<'a> {
    fn begin(wanted: Option<&'a Reference>) -> Result<Search<'a>, Fault> {
        Ok(Search {
            wanted,
            limits: RefCell::default(),
            population: Rc::default(),
            own: rustix::process::geteuid().as_raw(),
            hierarchies: Hierarchies::discover()?,
            processes: processes::of_runtimes()?,
            passed_over: RefCell::default(),
        })
    }

    /// Returns what a source could read; a reason why it could not is kept for the error if nothing is found.
    fn usable<T>(&self, read: Result<T, Unusable>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(Unusable::Absent | Unusable::LeftOut) => None,
            Err(Unusable::Wrong(what)) => {
                self.passed_over.borrow_mut().insert(what);
                None
            }
        }
    }

    /// Opens a directory of the system, as [`StateDirectory::of_system`].
    fn directory(&self, path: &Path) -> Option<StateDirectory> {
        self.usable(StateDirectory::of_system(path)).map(|dir| self.within(dir))
    }

    /// Opens a directory of a user, as [`StateDirectory::of_user`].
    fn directory_of(&self, uid: u32, path: &Path) -> Option<StateDirectory> {
        self.usable(StateDirectory::of_user(uid, path)).map(|dir| self.within(dir))
    }

    fn within(&self, dir: StateDirectory) -> StateDirectory {
        let author = dir.author;
        let mut all = self.limits.borrow_mut();
        let limits = all.entry(author).or_insert_with(|| ReadLimits::of(author, self.trusts(author)));
        dir.within(limits.clone())
    }

    fn trusts(&self, author: u32) -> bool {
        author == 0 || author == self.own
    }

    /// Returns the only container of interest among this author's, or `None` if all are: all containers of root and of
    /// ourselves are needed, because a claim by a process in one of them does not count.
    fn one_of(&self, author: u32) -> Option<&Reference> {
        self.wanted.filter(|_| !self.trusts(author))
    }

    /// Returns the runtimes' own processes of this program, as far as we trust them to say where they keep their files.
    fn trusted(&self, program: &'static str) -> impl Iterator<Item = &Process> {
        let is_trusted = move |it: &&Process| match it.author {
            0 => it.shares_mounts(),
            author => author == self.own,
        };
        self.processes.iter().filter(move |it| it.program == program).filter(is_trusted)
    }
}
