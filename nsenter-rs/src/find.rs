//! Finding containers: what runs here, by name, id or pid, from /proc and the runtimes' state files alone. `proc(5)`.
//!
//! Each source tells *claims*; a claim that the kernel does not confirm is none. The surprise: several may be about one
//! process (docker runs on containerd, podman on crun); then the one that knows the name wins, and root's word first.

mod allowance;
mod claim;
mod containerd;
mod docker;
mod hold;
mod kubernetes;
mod lxc;
pub(crate) mod netns;
mod nspawn;
mod oci;
mod place;
mod processes;
mod reference;
mod resolve;
mod runtime;
mod storage;
mod unit;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use plumbing::hierarchy::{Hierarchies, memberships};
use plumbing::namespace::Kind;
use plumbing::record::{Namespace, Record};
use plumbing::target::{Target, own_namespace_inode};
use plumbing::text::Text;
use plumbing::{Fault, Status, narrate, startup};
use serde::Serialize;

use allowance::Allowance;
use claim::{Claim, Refused};
pub(crate) use hold::command as command_of;
use place::{Place, Unusable};
use processes::Process;
pub(crate) use reference::Reference;
pub(crate) use resolve::{Found, resolve};
pub(crate) use runtime::Runtime;

/// A container that runs.
pub(crate) struct Container {
    /// Its first process.
    pub(crate) target: Target,
    /// Who runs it.
    pub(crate) runtime: Runtime,
    /// What it is called; the first is the one to show.
    pub(crate) names: Vec<OsString>,
    /// The runtime's own id, where it has one.
    pub(crate) id: Option<String>,
    /// The image that it was made from, where its runtime notes it where we can read.
    pub(crate) image: Option<String>,
    /// Kubernetes: `NAMESPACE/POD`.
    pub(crate) pod: Option<String>,
    /// The user whose word the names are; 0 for those that root's runtimes run.
    pub(crate) author: u32,
    /// The cgroup that was made for it, and the controllers of its hierarchy; unknown where it has none, or shares one.
    group: Option<(Vec<String>, PathBuf)>,
    /// Its namespaces, in the order of `Kind::ALL`.
    inodes: [Option<u64>; Kind::ALL.len()],
}

/// All containers that run here, as far as we may look.
#[derive(Default)]
pub(crate) struct Containers {
    /// In the order of their pids.
    pub(crate) all: Vec<Container>,
    /// Claims that were not confirmed, and why.
    refused: Vec<Refused>,
    /// State files that could not be used.
    passed_over: BTreeSet<String>,
}

/// What the sources look at.
struct Search<'a> {
    own: u32,
    /// The one container that is looked for.
    wanted: Option<&'a Reference>,
    hierarchies: Hierarchies,
    processes: Vec<Process>,
    passed_over: RefCell<BTreeSet<String>>,
    /// By author.
    allowances: RefCell<BTreeMap<u32, Rc<Allowance>>>,
}

/// The record's member `container`.
#[derive(Debug, Serialize)]
struct Origin<'a> {
    runtime: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<&'a str>,
    user: u32,
}

/// Tells what one kind of runtime runs.
type Source = fn(&Search<'_>) -> Vec<Claim>;

/// Those that read files.
const FILES: &[Source] = &[docker::claims, storage::claims, containerd::claims, nspawn::registered, oci::claims];

/// Those that take the word of a process.
const PROCESSES: &[Source] = &[storage::monitored, nspawn::unregistered, lxc::claims, hold::claims];

/// Looks for all of them; where one is `wanted`, not in files of another user's that cannot be about it.
pub(crate) fn all(wanted: Option<&Reference>) -> Result<Containers, Fault> {
    let mut search = Search::begin(wanted)?;
    let mut containers = Containers::default();
    containers.judge(&search, FILES.iter().flat_map(|source| source(&search)).collect());
    // What a process in a container says is that container's word. There are containers that only their files tell.
    search.processes.retain(|process| !containers.contain(&process.target));
    containers.judge(&search, PROCESSES.iter().flat_map(|source| source(&search)).collect());
    search.allowances.borrow().values().filter_map(|it| it.remark()).for_each(narrate::remark);
    containers.passed_over = search.passed_over.into_inner();
    Ok(containers)
}

/// Prints the record of the one container that is meant.
pub(crate) fn tell(reference: &Reference) -> Result<Status, Fault> {
    startup::print(&container(reference)?.record()?.to_line())
}

/// The one container that is meant.
pub(crate) fn container(reference: &Reference) -> Result<Container, Fault> {
    match resolve(reference)? {
        Found::Container(container) => Ok(*container),
        Found::Network(path) => Err(Fault::new(format!(
            "cannot take {} for a container: it is a named network namespace, which has no process of its own",
            reference.shown()
        ))
        .with_remedy(format!("enter it with --net={}", path.display()))),
    }
}

impl Container {
    /// The name to show, safe on a terminal.
    pub(crate) fn shown(&self) -> String {
        self.name().shown()
    }

    /// The first of its names.
    pub(crate) fn name(&self) -> Text {
        Text(self.names.first().cloned().unwrap_or_default())
    }

    /// The record that names it.
    pub(crate) fn record(&self) -> Result<Record, Fault> {
        let mut record = Record::new(Some(&self.name()), self.target.identity()?)?;
        record.set_namespaces(&self.namespaces())?;
        let Container { id, image, pod, .. } = self;
        let (id, image, pod) = (id.as_deref(), image.as_deref(), pod.as_deref());
        record.set("container", &Origin { runtime: self.runtime.name(), id, image, pod, user: self.author })?;
        // Of any other container, the kernel tells by its first process.
        if let Some(group) = self.command().and_then(|command| hold::groups(&self.target, &command).transpose()) {
            record.set("cgroup", &group?)?;
        }
        Ok(record)
    }

    /// The command by which to judge a container whose first process is none.
    pub(crate) fn command(&self) -> Option<Target> {
        if self.runtime == Runtime::Hold { command_of(&self.target) } else { None }
    }

    /// Its namespaces, and which of them are not ours.
    pub(crate) fn namespaces(&self) -> Vec<(Kind, Namespace)> {
        let mut namespaces = Vec::new();
        for (kind, inode) in Kind::ALL.into_iter().zip(self.inodes) {
            if let Some(inode) = inode {
                namespaces.push((kind, Namespace { inode, private: Some(inode) != own_namespace_inode(kind) }));
            }
        }
        namespaces
    }

    /// One line about it, to tell it from others of its name; with the words that mean it and no other.
    fn told(&self, own: u32) -> String {
        let id = self.id.as_deref().filter(|id| reference::is_random(id)).map(|id| format!(" {}", &id[..12]));
        let whose = if [0, own].contains(&self.author) { String::new() } else { format!(" of user {}", self.author) };
        let (name, runtime) = (self.shown(), self.runtime.name());
        format!("{name} ({runtime}{}{whose}, pid {})", id.unwrap_or_default(), self.target.pid())
    }
}

impl Containers {
    /// The container that a process is in: it shares a namespace with one that we do not, or lies in its cgroup.
    pub(crate) fn of(&self, process: &Target) -> Option<&Container> {
        let is_first = |container: &&Container| container.target.pid() == process.pid();
        let by_namespace = || {
            // What containers of a pod share, or a user's containers, tells none of them; but then another kind may.
            let kinds = [Kind::Pid, Kind::Mnt, Kind::Cgroup, Kind::Uts, Kind::Ipc, Kind::Net, Kind::User];
            kinds.iter().find_map(|kind| self.of_namespace(*kind, process.namespace_inode(*kind).ok()??))
        };
        self.all.iter().find(is_first).or_else(by_namespace).or_else(|| self.by_cgroup(process))
    }

    /// The one container whose first process is in this namespace, where we are not.
    pub(crate) fn of_namespace(&self, kind: Kind, inode: u64) -> Option<&Container> {
        if own_namespace_inode(kind) == Some(inode) {
            return None;
        }
        let mut found = self.all.iter().filter(|it| it.inodes[kind as usize] == Some(inode));
        found.next().filter(|_| found.next().is_none())
    }

    /// Whether a process is in one of them.
    fn contain(&self, process: &Target) -> bool {
        let inode = process.namespace_inode(Kind::Pid).ok().flatten();
        let found = inode.and_then(|inode| self.of_namespace(Kind::Pid, inode)).or_else(|| self.by_cgroup(process));
        found.is_some()
    }

    /// Adds what holds of these claims.
    fn judge(&mut self, search: &Search, claims: Vec<Claim>) {
        for claim in claims {
            match claim.verify(&search.hierarchies) {
                Ok(container) => self.all.push(container),
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
        self.all.iter().find(|container| container.group.as_ref().is_some_and(is_in))
    }
}

impl<'a> Search<'a> {
    fn begin(wanted: Option<&'a Reference>) -> Result<Search<'a>, Fault> {
        Ok(Search {
            wanted,
            allowances: RefCell::default(),
            own: rustix::process::geteuid().as_raw(),
            hierarchies: Hierarchies::discover()?,
            processes: processes::of_runtimes()?,
            passed_over: RefCell::default(),
        })
    }

    /// What a source needs and has; what is wrong with it is kept for whoever does not find what he looks for.
    fn usable<T>(&self, told: Result<T, Unusable>) -> Option<T> {
        match told {
            Ok(told) => Some(told),
            Err(Unusable::Absent | Unusable::LeftOut) => None,
            Err(Unusable::Wrong(what)) => {
                self.passed_over.borrow_mut().insert(what);
                None
            }
        }
    }

    /// A directory of the system, as [`Place::of_system`].
    fn place(&self, path: &Path) -> Option<Place> {
        self.usable(Place::of_system(path)).map(|place| self.within(place))
    }

    /// A user's directory, as [`Place::of_user`].
    fn place_of(&self, uid: u32, path: &Path) -> Option<Place> {
        self.usable(Place::of_user(uid, path)).map(|place| self.within(place))
    }

    fn within(&self, place: Place) -> Place {
        let author = place.author;
        let mut all = self.allowances.borrow_mut();
        let allowance = all.entry(author).or_insert_with(|| Allowance::of(author, self.trusts(author)));
        place.within(allowance.clone())
    }

    fn trusts(&self, author: u32) -> bool {
        author == 0 || author == self.own
    }

    /// The container that alone is of interest among this author's. All of root's are, and our own: what a process in one
    /// of them says is its word.
    fn one_of(&self, author: u32) -> Option<&Reference> {
        self.wanted.filter(|_| !self.trusts(author))
    }

    /// The runtimes' own processes of this program, as far as we take their word for where they keep their files.
    fn trusted(&self, program: &'static str) -> impl Iterator<Item = &Process> {
        let is_trusted = move |it: &&Process| match it.author {
            0 => it.shares_mounts(),
            author => author == self.own,
        };
        self.processes.iter().filter(move |it| it.program == program).filter(is_trusted)
    }
}
