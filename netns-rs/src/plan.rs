//! The plan of a command line: parsed first, then applied: a function for each way to work, as a list of steps in the
//! order that the kernel requires.

use std::ffi::OsString;
use std::os::fd::AsFd;

use plumbing::command_line::options::Narration;
use plumbing::pipeline::assembly::Hold;
use plumbing::pipeline::ownership;
use plumbing::pipeline::pipe::{self, Stage};
use plumbing::process::chain;
use plumbing::process::exposure::Exposure;
use plumbing::process::namespace::Kind;
use plumbing::process::startup::Parsed;
use plumbing::process::target::{Target, own_namespace_inode};
use plumbing::{Fault, Status, kernel};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::name::{self, Name};
use crate::netlink::Netlink;
use crate::network::Connection;
use crate::options::Options;
use crate::wiring::Sides;
use crate::{member, namespace, print, request, show, wiring};

/// What a command line asks for.
#[derive(Debug)]
pub struct Plan {
    pub(crate) narration: Narration,
    pub(crate) action: Action,
}

/// The ways to work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Become the command in a new network namespace.
    RunInNew { connection: Option<Connection>, command: Vec<OsString> },
    /// Become the command in a named one.
    RunIn { name: Name, command: Vec<OsString> },
    /// Make a network namespace and name it.
    Add(Name),
    /// Remove a name.
    Delete(Name),
    /// List the names.
    List { json: bool },
    /// Connect the container of a record.
    Connect { connection: Connection, keep_on_error: bool },
    /// Add to each record what its network looks like.
    ShowRecords,
    /// Show one network namespace.
    Show { subject: Option<Name>, json: bool },
    /// Remove what killed guardians left.
    RemoveLeftovers { json: bool },
}

impl Plan {
    /// Parses argv; pure.
    pub fn parse(argv: Vec<OsString>) -> Result<Parsed<Plan>, Fault> {
        plumbing::command_line::options::parse::<Options>(argv)?.and_then(request::plan)
    }

    /// Begins the narration, and returns which processes may see this run.
    pub fn begin(&self) -> Exposure {
        self.narration.begin();
        Exposure::NEIGHBORS
    }

    /// Applies the plan. Returns a status, or becomes the command.
    pub fn apply(&self) -> Result<Status, Fault> {
        match &self.action {
            Action::RunInNew { connection, command } => run_in_new(connection.as_ref(), command),
            Action::RunIn { name, command } => run_in(name, command),
            Action::Add(name) => name::add(name).map(|()| Status::SUCCESS),
            Action::Delete(name) => name::delete(name).map(|()| Status::SUCCESS),
            Action::List { json } => print::names(&name::all()?, *json),
            Action::Connect { connection, keep_on_error } => {
                pipe::filter(*keep_on_error, |stage| connect(stage, connection))
            }
            Action::ShowRecords => pipe::inspect(|record, target| match show_process(target)? {
                Some(network) => record.set("net", &network),
                None => Ok(()),
            }),
            Action::Show { subject, json } => show_one(subject.as_ref(), *json),
            Action::RemoveLeftovers { json } => print::leftovers(&crate::leftovers::collect()?, *json),
        }
    }
}

fn run_in(name: &Name, command: &[OsString]) -> Result<Status, Fault> {
    let whose = format!("the {}", name.shown());
    namespace::enter(name.open()?.as_fd(), &whose, "the command runs there; nothing else changes")?;
    chain::exec(command)
}

/// The namespace is made first: its loopback is ours alone. The objects outside are made by a guardian, which works in
/// the namespace that we came from.
fn run_in_new(connection: Option<&Connection>, command: &[OsString]) -> Result<Status, Fault> {
    let host = namespace::own()?;
    namespace::make()?;
    let inside = Netlink::route()?;
    namespace::bring_loopback_up(&inside)?;
    if let Some(connection) = connection {
        let container = namespace::own()?;
        let pid = rustix::process::getpid();
        let ourselves = kernel::look("open a pidfd of this process", "pidfd_open(getpid())", || {
            pidfd_open(pid, PidfdFlags::empty())
        })?;
        let sides = Sides { host: host.as_fd(), container: container.as_fd(), inside: &inside, are_we_inside: true };
        wiring::connect(connection, &sides, pid.as_raw_nonzero().get(), ourselves.as_fd())?;
    }
    chain::exec(command)
}

/// The record is read completely first: after something is made, only the kernel may cause a failure.
fn connect(stage: &mut Stage, connection: &Connection) -> Result<(), Fault> {
    require_connectable(stage)?;
    let mut net = member::Net::of(&stage.record)?;
    let target = &stage.target;
    let host = namespace::own()?;
    let container = namespace::of(target)?;
    let inside = namespace::socket_inside(container.as_fd(), &format!("process {}'s", target.pid()))?;
    namespace::bring_loopback_up(&inside)?;
    let sides = Sides { host: host.as_fd(), container: container.as_fd(), inside: &inside, are_we_inside: false };
    let interface = wiring::connect(connection, &sides, target.pid(), target.pidfd())?;
    net.add(&interface, connection.nat)?;
    net.write(&mut stage.record)
}

/// Refuses a container that is not an unfinished hold of the caller's with a network of its own.
fn require_connectable(stage: &Stage) -> Result<(), Fault> {
    stage.require_hold("connect")?;
    let refusal = |why| Fault::new(format!("cannot connect {}: {why}", stage.record.shown_name()));
    if matches!(stage.hold, Hold::InUse) {
        // If a later stage failed, the interface could not be removed: we may not end the container.
        return Err(refusal("a command is already running in it, and only an unfinished container is changed"));
    }
    if stage.target.namespace_inode(Kind::Net)? == own_namespace_inode(Kind::Net) {
        return Err(refusal("it has no network namespace of its own, it shares the host's"));
    }
    ownership::require_own(&stage.target, Kind::Net, &stage.record.shown_name())
}

fn show_process(target: &Target) -> Result<Option<show::Network>, Fault> {
    show::look_into(namespace::of(target)?.as_fd(), &format!("process {}'s", target.pid()), Some(target))
}

fn show_one(subject: Option<&Name>, json: bool) -> Result<Status, Fault> {
    let found = match subject {
        None => show::look_into(namespace::own()?.as_fd(), "our own", None)?,
        Some(name) => match name.as_pid().filter(|_| !name.exists()) {
            Some(pid) => show_process(&Target::of_pid(pid)?)?,
            None => show::look_into(name.open()?.as_fd(), &format!("the {}", name.shown()), None)?,
        },
    };
    match found {
        Some(network) => print::network(&network, json),
        None => Ok(Status::SUCCESS),
    }
}
