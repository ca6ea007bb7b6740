//! From options to a plan: adds what options imply, and refuses options that contradict each other. Pure.

use plumbing::Fault;

use crate::name::Name;
use crate::network::Connection;
use crate::options::{Connect, Exec, Options, Show, Verb, Wiring};
use crate::plan::{Action, Plan};

/// The name of an interface inside, if none is given.
const INTERFACE: &str = "eth0";

/// Returns the plan, or a usage error that names the contradiction.
pub(crate) fn plan(options: Options) -> Result<Plan, Fault> {
    let action = match options.verb {
        None => Action::List { json: false },
        Some(Verb::Exec(exec)) => run(exec)?,
        Some(Verb::Add(named)) => Action::Add(named.name.into_new()?),
        Some(Verb::Delete(named)) => Action::Delete(named.name),
        Some(Verb::List(list)) => Action::List { json: list.json },
        Some(Verb::Connect(options)) => connect(options)?,
        Some(Verb::Show(options)) => show(options),
        Some(Verb::Gc(gc)) => Action::RemoveLeftovers { json: gc.json },
    };
    Ok(Plan { narration: options.narration, action })
}

fn run(exec: Exec) -> Result<Action, Fault> {
    let connection = connection(exec.wiring)?;
    let mut words = exec.words.into_iter();
    if exec.new {
        let command: Vec<_> = words.collect();
        require_command(&command)?;
        return Ok(Action::RunInNew { connection, command });
    }
    if connection.is_some() {
        return Err(Fault::usage("--bridge connects a new namespace, so it needs --new"));
    }
    let name = words.next().ok_or_else(|| Fault::usage("exec needs --new, or the name of a namespace"))?;
    let name = Name::parse(&name)
        .map_err(|why| Fault::usage(format!("{:?} is not a name of a namespace: {why}", name.to_string_lossy())))?;
    let mut command: Vec<_> = words.collect();
    if command.first().is_some_and(|word| word == "--") {
        command.remove(0);
    }
    require_command(&command)?;
    Ok(Action::RunIn { name, command })
}

fn require_command(command: &[std::ffi::OsString]) -> Result<(), Fault> {
    if command.is_empty() { Err(Fault::usage("a command is missing")) } else { Ok(()) }
}

fn connect(options: Connect) -> Result<Action, Fault> {
    let connection =
        connection(options.wiring)?.ok_or_else(|| Fault::usage("connect needs --bridge, the bridge to connect to"))?;
    Ok(Action::Connect { connection, keep_on_error: options.keep_on_error })
}

fn show(options: Show) -> Action {
    if options.pipe {
        return Action::ShowRecords;
    }
    Action::Show { subject: options.subject, json: options.json }
}

fn connection(wiring: Wiring) -> Result<Option<Connection>, Fault> {
    let Some(bridge) = wiring.bridge else { return Ok(None) };
    let connection = Connection {
        bridge,
        interface: wiring.interface.unwrap_or_else(|| INTERFACE.to_owned()),
        addresses: wiring.address,
        gateway: wiring.gateway,
        nat: wiring.nat,
    };
    connection.check().map(Some)
}

#[cfg(test)]
mod tests;
