//! The namespaces to enter: opened while we are outside, then joined. `setns(2)`, `ioctl_nsfs(2)`.
//!
//! One call takes all namespaces of a process at once. The surprise is the user namespace: for its owner the right to
//! the others comes from it, but root outside may lose by it what it needs for the others. So both orders are tried.

use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::{call, look, socket_namespace};
use plumbing::namespace::{Kind, KindSet};
use plumbing::target::Target;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use crate::{namespace_id, owners};

/// Where a namespace comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The target is in it.
    Target,
    /// A file of nsfs: /proc/PID/ns/*, or what is bound from there.
    File(PathBuf),
    /// The kernel knows it by this id.
    Id(u64),
    /// A socket, which is this descriptor of the target.
    Socket(RawFd),
}

/// Which namespaces are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Whatever of the target is not ours already.
    pub(crate) all: bool,
    /// These, even where they are ours already.
    pub(crate) sources: Vec<(Kind, Source)>,
    /// The owner of the others, or the parent of the user namespace among them.
    pub(crate) user_parent: bool,
}

/// Namespaces, opened.
#[derive(Default)]
pub(crate) struct Entrances<'a> {
    /// Those of a process.
    pub(crate) of_target: Option<(&'a Target, KindSet)>,
    /// Single ones.
    files: Vec<File>,
}

struct File {
    kind: Kind,
    shown: String,
    fd: OwnedFd,
}

impl Asked {
    /// Opens them.
    pub(crate) fn open<'a>(&self, target: Option<&'a Target>) -> Result<Entrances<'a>, Fault> {
        let mut entrances = Entrances::default();
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
            entrances.files.push(File { kind: *kind, shown, fd });
        }
        entrances.of_target = target.map(|target| (target, of_target));
        if self.user_parent {
            entrances.replace_user_by_parent()?;
        }
        Ok(entrances)
    }
}

impl<'a> Entrances<'a> {
    /// All that the target has and we have not.
    pub(crate) fn foreign(target: &'a Target) -> Result<Entrances<'a>, Fault> {
        Ok(Entrances { of_target: Some((target, target.foreign_kinds()?)), files: Vec::new() })
    }

    /// Their kinds.
    pub(crate) fn kinds(&self) -> KindSet {
        let mut kinds = self.of_target.map(|(_, kinds)| kinds).unwrap_or_default();
        self.files.iter().for_each(|file| kinds.insert(file.kind));
        kinds
    }

    /// Whether there is somebody inside who could look at us.
    pub(crate) fn cross_border(&self) -> bool {
        self.kinds().contains(Kind::Mnt) || self.kinds().contains(Kind::Pid)
    }

    /// Joins the pid namespace alone, which changes nothing for us, but for our children; answers whether we may.
    pub(crate) fn join_pid_for_children(&mut self) -> Result<bool, Fault> {
        let why = "it holds for children only, so one that is born now is in it; pid_namespaces(7)";
        match self.steps(|kind| kind == Kind::Pid).try_for_each(|step| step.join_because(why)) {
            Err(fault) if is_refused(&fault) => return Ok(false),
            joined => joined?,
        }
        // They have it from birth.
        self.files.retain(|file| file.kind != Kind::Pid);
        if let Some((_, kinds)) = &mut self.of_target {
            kinds.remove(Kind::Pid);
        }
        Ok(true)
    }

    /// Joins them all. A joined pid namespace holds for children only.
    pub(crate) fn join(&self) -> Result<(), Fault> {
        if self.files.is_empty() {
            let Some((target, kinds)) = self.of_target else { return Ok(()) };
            let why = match kinds.contains(Kind::User) {
                true => "all at once, so that the rights that its user namespace gives count for the others; setns(2)",
                false => "by the pidfd, which means no other process than the target; setns(2)",
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

    /// First what our own rights suffice for, then what the owners on the way give, then the user namespace, and at last
    /// what needs the rights that it gives.
    fn join_in_turn(&self) -> Result<(), Fault> {
        if !self.kinds().contains(Kind::User) {
            return self.steps(|kind| kind != Kind::User).try_for_each(|step| step.join());
        }
        let mut left = Vec::new();
        for step in self.steps(|kind| kind != Kind::User) {
            match step.join() {
                Err(fault) if is_refused(&fault) => match step.single() {
                    // It would be refused again.
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
        for owner in owners::above(&user.open()?.1, &owners)? {
            let text = format!("setns({}, CLONE_NEWUSER)", owner.shown);
            let why = "it owns what we want to join, and lies between us and the one that we want to be in";
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
            // The user namespace is the first where it is among them.
            Some(Step::OfTarget(target, kinds.iter().take(1).collect())).filter(|_| !kinds.is_empty())
        });
        let first = user.map(Step::File).or(of_target).or(self.files.first().map(Step::File));
        let Some(step) = first else {
            return Err(Fault::new("cannot find the owner of the namespaces: none is to be entered"));
        };
        let owners::Owner { shown, fd } = step.owner()?;
        if let Some((_, kinds)) = &mut self.of_target {
            kinds.remove(Kind::User);
        }
        self.files.retain(|file| file.kind != Kind::User);
        self.files.push(File { kind: Kind::User, shown, fd });
        Ok(())
    }
}

/// Joins each that we may; answers the others.
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

/// One call.
enum Step<'a> {
    OfTarget(&'a Target, KindSet),
    File(&'a File),
}

impl<'a> Step<'a> {
    /// One by one: each has its own owner.
    fn single(self) -> Vec<Step<'a>> {
        match self {
            Step::OfTarget(target, kinds) => {
                kinds.iter().map(|kind| Step::OfTarget(target, [kind].into_iter().collect())).collect()
            }
            file => vec![file],
        }
    }

    /// The file of its (first) namespace.
    fn open(&self) -> Result<(String, OwnedFd), Fault> {
        match self {
            Step::File(file) => {
                let copy = look("keep a namespace open", "fcntl(F_DUPFD_CLOEXEC)", || file.fd.try_clone())?;
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

    fn owner(&self) -> Result<owners::Owner, Fault> {
        let (shown, fd) = self.open()?;
        owners::owner(&shown, &fd)
    }

    fn join(&self) -> Result<(), Fault> {
        self.join_because("each has its own owner, whose rights it takes; setns(2)")
    }

    fn join_because(&self, why: &str) -> Result<(), Fault> {
        match self {
            Step::OfTarget(target, kinds) => target.join(*kinds, why),
            Step::File(file) => {
                let set: KindSet = [file.kind].into_iter().collect();
                let goal = format!("enter the {} namespace of {}", file.kind.option(), file.shown);
                let text = format!("setns({}, {})", file.shown, set.flag_names());
                call(goal, text, file.kind.manual(), || nix::sched::setns(file.fd.as_fd(), set.flags()))
            }
        }
    }
}

fn is_refused(fault: &Fault) -> bool {
    fault.errno() == Some(Errno::EPERM)
}

fn open_file(kind: Kind, path: &PathBuf) -> Result<OwnedFd, Fault> {
    let goal = format!("open the {} namespace {}", kind.option(), path.display());
    // Not O_PATH: setns(2) wants a file; and a FIFO in its place must not keep us waiting.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    look(goal, format!("openat({path:?})"), || openat(CWD, path, flags, Mode::empty()))
}

fn of_socket(target: &Target, fd: RawFd) -> Result<OwnedFd, Fault> {
    let goal = format!("find the network of descriptor {fd} of process {}", target.pid());
    let socket = look(&goal, format!("pidfd_getfd(pidfd of {}, {fd})", target.pid()), || {
        pidfd_getfd(target.pidfd(), fd, PidfdGetfdFlags::empty())
    })?;
    look(goal, format!("ioctl({fd}, SIOCGSKNS)"), || socket_namespace(&socket))
}
