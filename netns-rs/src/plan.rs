//! The plan of a command line: parsed first, then applied: a function for each way to work, as a list of steps in the
//! order that the kernel requires.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use plumbing::command_line::options::Narration;
use plumbing::kernel::{self, Cloned};
use plumbing::pipeline::assembly::Hold;
use plumbing::pipeline::ownership;
use plumbing::pipeline::pipe::{self, Stage};
use plumbing::pipeline::record::{Net, Network};
use plumbing::process::chain;
use plumbing::process::exposure::Exposure;
use plumbing::process::forward::wait_for;
use plumbing::process::namespace::Kind;
use plumbing::process::startup::{self, Parsed};
use plumbing::process::target::{Target, own_namespace_inode};
use plumbing::process::top::Manner;
use plumbing::{Fault, Status, narrate};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::change::{self, Change};
use crate::connection::Connection;
use crate::map::Form;
use crate::name::{self, Name};
use crate::netlink::Netlink;
use crate::options::Options;
use crate::relay::{Prepared, Relays};
use crate::republish::Ports;
use crate::subject::{Opened, Subject};
use crate::who::Word;
use crate::wiring::Sides;
use crate::{
    batch, directory, disconnect, doctor, etc, ip_netns, listing, map, monitor, name_servers, namespace, nsid, print,
    request, show, top, who, wiring,
};

/// What a command line asks for.
#[derive(Debug)]
pub struct Plan {
    pub(crate) narration: Narration,
    /// The network namespace in which to work.
    pub(crate) within: Option<Subject>,
    pub(crate) action: Action,
}

/// The ways to work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Become the command in a new network namespace.
    RunInNew {
        connection: Option<Connection>,
        relays: Relays,
        dns: Option<name_servers::Wanted>,
        command: Vec<OsString>,
    },
    /// Become the command in a named one.
    RunIn { name: Name, etc: bool, command: Vec<OsString> },
    /// Run the command in each named one.
    RunInAll { etc: bool, command: Vec<OsString> },
    /// Make a network namespace and name it.
    Add(Name),
    /// Name the network namespace of a process.
    Attach { name: Name, pid: i32 },
    /// Remove a name.
    Delete(Name),
    /// Remove all names.
    DeleteAll,
    /// Assign an id to a named one.
    SetId { name: Name, id: Option<i32> },
    /// Print the names of a process's.
    Identify { pid: Option<i32>, json: bool },
    /// Print the processes in a named one.
    ListProcesses { name: Name, json: bool },
    /// Print names as they come and go.
    Monitor { json: bool },
    /// List the names.
    List { json: bool },
    /// List the ids.
    ListIds { target: Option<i32>, id: Option<i32>, json: bool },
    /// Connect the container of a record.
    Connect { connection: Option<Connection>, relays: Relays, dns: Option<name_servers::Wanted>, keep_on_error: bool },
    /// Connect a network namespace, until it or the process ends, or until it is disconnected.
    ConnectNamespace { subject: Subject, connection: Option<Connection>, relays: Relays },
    /// Change the rate, the impairment or the published ports of a connection.
    Change { subject: Subject, interface: String, change: Change, ports: Ports },
    /// Remove such a connection.
    Disconnect { subject: Subject, interface: String },
    /// Add to each record what its network looks like.
    ShowRecords,
    /// Show one network namespace.
    Show { subject: Subject, json: bool },
    /// Run the lines of a file.
    Batch { file: PathBuf, force: bool, json: bool },
    /// Show all network namespaces.
    Map(Form),
    /// Show what is behind a word.
    Who { word: Word, json: bool },
    /// Show the network namespaces with the most traffic, again and again.
    Top(Manner),
    /// Examine a network namespace.
    Doctor { subject: Subject, json: bool },
    /// Remove what killed guardians left.
    RemoveLeftovers { json: bool },
}

impl Plan {
    /// Parses argv; pure.
    pub fn parse(argv: Vec<OsString>) -> Result<Parsed<Plan>, Fault> {
        plumbing::command_line::options::parse::<Options>(ip_netns::rewrite(argv))?.and_then(request::plan)
    }

    /// Begins the narration, and returns which processes may see this run.
    pub fn begin(&self) -> Exposure {
        self.narration.begin();
        Exposure::NEIGHBORS
    }

    /// Applies the plan. Returns a status, or becomes the command.
    pub fn apply(&self) -> Result<Status, Fault> {
        if let Some(subject) = &self.within {
            let Opened { namespace, whose, .. } = subject.open()?;
            namespace::enter(namespace.as_fd(), &whose, "the work is done there")?;
        }
        match &self.action {
            Action::RunInNew { connection, relays, dns, command } => {
                run_in_new(connection.as_ref(), relays, dns.as_ref(), command)
            }
            Action::RunIn { name, etc, command } => run_in(name, *etc, command),
            Action::RunInAll { etc, command } => run_in_all(*etc, command),
            Action::Add(name) => directory::add(name).map(|()| Status::SUCCESS),
            Action::Attach { name, pid } => directory::attach(name, *pid).map(|()| Status::SUCCESS),
            Action::Delete(name) => directory::delete(name).map(|()| Status::SUCCESS),
            Action::DeleteAll => name::all()?.iter().try_for_each(directory::delete).map(|()| Status::SUCCESS),
            Action::SetId { name, id } => set_id(name, *id),
            Action::Identify { pid, json } => print::names_of(&listing::names_of(*pid)?, *json),
            Action::ListProcesses { name, json } => print::processes(&listing::processes(name)?, *json),
            Action::Monitor { json } => monitor::run(*json),
            Action::List { json } => print::names(&listing::names()?, *json),
            Action::ListIds { target, id, json } => print::ids(&listing::ids(*target, *id)?, *json),
            Action::Connect { connection, relays, dns, keep_on_error } => {
                pipe::filter(*keep_on_error, |stage| connect(stage, connection.as_ref(), relays, dns.as_ref()))
            }
            Action::ConnectNamespace { subject, connection, relays } => {
                connect_namespace(subject, connection.as_ref(), relays)
            }
            Action::Change { subject, interface, change, ports } => {
                change::run(subject, interface, change, ports).map(|()| Status::SUCCESS)
            }
            Action::Disconnect { subject, interface } => disconnect::run(subject, interface).map(|()| Status::SUCCESS),
            Action::ShowRecords => pipe::inspect(|record, target| match show_process(target)? {
                Some(network) => record.set_member(&network),
                None => Ok(()),
            }),
            Action::Show { subject, json } => show_one(subject, *json),
            Action::Batch { file, force, json } => batch::run(file, *force, *json),
            Action::Map(form) => map::print(*form),
            Action::Who { word, json } => who::print(word, *json),
            Action::Top(manner) => top::show(*manner),
            Action::Doctor { subject, json } => doctor::run(subject, *json),
            Action::RemoveLeftovers { json } => print::leftovers(&crate::leftovers::collect()?, *json),
        }
    }
}

fn run_in(name: &Name, etc: bool, command: &[OsString]) -> Result<Status, Fault> {
    let whose = format!("the {}", name.shown());
    let why = if etc { "the command runs there" } else { "the command runs there; nothing else changes" };
    namespace::enter(name.open()?.as_fd(), &whose, why)?;
    if etc {
        // After entering: a /sys shows the interfaces of the namespace in which it is mounted.
        etc::mount_all(name)?;
    }
    chain::exec(command)
}

/// The statuses of the commands are left out, as `ip -all netns exec` does.
fn run_in_all(etc: bool, command: &[OsString]) -> Result<Status, Fault> {
    for name in name::all()? {
        startup::print(&format!("\nnetns: {}\n", name.shown()))?;
        match kernel::fork("run the command", "a process for each namespace: the command takes it over")? {
            Cloned::Child if narrate::is_dry_run() => drop(run_in(&name, etc, command)?),
            Cloned::Child => {
                let outcome = run_in(&name, etc, command);
                kernel::exit_now(outcome.unwrap_or_else(|fault| fault.report(narrate::tool())))
            }
            Cloned::Parent { pid, .. } => drop(wait_for(pid)?),
        }
    }
    Ok(Status::SUCCESS)
}

fn set_id(name: &Name, id: Option<i32>) -> Result<Status, Fault> {
    nsid::assign(&Netlink::route()?, &name.shown(), name.open()?.as_fd(), id).map(|()| Status::SUCCESS)
}

/// The namespace is made first: its loopback is ours alone. The objects outside are made by a guardian, which works in
/// the namespace that we came from, as is the relay to an address outside: a user cannot come back to it.
fn run_in_new(
    connection: Option<&Connection>,
    relays: &Relays,
    dns: Option<&name_servers::Wanted>,
    command: &[OsString],
) -> Result<Status, Fault> {
    // Read before anything is made.
    let dns = dns.map(name_servers::Wanted::resolve).transpose()?;
    let host = namespace::own()?;
    let watched = if relays.is_empty() { None } else { Some(ourselves()?) };
    let relays = watched.as_ref().map(|watched| relays.prepare(watched.as_fd())).transpose()?;
    namespace::make()?;
    let inside = Netlink::route()?;
    namespace::bring_loopback_up(&inside)?;
    if let Some(connection) = connection {
        let container = namespace::own()?;
        let pid = rustix::process::getpid();
        let sides = Sides { host: host.as_fd(), container: container.as_fd(), inside: &inside, are_we_inside: true };
        wiring::connect(connection, &sides, pid.as_raw_nonzero().get(), ourselves()?.as_fd())?;
    }
    relays.map_or(Ok(()), Prepared::finish)?;
    // After the guardians began, which stay in the host's mount namespace.
    dns.as_ref().map_or(Ok(()), name_servers::mount_file)?;
    chain::exec(command)
}

fn ourselves() -> Result<OwnedFd, Fault> {
    kernel::look("open a pidfd of this process", "pidfd_open(getpid())", || {
        pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
    })
}

/// The record is read completely first: after something is made, only the kernel may cause a failure.
fn connect(
    stage: &mut Stage,
    connection: Option<&Connection>,
    relays: &Relays,
    dns: Option<&name_servers::Wanted>,
) -> Result<(), Fault> {
    require_connectable(stage)?;
    let mut net = Net::of(&stage.record)?;
    if let Some(dns) = dns {
        name_servers::record(&mut net, &dns.resolve()?, stage.record.has("root"))?;
    }
    let target = &stage.target;
    let container = namespace::of(target)?;
    if let Some(connection) = connection {
        let host = namespace::own()?;
        let inside = namespace::socket_inside(container.as_fd(), &format!("process {}'s", target.pid()))?;
        namespace::bring_loopback_up(&inside)?;
        let sides = Sides { host: host.as_fd(), container: container.as_fd(), inside: &inside, are_we_inside: false };
        let interface = wiring::connect(connection, &sides, target.pid(), target.pidfd())?;
        net.add(&interface, connection.nat)?;
    }
    if !relays.is_empty() {
        relays.connect(target, container.as_fd())?;
        net.add_relayed(&shown(&relays.reached), &shown(&relays.all_published()));
    }
    net.write(&mut stage.record)
}

fn shown(ports: &[impl ToString]) -> Vec<String> {
    ports.iter().map(ToString::to_string).collect()
}

/// A process is watched by a guardian; a namespace that has only a name is not, and its connection lasts.
fn connect_namespace(subject: &Subject, connection: Option<&Connection>, relays: &Relays) -> Result<Status, Fault> {
    let opened = subject.open_other()?;
    let Opened { namespace: container, whose, target, .. } = &opened;
    if target.is_none() && !relays.is_empty() {
        let fault = format!("cannot relay for {whose} network namespace: it would not end with any process");
        return Err(Fault::new(fault).with_remedy("name a process in it, as pid:N"));
    }
    if let Some(connection) = connection {
        connect_to_bridge(&opened, connection)?;
    }
    if let Some(target) = target.as_ref().filter(|_| !relays.is_empty()) {
        relays.connect(target, container.as_fd())?;
    }
    Ok(Status::SUCCESS)
}

fn connect_to_bridge(opened: &Opened, connection: &Connection) -> Result<(), Fault> {
    let Opened { namespace: container, whose, target, path } = opened;
    let host = namespace::own()?;
    let inside = namespace::socket_inside(container.as_fd(), whose)?;
    namespace::bring_loopback_up(&inside)?;
    let sides = Sides { host: host.as_fd(), container: container.as_fd(), inside: &inside, are_we_inside: false };
    match target {
        Some(target) => wiring::connect(connection, &sides, target.pid(), target.pidfd()).map(drop),
        None => wiring::connect_lasting(connection, &sides, path.as_deref()),
    }
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

fn show_process(target: &Target) -> Result<Option<Network>, Fault> {
    show::look_into(namespace::of(target)?.as_fd(), &format!("process {}'s", target.pid()), Some(target))
}

fn show_one(subject: &Subject, json: bool) -> Result<Status, Fault> {
    let Opened { namespace, whose, target, .. } = subject.open()?;
    match show::look_into(namespace.as_fd(), &whose, target.as_ref())? {
        Some(network) => print::network(&network, json),
        None => Ok(Status::SUCCESS),
    }
}
