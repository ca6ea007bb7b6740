//! A container's connection to the host: bridge, veth pair, addresses, default route and NAT, made by a guardian that
//! removes the objects on the host when the container ends. `veth(4)`, `bridge(8)`, `network_namespaces(7)`.
//!
//! Everything inside the container ends with its namespace. The surprise: the kernel removes a namespace some
//! milliseconds after its last process has ended, so until then its end of the pair, and its address, still exist.

use std::cell::RefCell;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use plumbing::pipeline::guardian::{self, Kept};
use plumbing::pipeline::record::Interface;
use plumbing::process::target::wait_readable;
use plumbing::{Fault, narrate};

use crate::connection::Connection;
use crate::link::Link;
use crate::lock::Lock;
use crate::mark::{Mark, Owner};
use crate::netlink::Netlink;
use crate::outside::Outside;
use crate::publish::Reserved;
use crate::qdisc::At;
use crate::survey::{Survey, Taken};
use crate::{cni, inside, moved, namespace, nat, neighbor, publish, route, stacked};

/// How long to wait for the address or a port of a container that has just ended.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

/// The container's side and the host's side of a connection to be made.
pub struct Sides<'a> {
    /// The network namespace of the host.
    pub host: BorrowedFd<'a>,
    /// The network namespace of the container.
    pub container: BorrowedFd<'a>,
    /// A socket inside it.
    pub inside: &'a Netlink,
    /// Whether this process is inside it.
    pub are_we_inside: bool,
}

/// Connects the container until the process behind `watched`, which has the pid `pid`, ends.
pub fn connect(asked: &Connection, sides: &Sides<'_>, pid: i32, watched: BorrowedFd<'_>) -> Result<Interface, Fault> {
    if let Some(direct) = &asked.direct {
        return stacked::connect(asked, direct, sides);
    }
    if let Some(link) = &asked.moved {
        return moved::connect(asked, link, sides, (pid, watched));
    }
    if let Some(wanted) = &asked.cni {
        return cni::connect(asked, wanted, sides, (pid, watched));
    }
    let keep = [sides.host, sides.container, sides.inside.as_fd()];
    let owner = Owner::of(pid, watched)?;
    let answer = guardian::spawn_keeping(watched, &keep, || make(asked, sides, watched, owner))?;
    plumbing::json::of_text(&answer).map_err(|error| Fault::new(format!("cannot read the guardian's answer: {error}")))
}

/// Connects a namespace that no process is known in. Nothing watches it: the connection ends with the namespace or when
/// it is disconnected, and what is then left on the host is removed by the next run. `path` is the file of the namespace.
pub fn connect_lasting(asked: &Connection, sides: &Sides<'_>, path: Option<&Path>) -> Result<(), Fault> {
    if let Some(direct) = &asked.direct {
        return stacked::connect(asked, direct, sides).map(drop);
    }
    if let Some(link) = &asked.moved {
        return Err(Fault::new(format!("cannot move {link}: nothing shows when the container ends"))
            .with_remedy("name a process: netns-rs connect pid:N --link NAME"));
    }
    if let Some(wanted) = &asked.cni {
        let path = path.ok_or_else(|| Fault::new("cannot use a CNI network: the namespace has no path"))?;
        return cni::connect_lasting(asked, wanted, sides, path);
    }
    let mut outside = Outside::open(asked, sides.container, None)?;
    let lock = Lock::open()?;
    try_for_a_while(&lock, &mut outside, asked, sides, || Ok(false))
}

fn make(asked: &Connection, sides: &Sides<'_>, watched: BorrowedFd<'_>, owner: Owner) -> Result<(String, Made), Fault> {
    if sides.are_we_inside {
        namespace::enter(sides.host, "the host's", "the bridge and our end of the pair are made there")?;
    }
    let mut outside = Outside::open(asked, sides.container, Some(owner))?;
    let lock = Lock::open()?;
    try_for_a_while(&lock, &mut outside, asked, sides, || wait_readable(watched, Some(Duration::ZERO)))?;
    let answer = serde_json::to_string(&outside.description())
        .map_err(|error| Fault::new(format!("cannot describe what was made: {error}")))?;
    let reserved = RefCell::new(std::mem::take(&mut outside.reserved));
    Ok((answer, Made { lock, outside, reserved }))
}

/// A connection, until its process ends, or until somebody removes the pair.
struct Made {
    lock: Lock,
    outside: Outside,
    /// The sockets that keep the published ports.
    reserved: RefCell<Reserved>,
}

impl Kept for Made {
    fn wait(&self, watched: BorrowedFd<'_>) -> Result<(), Fault> {
        let departure = self.outside.departure.as_ref();
        // Its alias says which ports are published; `connect --change` may change that.
        let follow = |link: &Link| {
            let mark = link.alias.as_deref().and_then(Mark::parse);
            mark.map_or((), |mark| publish::follow(&mut self.reserved.borrow_mut(), &mark))
        };
        departure.map_or(Ok(()), |departure| departure.wait(&self.outside.netlink, watched, follow))
    }

    fn remove(mut self) -> Result<(), Fault> {
        self.lock.with_or_without(|has_lock| self.outside.remove(has_lock))
    }
}

/// Attempts until an address or a port that is taken is free, but not for long.
fn try_for_a_while(
    lock: &Lock,
    outside: &mut Outside,
    asked: &Connection,
    sides: &Sides<'_>,
    has_ended: impl Fn() -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if !narrate::is_dry_run() && has_ended()? {
            return Err(Fault::new(format!("cannot connect the container to {}: it has ended", asked.bridge)));
        }
        match lock.with(|| attempt(outside, asked, sides))? {
            Ok(()) => return Ok(()),
            Err(taken) if narrate::is_dry_run() || Instant::now() >= deadline => return Err(taken),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Makes everything, or nothing. The inner fault: an address or a port is taken, perhaps not for long.
fn attempt(outside: &mut Outside, asked: &Connection, sides: &Sides<'_>) -> Result<Result<(), Fault>, Fault> {
    outside.clear(&asked.bridge)?;
    let survey = Survey::take(&outside.netlink)?;
    let asked = &survey.choose(asked)?;
    outside.adopt(asked);
    // Before the first rule, which would take a port from the program that listens on it.
    outside.reserved = match publish::reserve(asked) {
        // Perhaps by the guardian of a container that has just ended.
        Err(fault) if fault.errno() == Some(Errno::EADDRINUSE) => return Ok(Err(fault)),
        reserved => reserved?,
    };
    survey.require_free(&outside.netlink, asked)?;
    survey.require_unpublished(&asked.published, None)?;
    match survey.taken(asked) {
        Some(Taken::ByPort(fault)) => return Ok(Err(fault)),
        Some(Taken::ByHost(fault)) => return Err(fault),
        None => {}
    }
    match build(outside, &survey, asked, sides) {
        Ok(()) => Ok(Ok(())),
        Err(fault) => {
            if let Err(left) = outside.undo() {
                narrate::remark(format_args!("{left}; something is left on the host"));
            }
            Err(fault)
        }
    }
}

/// Makes the connection: the steps in the order that the kernel requires.
fn build(outside: &mut Outside, survey: &Survey, asked: &Connection, sides: &Sides<'_>) -> Result<(), Fault> {
    inside::require_unused(asked, sides)?;
    let bridge = outside.bridge(survey, asked)?;
    let peer = outside.pair(bridge, asked, sides)?;
    // Before our end is up: what it sends and gets is restricted from the first packet.
    if asked.nat {
        nat::establish(&outside.netlink, asked, &outside.veth.name)?
    } else {
        nat::guard(&outside.netlink, asked, &outside.veth.name, survey.has_nat())?
    }
    outside.raise()?;
    inside::close(asked, sides)?;
    asked.shape.apply(&At { netlink: sides.inside, name: &asked.interface, index: peer }, asked.mtu)?;
    inside::furnish(asked, sides, peer)?;
    // Last: from here on the host finds the container.
    neighbor::forget(&outside.netlink, bridge, &asked.addresses)?;
    require_way(outside, asked, bridge)?;
    outside.finish()
}

/// Refuses a container that the host would not reach, because a rule or another route leads its address elsewhere.
fn require_way(outside: &Outside, asked: &Connection, bridge: u32) -> Result<(), Fault> {
    if narrate::is_dry_run() {
        return Ok(());
    }
    for address in &asked.addresses {
        if asked.bridge_addresses().any(|own| own.reaches(address.ip)) {
            route::require_way(&outside.netlink, address.ip, bridge, &asked.bridge)?;
        }
    }
    Ok(())
}
