//! The namespaces to enter: opened while we are outside, then joined. `setns(2)`, `ioctl_nsfs(2)`.
//!
//! One call can join all namespaces of a process at once. The surprise is the user namespace: its owner gains from it
//! the right to join the others, but root outside may lose the rights that the others need. So both orders are tried.

use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::nsfs::namespace_flag;
use plumbing::kernel::{call, look, own};
use plumbing::process::foreign_descriptor;
use plumbing::process::namespace::{Kind, KindSet};
use plumbing::process::target::{OWN_USER, Target, own_namespace_inode};
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::{namespace_id, userns_owners};

/// The source of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The namespace of the target.
    Target,
    /// A file of nsfs: /proc/PID/ns/*, or a bind mount of such a file.
    File(PathBuf),
    /// The kernel's id of the namespace.
    Id(u64),
    /// The network namespace of the socket that is this descriptor of the target.
    Socket(RawFd),
}

/// The requested namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Whether to enter all namespaces of the target that are not already ours.
    pub(crate) all: bool,
    /// Single namespaces, entered even if they are already ours.
    pub(crate) sources: Vec<(Kind, Source)>,
    /// Whether to enter the owner of the others, or the parent of the user namespace among them.
    pub(crate) user_parent: bool,
}

/// The namespaces to enter, opened.
#[derive(Default)]
pub(crate) struct OpenNamespaces<'a> {
    /// The target, and the kinds that are entered through its pidfd.
    pub(crate) of_target: Option<(&'a Target, KindSet)>,
    /// Namespaces that are opened one by one.
    files: Vec<File>,
    /// Whether processes inside could see us. It stays true after a pid namespace has been joined for children.
    crosses_border: bool,
    /// Whether somebody else may see the command, or trace it as the owner of its user namespace.
    exposes: bool,
}

struct File {
    kind: Kind,
    shown: String,
    fd: OwnedFd,
}

impl Selection {
    /// Opens the requested namespaces.
    pub(crate) fn open<'a>(&self, target: Option<&'a Target>) -> Result<OpenNamespaces<'a>, Fault> {
        let mut namespaces = OpenNamespaces::default();
        let mut of_target: KindSet = match target {
            Some(target) if self.all => target.foreign_kinds()?,
            _ => KindSet::EMPTY,
        };
        for (kind, source) in &self.sources {
            of_target.remove(*kind);
            let (shown, fd) = match (source, target) {
                (Source::Id(id), _) => (format!("namespace {id}"), namespace_id::open(*kind, *id)?),
                (Source::File(path), _) => (path.display().to_string(), open_file(*kind, path)?),
                (Source::Socket(fd), Some(target)) => {
                    (format!("descriptor {fd} of process {}", target.pid()), of_socket(target, *fd)?)
                }
                _ => {
                    of_target.insert(*kind);
                    continue;
                }
            };
            namespaces.files.push(File { kind: *kind, shown, fd });
        }
        namespaces.of_target = target.map(|target| (target, of_target));
        if self.user_parent {
            namespaces.replace_user_by_parent()?;
        }
        Ok(namespaces.judged())
    }
}

impl<'a> OpenNamespaces<'a> {
    /// Selects all namespaces of the target that are not already ours.
    pub(crate) fn foreign(target: &'a Target) -> Result<OpenNamespaces<'a>, Fault> {
        let of_target = Some((target, target.foreign_kinds()?));
        Ok(OpenNamespaces { of_target, ..OpenNamespaces::default() }.judged())
    }

    fn judged(mut self) -> Self {
        let kinds = self.kinds();
        self.crosses_border = kinds.contains(Kind::Mnt) || kinds.contains(Kind::Pid);
        self.exposes = self.crosses_border || self.has_strangers_user();
        self
    }

    /// Reports whether the user namespace to enter is another user's. One that cannot be examined is.
    fn has_strangers_user(&self) -> bool {
        let user = self.steps(|kind| kind == Kind::User).next();
        user.is_some_and(|user| user.open().map_or(true, |(_, fd)| userns_owners::is_strangers(&fd)))
    }

    /// Returns the kinds of all namespaces to enter.
    pub(crate) fn kinds(&self) -> KindSet {
        let mut kinds = self.of_target.map(|(_, kinds)| kinds).unwrap_or_default();
        self.files.iter().for_each(|file| kinds.insert(file.kind));
        kinds
    }

    /// Reports whether processes inside could see us.
    pub(crate) fn cross_border(&self) -> bool {
        self.crosses_border
    }

    /// Reports whether the command must not have the caller's terminal and session: somebody else could see it, or trace
    /// it as the owner of the user namespace, and type on the terminal through it.
    pub(crate) fn expose(&self) -> bool {
        self.exposes
    }

    /// Joins only the pid namespace, which applies to our children and changes nothing for us. Returns false if that is
    /// not permitted.
    pub(crate) fn join_pid_for_children(&mut self) -> Result<bool, Fault> {
        let why = "it applies only to children, so the process that is forked next is in it; pid_namespaces(7)";
        match self.steps(|kind| kind == Kind::Pid).try_for_each(|step| step.join_because(why)) {
            Err(fault) if is_refused(&fault) => return Ok(false),
            joined => joined?,
        }
        // The children are in it from the start.
        self.files.retain(|file| file.kind != Kind::Pid);
        if let Some((_, kinds)) = &mut self.of_target {
            kinds.remove(Kind::Pid);
        }
        Ok(true)
    }

    /// Joins all namespaces. A joined pid namespace applies only to children.
    pub(crate) fn join(&self) -> Result<(), Fault> {
        if self.files.is_empty() {
            let Some((target, kinds)) = self.of_target else { return Ok(()) };
            let why = if kinds.contains(Kind::User) {
                "all at once, so that the rights gained in its user namespace count for the others; setns(2)"
            } else {
                "through the pidfd, which cannot refer to another process; setns(2)"
            };
            return match target.join(kinds, why) {
                Err(fault) if is_refused(&fault) && kinds.contains(Kind::User) && kinds.iter().count() > 1 => {
                    self.join_in_turn()
                }
                joined => joined,
            };
        }
        self.join_in_turn()
    }

    /// Joins first the namespaces for which our own rights suffice, then those for which rights in the user namespaces
    /// on the way suffice, then the user namespace, and last those that need the rights gained in it.
    fn join_in_turn(&self) -> Result<(), Fault> {
        if !self.kinds().contains(Kind::User) {
            return self.steps(|kind| kind != Kind::User).try_for_each(|step| step.join());
        }
        let mut left = Vec::new();
        for step in self.steps(|kind| kind != Kind::User) {
            match step.join() {
                Err(fault) if is_refused(&fault) => match step.single() {
                    // A single namespace would be refused again.
                    single if single.len() == 1 => left.extend(single),
                    singles => left.extend(join_allowed(singles)?),
                },
                joined => joined?,
            }
        }
        if !left.is_empty() {
            left = self.join_by_owners(left)?;
        }
        self.steps(|kind| kind == Kind::User).try_for_each(|step| step.join())?;
        left.into_iter().try_for_each(|step| step.join())
    }

    fn join_by_owners<'b>(&self, mut left: Vec<Step<'b>>) -> Result<Vec<Step<'b>>, Fault> {
        let Some(user) = self.steps(|kind| kind == Kind::User).next() else { return Ok(left) };
        let owners = left.iter().map(Step::owner).collect::<Result<Vec<_>, _>>()?;
        for owner in userns_owners::above(&user.open()?.1, &owners)? {
            let text = format!("setns({}, CLONE_NEWUSER)", owner.shown);
            let why = "it owns a namespace to join, and is an ancestor of the user namespace to enter";
            call(format!("enter {}", owner.shown), text, why, || {
                nix::sched::setns(owner.fd.as_fd(), nix::sched::CloneFlags::CLONE_NEWUSER)
            })?;
            left = join_allowed(left)?;
        }
        Ok(left)
    }

    fn steps(&self, wanted: fn(Kind) -> bool) -> impl Iterator<Item = Step<'_>> {
        let of_target = self.of_target.into_iter().filter_map(move |(target, kinds)| {
            let kinds: KindSet = kinds.iter().filter(|kind| wanted(*kind)).collect();
            (!kinds.is_empty()).then_some(Step::OfTarget(target, kinds))
        });
        of_target.chain(self.files.iter().filter(move |file| wanted(file.kind)).map(Step::File))
    }

    fn replace_user_by_parent(&mut self) -> Result<(), Fault> {
        let user = self.files.iter().find(|file| file.kind == Kind::User);
        let of_target = self.of_target.and_then(|(target, kinds)| {
            // A user namespace comes first in the set.
            Some(Step::OfTarget(target, kinds.iter().take(1).collect())).filter(|_| !kinds.is_empty())
        });
        let first = user.map(Step::File).or(of_target).or(self.files.first().map(Step::File));
        let Some(step) = first else {
            return Err(Fault::new("cannot find the owner of the namespaces: no namespace is to be entered"));
        };
        let userns_owners::Owner { shown, fd } = step.owner()?;
        if let Some((_, kinds)) = &mut self.of_target {
            kinds.remove(Kind::User);
        }
        self.files.retain(|file| file.kind != Kind::User);
        self.files.push(File { kind: Kind::User, shown, fd });
        Ok(())
    }
}

/// Joins each namespace that we may join; returns the others.
fn join_allowed<'a>(steps: Vec<Step<'a>>) -> Result<Vec<Step<'a>>, Fault> {
    let mut left = Vec::new();
    for step in steps {
        match step.join() {
            Err(fault) if is_refused(&fault) => left.push(step),
            joined => joined?,
        }
    }
    Ok(left)
}

/// Explains EINVAL, which is all that the kernel says about a file that is no namespace, or not one of this kind.
fn explain_file(fault: Fault, file: &File) -> Fault {
    if fault.errno() != Some(Errno::EINVAL) {
        return fault;
    }
    let flag = |kind: &Kind| KindSet::from_iter([*kind]).flags().bits();
    match namespace_flag(&file.fd) {
        Err(Errno::ENOTTY) => fault.with_remedy(format!("{} is not a namespace", file.shown)),
        Ok(actual) if actual != flag(&file.kind) => match Kind::ALL.iter().find(|kind| flag(kind) == actual) {
            Some(kind) => {
                fault.with_remedy(format!("{} is a namespace of another kind: --{}", file.shown, kind.option()))
            }
            None => fault,
        },
        Ok(_) if file.kind == Kind::User && is_own_user(&file.fd) => fault.with_remedy(OWN_USER),
        _ => fault,
    }
}

fn is_own_user(fd: &OwnedFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| Some(stat.st_ino) == own_namespace_inode(Kind::User))
}

/// One call of setns(2).
enum Step<'a> {
    OfTarget(&'a Target, KindSet),
    File(&'a File),
}

impl<'a> Step<'a> {
    /// Splits the step into one step per namespace, because each can have another owner.
    fn single(self) -> Vec<Step<'a>> {
        match self {
            Step::OfTarget(target, kinds) => {
                kinds.iter().map(|kind| Step::OfTarget(target, [kind].into_iter().collect())).collect()
            }
            file => vec![file],
        }
    }

    /// Opens the file of the step's (first) namespace.
    fn open(&self) -> Result<(String, OwnedFd), Fault> {
        match self {
            Step::File(file) => {
                let copy = own("keep a namespace open", "fcntl(F_DUPFD_CLOEXEC)", || file.fd.try_clone())?;
                Ok((file.shown.clone(), copy))
            }
            Step::OfTarget(target, kinds) => {
                let name = format!("ns/{}", kinds.iter().next().unwrap_or(Kind::User).proc_name());
                let shown = format!("/proc/{}/{name}", target.pid());
                let fd = look(format!("open {shown}"), format!("openat({shown:?})"), || {
                    openat(target.dir(), &name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                })?;
                Ok((shown, fd))
            }
        }
    }

    fn owner(&self) -> Result<userns_owners::Owner, Fault> {
        let (shown, fd) = self.open()?;
        userns_owners::owner(&shown, &fd)
    }

    fn join(&self) -> Result<(), Fault> {
        self.join_because("one by one, because each needs rights in the user namespace that owns it; setns(2)")
    }

    fn join_because(&self, why: &str) -> Result<(), Fault> {
        match self {
            Step::OfTarget(target, kinds) => target.join(*kinds, why),
            Step::File(file) => {
                let set: KindSet = [file.kind].into_iter().collect();
                let goal = format!("enter the {} namespace of {}", file.kind.option(), file.shown);
                let text = format!("setns({}, {})", file.shown, set.flag_names());
                call(goal, text, file.kind.manual(), || nix::sched::setns(file.fd.as_fd(), set.flags()))
                    .map_err(|fault| explain_file(fault, file))
            }
        }
    }
}

fn is_refused(fault: &Fault) -> bool {
    fault.errno() == Some(Errno::EPERM)
}

fn open_file(kind: Kind, path: &PathBuf) -> Result<OwnedFd, Fault> {
    let goal = format!("open the {} namespace {}", kind.option(), path.display());
    // Not O_PATH, which setns(2) does not accept; O_NONBLOCK, because a FIFO in its place must not block us.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    look(goal, format!("openat({path:?})"), || openat(CWD, path, flags, Mode::empty()))
}

fn of_socket(target: &Target, fd: RawFd) -> Result<OwnedFd, Fault> {
    let goal = format!("find the network of descriptor {fd} of process {}", target.pid());
    foreign_descriptor::network_of_socket(&goal, target.pidfd(), fd)
}
