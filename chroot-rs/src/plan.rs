//! The plan of a command line: parsed first, then applied step by step, in the order that the kernel requires.
//! `chroot(2)`, `pivot_root(2)`, `mount_namespaces(7)`.

use std::ffi::OsString;
use std::path::PathBuf;

use nix::errno::Errno;
use plumbing::command_line::options::Narration;
use plumbing::confinement::command_label;
use plumbing::confinement::privilege::set_oom_score_adj;
use plumbing::fault::has_error_fd;
use plumbing::pipeline::gates::{Gates, Places};
use plumbing::pipeline::kept_process;
use plumbing::pipeline::pipe::{self, Stage};
use plumbing::pipeline::record::Process;
use plumbing::process::closing::{close_from, end, refuse_directories, will_close_all};
use plumbing::process::console::{Console, Receiver};
use plumbing::process::exposure::Exposure;
use plumbing::process::namespace_root::{self, Chroot as Outside};
use plumbing::process::startup::Parsed;
use plumbing::process::{chain, procfs, session};
use plumbing::{Fault, Status, narrate};
use rustix::fs::Mode;

use crate::command::Command;
use crate::confinement::Confinement;
use crate::entry::{Entry, shown};
use crate::host::Host;
use crate::identity::IdentityRequest;
use crate::in_root::InRoot;
use crate::keep_root::Confined;
use crate::options::Options;
use crate::peers::{self, Peers};
use crate::record::{self, Built};
use crate::specification::{Specification, Unread};
use crate::working_directory::WorkingDirectory;
use crate::{
    audit, chroot, console, mount_api, mount_namespace, pivot_root, populate, reachable, request, root, setns,
    switch_root,
};

/// What a command line asks for.
#[derive(Debug)]
pub struct Plan {
    pub(crate) narration: Narration,
    /// `--sealed-copy`: how this process is kept from being written to.
    pub(crate) sealed_copy: bool,
    /// `--strict`: a promise that cannot be kept is an error, not a warning.
    pub(crate) strict: bool,
    pub(crate) action: Action,
}

/// The ways to work.
#[derive(Debug)]
pub(crate) enum Action {
    /// Call `chroot(2)` and become the command, as chroot(8) does.
    Chroot(Box<Chroot>),
    /// `--keep-root`: confine this process and become the command.
    Confined(Box<Confined>),
    /// Make a root in a new mount namespace and become the command.
    Container(Container),
    /// `--pipe`: make the root of a held container.
    Held(Held),
    /// `--audit`: change no root, and examine the current one.
    Audit { as_json: bool },
}

/// A command in a directory.
#[derive(Debug)]
pub(crate) struct Chroot {
    pub(crate) directory: PathBuf,
    pub(crate) skip_chdir: bool,
    pub(crate) identity: IdentityRequest,
    pub(crate) confinement: Confinement,
    pub(crate) gates: Places,
    pub(crate) command: Command,
}

/// A command in a root of its own.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) root: Unread,
    pub(crate) preserve_fds: u32,
    pub(crate) leave: Leave,
    pub(crate) gates: Places,
    pub(crate) console_socket: Option<PathBuf>,
    pub(crate) command: Command,
}

/// The root of a container that an earlier stage of the pipeline holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) root: Unread,
    pub(crate) keep_on_error: bool,
}

/// The ways to leave the old root. In both cases a mount namespace was made or joined before: `pivot_root(2)` is never called in
/// the caller's namespace, because it moves the root of every process there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    ByPivot,
    /// `--no-pivot`.
    ByChroot,
}

impl Plan {
    /// Parses argv; pure.
    pub fn parse(argv: Vec<OsString>) -> Result<Parsed<Plan>, Fault> {
        plumbing::command_line::options::parse::<Options>(argv)?.and_then(request::plan)
    }

    /// Begins the narration, and returns which processes may see this run.
    pub fn begin(&self) -> Exposure {
        self.narration.begin();
        if self.strict {
            narrate::be_strict();
        }
        match self.action {
            // The audit must see the container as one of its processes does.
            Action::Audit { .. } => Exposure::NOBODY,
            _ if self.sealed_copy => Exposure::IMAGE.in_a_copy(),
            // The command has no more rights over our file than the caller, who has none of root's.
            Action::Confined(_) if !rustix::process::geteuid().is_root() => Exposure::NEIGHBORS,
            _ => Exposure::IMAGE,
        }
    }

    /// Applies the plan. Returns the status of the audit or stage, or becomes the command.
    pub fn apply(&self) -> Result<Status, Fault> {
        match &self.action {
            Action::Chroot(chroot) => chroot.apply(),
            Action::Confined(confined) => confined.apply(),
            Action::Container(container) => container.apply(),
            Action::Held(held) => held.apply(),
            Action::Audit { as_json } => audit::run(*as_json),
        }
    }
}

impl Chroot {
    /// Works like chroot(8), in the same order: the names are looked up while both roots can be read.
    fn apply(&self) -> Result<Status, Fault> {
        let gates = Gates::take(&self.gates)?;
        self.confinement.read_files()?;
        chroot::check_skip_chdir(&self.directory, self.skip_chdir)?;
        let root = root::open(&self.directory)?;
        let identity = self.identity.look_up(&root, &self.identity.host_accounts()?)?;
        // What explains a refused change of user is in our /proc; the new root has none, or another one. Without /proc here,
        // the error has no remedy.
        if let Err(fault) = procfs::keep()
            && fault.errno() != Some(Errno::ENOENT)
        {
            return Err(fault);
        }
        chroot::chroot(&self.directory, self.skip_chdir)?;
        identity.warn();
        let process = self.confinement.process(identity, false);
        self.confinement.report_missing_capabilities(&process)?;
        process.apply(|| gates.pass())?;
        chain::note_root(format!("the root {}", shown(&self.directory)));
        self.command.exec_or_shell(&process.environment())
    }
}

impl Container {
    /// Makes the root and executes the command. Mounting needs all privileges, so they are dropped last; descriptors are
    /// closed after that, when nothing else needs them.
    fn apply(&self) -> Result<Status, Fault> {
        // Before any file is opened: a descriptor of ours must not be taken for one that the caller passed.
        let gates = Gates::take(&self.gates)?;
        let specification = self.root.read()?;
        let receiver = self.console_socket.as_deref().map(Receiver::connect).transpose()?;
        will_close_all();
        let streams = refuse_directories([rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()])?;
        // Before the mount namespace is left, because the caller's /dev is needed.
        let leads_session = if specification.is_container() {
            session::replace_null_in(streams.iter().map(Some))?;
            session::leave(specification.leads_session())?
        } else {
            false
        };
        let directory = specification.keeps_directory().then(WorkingDirectory::present).flatten();
        mount_namespace::unshare()?;
        let outside = namespace_root::find()?;
        let host = Host::read(&specification)?;
        let mut console = None;
        let (Built { mut process, .. }, root) = build(&specification, &host, outside.as_ref(), |root, process| {
            // Through /proc, which the new root may lack. With --pipe the last stage sets them: they are properties of one process.
            process.oom_score_adj.map_or(Ok(()), set_oom_score_adj)?;
            command_label::set(process)?;
            if let Some(receiver) = &receiver {
                console = console::open(receiver, root, process.uid, specification.console_size())?;
            }
            outside.as_ref().map_or(Ok(()), Outside::leave)?;
            enter(root, &specification, self.leave)
        })?;
        process.new_session &= !leads_session;
        directory.map_or(Ok(()), |directory| directory.enter_if_inside())?;
        let mut is_closed = false;
        let confined = process.apply(|| {
            if self.gates != Places::default() || has_error_fd() {
                self.command.require_program_or(&specification.command(), &process.environment())?;
            }
            console.as_ref().map_or(Ok(()), Console::give)?;
            gates.pass()?;
            is_closed = true;
            close_from(3_u32.saturating_add(self.preserve_fds), None)
        });
        match confined {
            Err(fault) if is_closed => return end(Err(fault)),
            confined => confined.inspect_err(|_| root.made().take_back(root.bottom()))?,
        }
        chain::note_root(specification.source().described());
        end(self.command.exec_or(&specification.command(), &process.environment()))
    }
}

impl Held {
    fn apply(&self) -> Result<Status, Fault> {
        let specification = self.root.read()?;
        pipe::filter(self.keep_on_error, |stage| build_held(stage, specification))
    }
}

/// Makes the root of a held container, and writes it into the record.
fn build_held(stage: &mut Stage, mut specification: Specification) -> Result<(), Fault> {
    stage.require_unfinished("change the root of")?;
    kept_process::require_none(stage, "change the root of")?;
    mount_namespace::require_own(stage)?;
    // The container's mount namespace begins as a copy of ours, but joining it does not keep the working directory.
    specification.make_absolute()?;
    let foreign = stage.target.foreign_kinds()?;
    let host = Host::read_for(&specification, stage, foreign)?;
    let built: Built = setns::inside(&stage.target, foreign, || {
        let enter = |root: &InRoot, _: &Process| enter(root, &specification, Leave::ByPivot);
        Ok(build(&specification, &host.after_entering(), None, enter)?.0)
    })?;
    stage.record.set_member(&built.root)?;
    stage.record.set_member(&built.process)?;
    kept_process::keep(stage, &built.process)
}

/// Makes the root, then the mounts in it, then changes the root to it: the host's paths can be reached while the mounts are
/// made, and not afterwards. A failure removes what was made.
fn build(
    specification: &Specification,
    host: &Host,
    outside: Option<&Outside>,
    enter: impl FnOnce(&InRoot, &Process) -> Result<(), Fault>,
) -> Result<(Built, InRoot), Fault> {
    let entries = specification.entries(&host.facts);
    let peers = peers::clone_all(&entries)?;
    mount_namespace::stop_propagation(specification.initial_propagation(), outside)?;
    // Without a umask, the modes in the lists apply unchanged; the command gets the caller's umask back.
    let mask = rustix::process::umask(Mode::empty());
    // Checked before the root is mounted again, because the flags of the new mount are ours.
    let reachable = reachable::places(specification, &entries, &host.facts);
    let root = root::make(specification.source(), specification.attributes())?;
    let root = if specification.follows_links() { root.following() } else { root };
    let built = fill(&root, specification, &entries, peers, host)
        .and_then(|built| enter(&root, &built.process).map(|()| built))
        .inspect_err(|_| root.made().take_back(root.bottom()))?;
    rustix::process::umask(mask);
    reachable::warn(&reachable, &built.process);
    Ok((built, root))
}

/// Makes the entries, then looks up the names of users in the filled root.
fn fill(
    root: &InRoot,
    specification: &Specification,
    entries: &[Entry],
    peers: Peers,
    host: &Host,
) -> Result<Built, Fault> {
    let mounts = populate::make(root, entries, peers)?;
    // Before the root becomes read-only.
    specification.working_directory().map_or(Ok(()), |directory| root.make_missing(directory))?;
    let identity = specification.identity().look_up(root, &host.accounts)?;
    let identity = identity.or_own(host.facts.own.as_ref(), root)?;
    identity.warn();
    let process = specification.process(identity, host.facts.setgroups_denied);
    specification.report_missing_capabilities(&process)?;
    specification.write_settings()?;
    let root = record::root(specification.source(), specification.is_read_only(), &root.copies().paths(), mounts);
    Ok(Built { root, process })
}

/// Changes the root to the filled one. What must be read-only becomes read-only only now, so that mount points can be made
/// in it, and removed after a failure.
fn enter(root: &InRoot, specification: &Specification, leave: Leave) -> Result<(), Fault> {
    if specification.is_read_only_when_filled() {
        root::seal(root)?;
    }
    match leave {
        Leave::ByPivot => pivot_root::pivot(root)?,
        Leave::ByChroot => switch_root::switch_root(root, specification.source())?,
    }
    // Only now: pivot_root(2) refuses a shared root.
    specification.final_propagation().map_or(Ok(()), |propagation| {
        let why = "the bundle's rootfsPropagation; mount_namespaces(7)";
        mount_api::propagate("set the root's propagation", root.as_fd(), propagation, why)
    })
}
