//! Starting a transient scope for this process: `StartTransientUnit`. `org.freedesktop.systemd1(5)`,
//! `systemd.scope(5)`, `systemd.resource-control(5)`.
//!
//! systemd moves the process, and gives it a group in which it may make others (`Delegate=`). The surprise: a process has
//! no number that holds in every pid namespace, so we name ourselves as 0, and systemd takes the sender.

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::{call, own};
use rustix::process::geteuid;

use super::connection::Connection;
use super::message::{Call, Kind, Message, Writer};
use super::units::{Manager, Origin};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const SYSTEMD_PATH: &str = "/org/freedesktop/systemd1";
const SYSTEMD_MANAGER: &str = "org.freedesktop.systemd1.Manager";
const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// The longest text of an error that is printed.
const LONGEST_TEXT: usize = 300;

/// A socket through which a manager can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Socket {
    path: PathBuf,
    /// Whether it leads to a bus, not to the manager itself.
    is_bus: bool,
}

/// Asks the manager to move this process to a new scope of this name, and waits until it has.
pub(crate) fn start(name: &str, origin: &Origin, manager: Manager) -> Result<(), Fault> {
    let sockets = sockets(manager);
    let (mut connection, is_bus) = connect(&sockets, manager)?;
    if is_bus {
        join_bus(&mut connection)?;
    }
    let goal = format!("start the scope {name}");
    let mut body = Writer::default();
    body.string(name);
    body.string("fail");
    let text = properties(&mut body, origin);
    body.array(8, |_| {});
    let destination = is_bus.then_some(SYSTEMD);
    let start = Call {
        destination,
        path: SYSTEMD_PATH,
        interface: SYSTEMD_MANAGER,
        member: "StartTransientUnit",
        signature: "ssa(sv)a(sa(sv))",
        body,
    };
    let narrated = format!("sendto({:?}, StartTransientUnit({name:?}, \"fail\", {text}))", connection.path());
    let why = "systemd moves this process to a new group, in which we may make others; systemd.scope(5)";
    call(&goal, narrated, why, || connection.send(&start.encode(SERIAL_OF_START)))?;
    if plumbing::narrate::is_dry_run() {
        return Ok(());
    }
    wait(&mut connection, &goal, name)
}

const SERIAL_OF_HELLO: u32 = 1;
const SERIAL_OF_MATCH: u32 = 2;
const SERIAL_OF_START: u32 = 3;

/// Waits until the job has ended. What other processes on a bus send is ignored.
fn wait(connection: &mut Connection, goal: &str, name: &str) -> Result<(), Fault> {
    let started = answer(connection, SERIAL_OF_START, goal, "StartTransientUnit")?;
    loop {
        let message = connection.message()?;
        let is_end = message.kind == Kind::Signal && message.member == "JobRemoved" && message.sender == started.sender;
        let [_, job, unit, result] = &message.values[..] else { continue };
        if !is_end || unit != name || Some(job) != started.values.first() {
            continue;
        }
        return match result.as_str() {
            "done" => Ok(()),
            result => Err(Fault::new(format!("cannot {goal}: systemd's job ended with: {}", shortened(result)))),
        };
    }
}

/// Waits for the answer to a call.
fn answer(connection: &mut Connection, serial: u32, goal: &str, method: &str) -> Result<Message, Fault> {
    loop {
        let message = connection.message()?;
        match message.kind {
            Kind::Return if message.reply_serial == Some(serial) => return Ok(message),
            Kind::Error if message.reply_serial == Some(serial) => return Err(refused(&message, goal, method)),
            _ => {}
        }
    }
}

fn refused(message: &Message, goal: &str, method: &str) -> Fault {
    let text = message.values.first().map(|text| format!(" ({})", shortened(text))).unwrap_or_default();
    Fault::new(format!("cannot {goal}: {method}: {}{text}", shortened(&message.error)))
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

/// Gets a name on the bus, and asks for the signals of systemd.
fn join_bus(connection: &mut Connection) -> Result<(), Fault> {
    let goal = "ask systemd for a cgroup";
    let rule = "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',\
                member='JobRemoved'";
    let mut of_match = Writer::default();
    of_match.string(rule);
    let calls = [("Hello", SERIAL_OF_HELLO, "", Writer::default()), ("AddMatch", SERIAL_OF_MATCH, "s", of_match)];
    for (member, serial, signature, body) in calls {
        let message = Call { destination: Some(BUS), path: BUS_PATH, interface: BUS, member, signature, body };
        let text = format!("sendto({:?}, {member})", connection.path());
        own(goal, text, || connection.send(&message.encode(serial)))?;
        answer(connection, serial, goal, member)?;
    }
    Ok(())
}

/// Writes the properties of the scope; returns them as text.
fn properties(body: &mut Writer, origin: &Origin) -> String {
    let mut text = vec!["PIDs=[0]".to_owned(), "Delegate=true".to_owned()];
    body.array(8, |all| {
        all.property("Description", "s", |value| value.string("a command with limits (cgexec-rs)"));
        all.property("PIDs", "au", |value| value.array(4, |pids| pids.u32(0)));
        all.property("Delegate", "b", |value| value.u32(1));
        // A scope whose processes ran out of memory would stay, as failed.
        all.property("CollectMode", "s", |value| value.string("inactive-or-failed"));
        // By default, a scope has a limit that nobody asked for.
        all.property("TasksMax", "t", |value| value.u64(u64::MAX));
        text.push("CollectMode=\"inactive-or-failed\", TasksMax=infinity".to_owned());
        if let Some(slice) = &origin.slice {
            all.property("Slice", "s", |value| value.string(slice));
            text.push(format!("Slice={slice:?}"));
        }
        if let Some(service) = &origin.service {
            all.property("PartOf", "as", |value| value.array(4, |units| units.string(service)));
            text.push(format!("PartOf=[{service:?}]"));
        }
    });
    format!("{{{}}}", text.join(", "))
}

/// Connects to the first socket that answers.
fn connect(sockets: &[Socket], manager: Manager) -> Result<(Connection, bool), Fault> {
    let mut first = None;
    for socket in sockets {
        match Connection::open(&socket.path) {
            Ok(connection) => return Ok((connection, socket.is_bus)),
            Err(fault) => first = first.or(Some(fault)),
        }
    }
    let is_absent =
        first.as_ref().is_none_or(|fault| matches!(fault.errno(), Some(Errno::ENOENT | Errno::ECONNREFUSED)));
    let fault = first.unwrap_or_else(|| {
        let uid = geteuid().as_raw();
        Fault::new(format!(
            "cannot ask systemd for a cgroup: XDG_RUNTIME_DIR is not set, and there is no /run/user/{uid}"
        ))
    });
    Err(match manager {
        Manager::User if is_absent => {
            let uid = geteuid().as_raw();
            fault.with_remedy(format!(
                "no manager of systemd answers for uid {uid}; root starts one with loginctl enable-linger {uid}"
            ))
        }
        _ => fault,
    })
}

/// Returns the sockets of the manager, in the order in which they are tried.
fn sockets(manager: Manager) -> Vec<Socket> {
    let private = |path: PathBuf| Socket { path, is_bus: false };
    let bus = |path: PathBuf| Socket { path, is_bus: true };
    match manager {
        Manager::System => {
            vec![private("/run/systemd/private".into()), bus("/run/dbus/system_bus_socket".into())]
        }
        Manager::User => {
            let folder = runtime_folder();
            let named = env::var("DBUS_SESSION_BUS_ADDRESS").ok().and_then(|address| path_of(&address));
            let of_folder = folder.iter().map(|folder| private(folder.join("systemd/private")));
            of_folder.chain(named.map(bus)).chain(folder.iter().map(|folder| bus(folder.join("bus")))).collect()
        }
    }
}

/// Returns the folder of the user's sockets; without XDG_RUNTIME_DIR, as after su(1), the usual one if it is the user's.
fn runtime_folder() -> Option<PathBuf> {
    let usual = || {
        let uid = geteuid().as_raw();
        let path = PathBuf::from(format!("/run/user/{uid}"));
        std::fs::symlink_metadata(&path).is_ok_and(|folder| folder.is_dir() && folder.uid() == uid).then_some(path)
    };
    env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute()).or_else(usual)
}

/// Returns the path in an address such as `unix:path=/run/user/1000/bus,guid=…`; escapes are not used in such paths.
fn path_of(address: &str) -> Option<PathBuf> {
    let first = address.split(';').find_map(|one| one.strip_prefix("unix:"))?;
    let path = first.split(',').find_map(|pair| pair.strip_prefix("path="))?;
    Some(path).filter(|path| path.starts_with('/') && !path.contains('%')).map(|path| Path::new(path).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_bus_is_a_path() {
        let path = |address| path_of(address).map(|path| path.display().to_string());
        assert_eq!(path("unix:path=/run/user/7/bus").as_deref(), Some("/run/user/7/bus"));
        assert_eq!(path("tcp:host=a;unix:guid=1,path=/b").as_deref(), Some("/b"));
        for other in ["", "unix:abstract=/tmp/x", "unix:path=b", "unixexec:path=/bin/sh", "unix:path=/a%20b"] {
            assert_eq!(path(other), None, "{other}");
        }
    }
}
