//! From options to a plan: adds what options imply, and refuses options that contradict each other. Pure.

use plumbing::Fault;

use crate::change::Change;
use crate::cni;
use crate::connection::Connection;
use crate::map::Form;
use crate::mark::INTERFACE;
use crate::name::Name;
use crate::name_servers;
use crate::network::Wanted;
use crate::options::{Connect, Delete, Disconnect, Exec, ListId, Map, Options, Show, Verb, Wiring, number};
use crate::plan::{Action, Plan};
use crate::relay::Relays;
use crate::republish::Ports;
use crate::shape::Shape;
use crate::tap::Tap;

/// Returns the plan, or a usage error that names the contradiction.
pub(crate) fn plan(options: Options) -> Result<Plan, Fault> {
    let action = match options.verb {
        None if options.batch.is_some() => {
            Action::Batch { file: options.batch.unwrap_or_default(), force: options.force, json: options.json }
        }
        None => Action::List { json: false },
        Some(Verb::Exec(exec)) => run(exec)?,
        Some(Verb::Add(named)) => Action::Add(named.name.into_new()?),
        Some(Verb::Attach(attach)) => Action::Attach { name: attach.name.into_new()?, pid: attach.pid },
        Some(Verb::Delete(Delete { name: Some(name), .. })) => Action::Delete(name),
        Some(Verb::Delete(_)) => Action::DeleteAll,
        Some(Verb::Set(set)) => Action::SetId { name: set.name, id: set.id.0 },
        Some(Verb::Identify(identify)) => Action::Identify { pid: identify.pid, json: identify.json },
        Some(Verb::Pids(pids)) => Action::ListProcesses { name: pids.name, json: pids.json },
        Some(Verb::Monitor(monitor)) => Action::Monitor { json: monitor.json },
        Some(Verb::ListId(options)) => list_id(options)?,
        Some(Verb::List(list)) => Action::List { json: list.json },
        Some(Verb::Connect(options)) => connect(options)?,
        Some(Verb::Disconnect(Disconnect { subject, interface })) => {
            Action::Disconnect { subject, interface: interface.unwrap_or_else(|| INTERFACE.to_owned()) }
        }
        Some(Verb::Show(options)) => show(options),
        Some(Verb::Map(map)) => Action::Map(match map {
            Map { json: true, .. } => Form::Json,
            Map { dot: true, .. } => Form::Dot,
            Map { svg: true, .. } => Form::Svg,
            Map { .. } => Form::Text,
        }),
        Some(Verb::Who(who)) => Action::Who { word: who.word, json: who.json },
        Some(Verb::Top(top)) => Action::Top(top.manner()),
        Some(Verb::Doctor(doctor)) => Action::Doctor { subject: doctor.subject, json: doctor.json },
        Some(Verb::Gc(gc)) => Action::RemoveLeftovers { json: gc.json },
    };
    Ok(Plan { narration: options.narration, within: options.netns, action })
}

fn run(exec: Exec) -> Result<Action, Fault> {
    let (connection, relays, dns) = wiring(exec.wiring)?;
    let mut words = exec.words.into_iter();
    if exec.new {
        let command: Vec<_> = words.collect();
        require_command(&command)?;
        return Ok(Action::RunInNew { connection, relays, dns, command });
    }
    if !relays.is_empty() {
        return Err(Fault::usage("--reach, --publish and --pasta are for a new namespace, so they need --new"));
    }
    if connection.is_some() {
        return Err(Fault::usage(
            "--bridge, --macvlan, --ipvlan, --cni and --link connect a new namespace, so they need --new",
        ));
    }
    if dns.is_some() {
        return Err(Fault::usage("--dns needs --new; for a name: --etc, and a file /etc/netns/NAME/resolv.conf"));
    }
    if exec.all {
        let command: Vec<_> = words.collect();
        require_command(&command)?;
        return Ok(Action::RunInAll { etc: exec.etc, command });
    }
    let name = words.next().ok_or_else(|| Fault::usage("exec needs --new, or the name of a namespace"))?;
    let name = Name::parse(&name)
        .map_err(|why| Fault::usage(format!("{:?} is not a name of a namespace: {why}", name.to_string_lossy())))?;
    let mut command: Vec<_> = words.collect();
    if command.first().is_some_and(|word| word == "--") {
        command.remove(0);
    }
    require_command(&command)?;
    Ok(Action::RunIn { name, etc: exec.etc, command })
}

fn require_command(command: &[std::ffi::OsString]) -> Result<(), Fault> {
    if command.is_empty() { Err(Fault::usage("a command is missing")) } else { Ok(()) }
}

fn connect(options: Connect) -> Result<Action, Fault> {
    if options.change {
        return change(options);
    }
    let (connection, relays, dns) = wiring(options.wiring)?;
    if connection.is_none() && relays.is_empty() {
        return Err(Fault::usage(
            "connect needs --bridge, --macvlan, --ipvlan, --cni, --link or --pasta, or a port to relay: --reach, --publish",
        ));
    }
    match options.subject {
        Some(_) if dns.is_some() => {
            Err(Fault::usage("--dns needs exec --new or --pipe: the files of running commands are not changed"))
        }
        Some(subject) => Ok(Action::ConnectNamespace { subject, connection, relays }),
        None if options.pipe => Ok(Action::Connect { connection, relays, dns, keep_on_error: options.keep_on_error }),
        None => Err(Fault::usage("connect needs --pipe, or a network namespace: a name, pid:N or a path")),
    }
}

fn change(options: Connect) -> Result<Action, Fault> {
    let Some(subject) = options.subject else {
        return Err(Fault::usage(
            "connect --change needs a network namespace: a name, the name of a container, a pid or a path",
        ));
    };
    let mut wiring = options.wiring;
    let interface = wiring.interface.take().unwrap_or_else(|| INTERFACE.to_owned());
    let change = take_change(&mut wiring);
    let ports = Ports { added: std::mem::take(&mut wiring.publish), removed: options.unpublish };
    if !wiring.reach.is_empty() || connection(wiring)?.is_some() {
        return Err(Fault::usage(
            "connect --change: only --rate, --delay, --jitter, --loss and --publish can be changed",
        ));
    }
    if change == Change::default() && ports.is_empty() {
        return Err(Fault::usage("connect --change needs --rate, --delay, --jitter, --loss, --publish or --unpublish"));
    }
    Ok(Action::Change { subject, interface, change, ports })
}

fn take_change(wiring: &mut Wiring) -> Change {
    Change {
        rate: wiring.rate.take(),
        delay: wiring.delay.take(),
        jitter: wiring.jitter.take(),
        loss: wiring.loss.take(),
    }
}

/// Without a namespace `show` means the list, as it does for `ip netns`.
fn show(options: Show) -> Action {
    match options {
        Show { pipe: true, .. } => Action::ShowRecords,
        Show { subject: Some(subject), json, .. } => Action::Show { subject, json },
        Show { json, .. } => Action::List { json },
    }
}

fn list_id(options: ListId) -> Result<Action, Fault> {
    let (mut target, mut id) = (None, None);
    for words in options.words.chunks(2) {
        let [word, text] = words else {
            return Err(Fault::usage("list-id: expected the words target-nsid N and nsid N"));
        };
        let place = match word.as_str() {
            "target-nsid" => &mut target,
            "nsid" => &mut id,
            _ => return Err(Fault::usage(format!("list-id: '{word}' is neither target-nsid nor nsid"))),
        };
        *place = Some(number(text).map_err(|valid| Fault::usage(format!("list-id {word} '{text}': {valid}")))?);
    }
    Ok(Action::ListIds { target, id, json: options.json })
}

/// Returns the connection, what is relayed, and the name servers. Without a bridge, published ports are relayed, too.
fn wiring(mut wiring: Wiring) -> Result<(Option<Connection>, Relays, Option<name_servers::Wanted>), Fault> {
    let (dns, search) = (std::mem::take(&mut wiring.dns), std::mem::take(&mut wiring.dns_search));
    let mut relays = Relays { reached: std::mem::take(&mut wiring.reach), ..Relays::default() };
    if wiring.pasta {
        relays.tap = Some(tap(&mut wiring)?);
    } else if wiring.cni.is_some() {
        // The plugins publish them.
    } else if wiring.bridge.is_none() {
        relays.published = std::mem::take(&mut wiring.publish);
    } else if !wiring.publish.is_empty() && !wiring.nat {
        return Err(Fault::usage("--publish on a bridge needs --nat"));
    }
    Ok((connection(wiring)?, relays.check()?, name_servers::Wanted::of(dns, search)?))
}

/// Takes what pasta does from the options; the rest is refused as options without a connection are.
fn tap(wiring: &mut Wiring) -> Result<Tap, Fault> {
    let Wiring { bridge, macvlan, ipvlan, cni, link, .. } = &*wiring;
    if bridge.is_some() || macvlan.is_some() || ipvlan.is_some() || cni.is_some() || link.is_some() {
        return Err(Fault::usage("--pasta: not with --bridge, --macvlan, --ipvlan, --cni or --link"));
    }
    Ok(Tap {
        interface: wiring.interface.take().unwrap_or_else(|| INTERFACE.to_owned()),
        published: std::mem::take(&mut wiring.publish),
        mtu: wiring.mtu.take(),
    })
}

fn connection(mut wiring: Wiring) -> Result<Option<Connection>, Fault> {
    let Wiring { bridge, macvlan, ipvlan, cni, link, .. } = &wiring;
    let given = [bridge.is_some(), macvlan.is_some(), ipvlan.is_some(), cni.is_some(), link.is_some()];
    match given.into_iter().filter(|is_given| *is_given).count() {
        0 => return require_no_details(&wiring).map(|()| None),
        1 => {}
        _ => return Err(Fault::usage("--bridge, --macvlan, --ipvlan, --cni, --link: expected one of them")),
    }
    let shape = take_change(&mut wiring).of(Shape::default())?;
    if wiring.bridge.is_none() && wiring.cni.is_none() && shape != Shape::default() {
        return Err(Fault::usage(
            "--rate, --delay and --loss need --bridge: the other direction is not ours elsewhere",
        ));
    }
    let (mut addresses, mut auto) = (Vec::new(), Vec::new());
    for wanted in wiring.address {
        match wanted {
            Wanted::Fixed(address) => addresses.push(address),
            Wanted::Auto(subnet) => auto.push(subnet),
        }
    }
    if auto.len() > 1 {
        return Err(Fault::usage("--address auto: one address can be chosen, the others have to be given"));
    }
    let connection = Connection {
        bridge: wiring.bridge.unwrap_or_default(),
        direct: wiring.macvlan.or(wiring.ipvlan),
        interface: wiring.interface.or_else(|| wiring.link.clone()).unwrap_or_else(|| INTERFACE.to_owned()),
        moved: wiring.link,
        cni: cni::Wanted::of(wiring.cni, wiring.cni_conf, wiring.cni_timeout),
        addresses,
        auto: auto.first().copied(),
        gateways: wiring.gateway,
        nat: wiring.nat,
        published: wiring.publish,
        routes: wiring.route,
        mtu: wiring.mtu,
        shape,
        mac: wiring.mac,
        isolate: wiring.isolate,
        allow_spoofing: wiring.allow_spoofing,
        name: wiring.name,
    };
    connection.check().map(Some)
}

/// Refuses options about an interface if none is made.
fn require_no_details(wiring: &Wiring) -> Result<(), Fault> {
    let details = [
        (!wiring.address.is_empty(), "--address"),
        (!wiring.gateway.is_empty(), "--gateway"),
        (wiring.interface.is_some(), "--interface"),
        (!wiring.route.is_empty(), "--route"),
        (wiring.mtu.is_some(), "--mtu"),
        (wiring.mac.is_some(), "--mac"),
        (wiring.rate.is_some(), "--rate"),
        (wiring.delay.is_some(), "--delay"),
        (wiring.jitter.is_some(), "--jitter"),
        (wiring.loss.is_some(), "--loss"),
    ];
    match details.iter().find(|(is_given, _)| *is_given) {
        Some((_, option)) => {
            Err(Fault::usage(format!("{option} needs --bridge, --macvlan, --ipvlan, --cni or --link")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
