//! What a command line asks for, and how it is done: parse, then apply, in the order in which the kernel wants it.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};

use plumbing::command_line::options::Narration;
use plumbing::pipeline::assembly::Hold;
use plumbing::pipeline::ownership;
use plumbing::pipeline::pipe::{self, Stage};
use plumbing::process::chain;
use plumbing::process::exposure::Exposure;
use plumbing::process::namespace::Kind;
use plumbing::process::startup::{self, Parsed};
use plumbing::process::target::{Target, own_namespace_inode};
use plumbing::{Fault, Status, kernel};
use rustix::fs::{Mode, OFlags, openat};
use rustix::process::{PidfdFlags, pidfd_open};
use serde_json::{Map, Value};

use crate::leftovers::Leftovers;
use crate::name::{self, Name};
use crate::netlink::Netlink;
use crate::network::Connection;
use crate::nftables::Nftables;
use crate::options::{Action, Exec, Options, Wiring};
use crate::survey::Survey;
use crate::wiring::{self, Sides};
use crate::{lock, namespace, nsid, show};

/// A subcommand with its options, ready to be applied.
#[derive(Debug)]
pub struct Plan {
    narration: Narration,
    step: Step,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    RunInNew { connection: Option<Connection>, command: Vec<OsString> },
    RunIn { name: Name, command: Vec<OsString> },
    Add(Name),
    Delete(Name),
    List { json: bool },
    Connect { connection: Connection, keep_on_error: bool },
    ShowRecords,
    Show { subject: Option<Name>, json: bool },
    Gc { json: bool },
}

impl Plan {
    /// Parses argv; pure.
    pub fn parse(argv: Vec<OsString>) -> Result<Parsed<Plan>, Fault> {
        plumbing::command_line::options::parse::<Options>(argv)?.and_then(|options| {
            let step = match options.action {
                Some(Action::Exec(exec)) => run(exec)?,
                Some(Action::Add(named)) => Step::Add(named.name.into_new()?),
                Some(Action::Delete(named)) => Step::Delete(named.name),
                Some(Action::List(list)) => Step::List { json: list.json },
                Some(Action::Connect(asked)) => Step::Connect {
                    keep_on_error: asked.keep_on_error,
                    connection: connection(asked.wiring)?
                        .ok_or_else(|| Fault::usage("connect needs --bridge, the bridge to connect to"))?,
                },
                Some(Action::Show(show)) if show.pipe => Step::ShowRecords,
                Some(Action::Show(show)) => Step::Show { subject: show.subject, json: show.json },
                Some(Action::Gc(gc)) => Step::Gc { json: gc.json },
                None => Step::List { json: false },
            };
            Ok(Plan { narration: options.narration, step })
        })
    }

    /// Begins the narration, and says who may see this run.
    pub fn begin(&self) -> Exposure {
        self.narration.begin();
        Exposure::NEIGHBORS
    }

    /// Applies the plan. Returns a status, or becomes the command.
    pub fn apply(&self) -> Result<Status, Fault> {
        match &self.step {
            Step::RunInNew { connection, command } => {
                enter_new(connection.as_ref())?;
                chain::exec(command)
            }
            Step::RunIn { name, command } => {
                let whose = format!("the {}", name.shown());
                namespace::enter(name.open()?.as_fd(), &whose, "the command runs there; nothing else changes")?;
                chain::exec(command)
            }
            Step::Add(name) => name::add(name).map(|()| Status::SUCCESS),
            Step::Delete(name) => name::delete(name).map(|()| Status::SUCCESS),
            Step::List { json } => list(*json),
            Step::Connect { connection, keep_on_error } => {
                pipe::filter(*keep_on_error, |stage| connect(stage, connection))
            }
            Step::ShowRecords => pipe::inspect(|record, target| {
                let whose = format!("process {}'s", target.pid());
                match show::look_into(namespace_of(target)?.as_fd(), &whose, Some(target))? {
                    Some(network) => record.set("net", &network),
                    None => Ok(()),
                }
            }),
            Step::Show { subject, json } => show_one(subject.as_ref(), *json),
            Step::Gc { json } => remove_leftovers(*json),
        }
    }
}

/// Makes the new namespace first: its loopback is ours alone. The objects outside are made by a guardian, which works
/// in the namespace that we came from.
fn enter_new(connection: Option<&Connection>) -> Result<(), Fault> {
    let host = lock::own_namespace()?;
    namespace::make()?;
    let inside = Netlink::route()?;
    namespace::bring_loopback_up(&inside)?;
    let Some(connection) = connection else { return Ok(()) };
    let container = lock::own_namespace()?;
    let pid = rustix::process::getpid();
    let ourselves =
        kernel::look("open a pidfd of this process", "pidfd_open(getpid())", || pidfd_open(pid, PidfdFlags::empty()))?;
    let sides = Sides { host: host.as_fd(), container: container.as_fd(), inside: &inside, are_we_inside: true };
    wiring::connect(connection, &sides, pid.as_raw_nonzero().get(), ourselves.as_fd()).map(drop)
}

/// The record is read completely first: after something is made, only the kernel may cause a failure.
fn connect(stage: &mut Stage, connection: &Connection) -> Result<(), Fault> {
    stage.require_hold("connect")?;
    let target = &stage.target;
    let refusal = |why| Fault::new(format!("cannot connect {}: {why}", stage.record.shown_name()));
    if matches!(stage.hold, Hold::InUse) {
        // If a later stage failed, the interface could not be removed: we may not end the container.
        return Err(refusal("a command is already running in it, and only an unfinished container is changed"));
    }
    if target.namespace_inode(Kind::Net)? == own_namespace_inode(Kind::Net) {
        return Err(refusal("it has no network namespace of its own, it shares the host's"));
    }
    ownership::require_own(target, Kind::Net, &stage.record.shown_name())?;
    let mut net: Map<String, Value> = stage.record.get("net")?.unwrap_or_default();
    let mut interfaces = match net.get("interfaces") {
        Some(Value::Array(earlier)) => earlier.clone(),
        _ => Vec::new(),
    };
    let host = lock::own_namespace()?;
    let container = namespace_of(target)?;
    let inside = namespace::socket_inside(container.as_fd(), &format!("process {}'s", target.pid()))?;
    namespace::bring_loopback_up(&inside)?;
    let sides = Sides { host: host.as_fd(), container: container.as_fd(), inside: &inside, are_we_inside: false };
    let made = wiring::connect(connection, &sides, target.pid(), target.pidfd())?;
    let made = serde_json::to_value(made).map_err(|error| Fault::new(format!("cannot write a record: {error}")))?;
    interfaces.push(made);
    let nat = connection.nat || net.get("nat") == Some(&Value::Bool(true));
    net.insert("interfaces".to_owned(), interfaces.into());
    net.insert("nat".to_owned(), nat.into());
    stage.record.set("net", &net)
}

fn show_one(subject: Option<&Name>, json: bool) -> Result<Status, Fault> {
    let found = match subject {
        None => show::look_into(lock::own_namespace()?.as_fd(), "our own", None)?,
        Some(name) => match name.as_pid().filter(|_| !name.exists()) {
            Some(pid) => {
                let target = Target::of_pid(pid)?;
                show::look_into(namespace_of(&target)?.as_fd(), &format!("process {pid}'s"), Some(&target))?
            }
            None => show::look_into(name.open()?.as_fd(), &format!("the {}", name.shown()), None)?,
        },
    };
    let Some(network) = found else { return Ok(Status::SUCCESS) };
    if !json {
        return startup::print(&network.to_text());
    }
    startup::print(&plumbing::json::line("what was found", &network)?)
}

fn namespace_of(target: &Target) -> Result<OwnedFd, Fault> {
    let goal = format!("open the network namespace of process {}", target.pid());
    kernel::look(goal, format!("openat(\"/proc/{}\", \"ns/net\", O_RDONLY)", target.pid()), || {
        openat(target.dir(), "ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    })
}

/// Lists as `ip netns list` does: names in the directory's order, each with its id if it has one.
fn list(json: bool) -> Result<Status, Fault> {
    let netlink = Netlink::route()?;
    let (mut lines, mut objects) = (String::new(), Vec::new());
    for (name, namespace) in name::all()? {
        let id = match namespace {
            Some(namespace) => nsid::of(&netlink, namespace.as_fd())?,
            None => {
                plumbing::narrate::remark(format_args!("{} is stale: no namespace is mounted on it", name.shown()));
                None
            }
        };
        let mut object = serde_json::json!({"name": name.text()});
        lines.push_str(&name.shown());
        if let Some(id) = id {
            lines.push_str(&format!(" (id: {id})"));
            object["id"] = id.into();
        }
        lines.push('\n');
        objects.push(object);
    }
    startup::print(&if json { plumbing::json::line("the list", &objects)? } else { lines })
}

/// Reports what is removed, or would be.
fn remove_leftovers(json: bool) -> Result<Status, Fault> {
    let (netlink, nft) = (Netlink::route()?, Nftables::open_if_there()?);
    let items = lock::Lock::open()?.with(|| {
        let left = Leftovers::find(Survey::take(&netlink)?, nft.as_ref(), None)?;
        let items = left.items()?;
        left.remove(&netlink, nft.as_ref()).map(|()| items)
    })?;
    if json {
        return startup::print(&format!("{}\n", serde_json::json!(items)));
    }
    let lines: String = items.iter().map(|item| format!("{} {}\n", item.kind, item.name)).collect();
    startup::print(&lines)
}

fn run(exec: Exec) -> Result<Step, Fault> {
    let connection = connection(exec.wiring)?;
    let mut words = exec.words.into_iter();
    let step = if exec.new {
        Step::RunInNew { connection, command: words.collect() }
    } else if connection.is_some() {
        return Err(Fault::usage("--bridge connects a new namespace, so it needs --new"));
    } else {
        let name = words.next().ok_or_else(|| Fault::usage("exec needs --new, or the name of a namespace"))?;
        let name = Name::parse(&name)
            .map_err(|why| Fault::usage(format!("{:?} is not a name of a namespace: {why}", name.to_string_lossy())))?;
        let mut command: Vec<_> = words.collect();
        if command.first().is_some_and(|word| word == "--") {
            command.remove(0);
        }
        Step::RunIn { name, command }
    };
    match &step {
        Step::RunInNew { command, .. } | Step::RunIn { command, .. } if command.is_empty() => {
            Err(Fault::usage("a command is missing"))
        }
        _ => Ok(step),
    }
}

fn connection(asked: Wiring) -> Result<Option<Connection>, Fault> {
    let Some(bridge) = asked.bridge else { return Ok(None) };
    let connection = Connection {
        bridge,
        interface: asked.interface.unwrap_or_else(|| "eth0".to_owned()),
        addresses: asked.address,
        gateway: asked.gateway,
        nat: asked.nat,
    };
    connection.check().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(line: &str) -> Result<Step, String> {
        let argv = std::iter::once("netns-rs").chain(line.split(' ').filter(|word| !word.is_empty()));
        match Plan::parse(argv.map(OsString::from).collect()) {
            Ok(Parsed::Plan(plan)) => Ok(plan.step),
            Ok(Parsed::Text(text)) => Err(text),
            Err(fault) => Err(fault.to_string()),
        }
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_command_keeps_its_own_words() {
        let expected = Step::RunInNew { connection: None, command: words("sh -c true --new -- x") };
        assert_eq!(step("exec --new -- sh -c true --new -- x"), Ok(expected));
        let name = Name::parse("web".as_ref()).unwrap();
        let expected = Step::RunIn { name, command: words("ip -j link") };
        assert_eq!(step("exec web -- ip -j link").as_ref(), Ok(&expected));
        assert_eq!(step("exec web ip -j link").as_ref(), Ok(&expected));
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        for (line, said) in [
            ("exec", "exec needs --new"),
            ("exec --new", "a command is missing"),
            ("exec web", "a command is missing"),
            ("exec a/b -- true", "not a name"),
            ("exec --new --address 10.0.0.2/24 -- true", "--bridge"),
            ("exec --bridge b --address 10.0.0.2/24 web true", "--new"),
            ("exec --new --bridge b -- true", "--address"),
            ("exec --new --bridge b --address 10.0.0.2 -- true", "10.88.0.2/24"),
            ("exec --new --bridge b --address 10.0.0.2/24 --nat -- true", "--gateway"),
            ("exec --new --bridge sixteen-letters-x --address 10.0.0.2/24 -- true", "1 to 15"),
            ("exec --new --publish 80 -- true", "--publish"),
            ("connect --bridge b --address 10.0.0.2/24", "--pipe"),
            ("connect --pipe", "--bridge"),
            ("show --pipe web", "--pipe"),
            ("add a/b", "without /"),
            ("frobnicate", "frobnicate"),
        ] {
            let fault = step(line).unwrap_err();
            assert!(fault.contains(said) && !fault.contains('\n'), "{line}: {fault}");
        }
    }

    #[test]
    fn without_a_subcommand_the_names_are_listed() {
        assert_eq!(step(""), Ok(Step::List { json: false }));
        assert_eq!(step("list --json"), Ok(Step::List { json: true }));
        assert!(step("--explain exec --new -- true").is_ok() && step("exec --new --explain -- true").is_ok());
    }
}
