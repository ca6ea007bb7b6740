//! `--hold`: namespaces around a small init, held open for a pipeline, and the record that names them.
//!
//! The init is made by one clone3(2) with all the namespaces, so it is pid 1 where a pid namespace is asked for; but a
//! time namespace takes its offsets only until somebody is in it, so that one is made before, by unshare(2), and the user
//! namespace that has to own it. The init runs from a sealed copy of our executable, with descriptors of its own making
//! only: nothing of the host is left for the container to reach through /proc/1.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use plumbing::assembly::{self, Lease};
use plumbing::kernel::{Cloned, close_range, exit_now, fork_into, look};
use plumbing::namespace::{Kind, KindSet};
use plumbing::privilege::Holding;
use plumbing::record::{Namespace, Record};
use plumbing::target::{Target, own_namespace_inode};
use plumbing::text::Text;
use plumbing::{Fault, Status, narrate, record_out, sealed};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::mapping::{Caller, Maps};
use crate::outside::{Errands, Outside};
use crate::plan::{Hold, manuals, set_up, unshare};
use crate::{init, map_helper, refusal};

/// Makes the container's init and passes its record on.
pub(crate) fn hold(plan: &Hold) -> Result<Status, Fault> {
    record_out::require_reader()?;
    let kinds = plan.namespaces.kinds;
    let ours = OwnNamespaces::now();
    let maps = plan.namespaces.mapping.resolve(Caller::now(), false)?;
    let kit = Kit::prepare()?;
    match kinds.contains(Kind::Time) {
        false => hold_with(plan, kinds, &maps, kit, &ours),
        true => {
            let first: KindSet = kinds.iter().filter(|kind| matches!(kind, Kind::User | Kind::Time)).collect();
            unshare_first(plan, first, &maps)?;
            hold_with(plan, kinds.iter().filter(|kind| !first.contains(*kind)).collect(), &Maps::default(), kit, &ours)
        }
    }
}

/// What there has to be before there is an init: it is in these from its first moment, with the clocks set off.
fn unshare_first(plan: &Hold, kinds: KindSet, maps: &Maps) -> Result<(), Fault> {
    let outside = Outside::station(Errands { maps, persist: &[], pid_file: None })?;
    refusal::explain(kinds, unshare(kinds))?;
    maps.prepare("self")?;
    outside.map()?;
    maps.write_inside()?;
    outside.leave()?;
    plan.offsets.write()
}

fn hold_with(plan: &Hold, kinds: KindSet, maps: &Maps, kit: Kit, ours: &OwnNamespaces) -> Result<Status, Fault> {
    let (mapped, map) = look("wait for id maps", "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    match refusal::explain(kinds, clone(kinds))? {
        Cloned::Child => match await_maps(maps, mapped, map).and_then(|()| become_init(plan, maps, kit.init)) {
            Ok(()) if narrate::is_dry_run() => Ok(Status::SUCCESS),
            Ok(()) => exit_now(Status::OURS),
            Err(fault) => exit_now(fault.report(narrate::tool())),
        },
        Cloned::Parent { pid, pidfd } => {
            drop((kit.init, mapped));
            if !maps.outside.is_empty() {
                write_maps(pid, maps)?;
                look("let the init go on", "write(pipe)", || rustix::io::write(&map, b"+"))?;
            }
            if !kit.lease.hear_ready()? {
                // It has said why on stderr.
                return Err(Fault::already_told(Status::OURS));
            }
            let target = Target::of_pidfd(pid, pidfd)?;
            hand_over(plan, target, kit.lease, ours)
        }
    }
}

/// Which namespaces we were started in: what the record calls private is in others.
struct OwnNamespaces([Option<u64>; Kind::ALL.len()]);

impl OwnNamespaces {
    fn now() -> OwnNamespaces {
        OwnNamespaces(Kind::ALL.map(own_namespace_inode))
    }

    fn has(&self, kind: Kind, inode: u64) -> bool {
        self.0[kind as usize] == Some(inode)
    }
}

/// From outside, by the right that we have there. A failure ends the init too: nobody opens its pipe any more.
fn write_maps(pid: i32, maps: &Maps) -> Result<(), Fault> {
    maps.prepare(&pid.to_string())?;
    map_helper::write(pid, maps)
}

/// In the child: waits until it has ids, where somebody else gives them.
fn await_maps(maps: &Maps, mapped: OwnedFd, map: OwnedFd) -> Result<(), Fault> {
    drop(map);
    if maps.outside.is_empty() {
        return maps.prepare("self");
    }
    if narrate::is_dry_run() {
        return write_maps(std::process::id().cast_signed(), maps);
    }
    match look("wait for id maps", "read(pipe)", || rustix::io::read(&mapped, &mut [0u8; 1]))? {
        // The one outside has said why on stderr.
        0 => Err(Fault::already_told(Status::OURS)),
        _ => Ok(()),
    }
}

fn clone(kinds: KindSet) -> Result<Cloned, Fault> {
    let why = format!("an init in {} namespaces of its own; {}", kinds.names(), manuals(kinds));
    fork_into(kinds, format!("create the {} namespaces", kinds.names()), &why)
}

fn hand_over(plan: &Hold, target: Target, lease: Lease, ours: &OwnNamespaces) -> Result<Status, Fault> {
    let passed = record_of(plan, &target, ours).and_then(|record| record_out::pass_on(&record, Some(lease.as_fd())));
    match passed {
        Ok(()) => lease.release(&target).map(|()| Status::SUCCESS),
        Err(fault) => match lease.abandon(&target)? {
            true => Err(fault),
            false => Err(fault.with_remedy(format!("the container's init, process {}, does not end", target.pid()))),
        },
    }
}

fn record_of(plan: &Hold, target: &Target, ours: &OwnNamespaces) -> Result<Record, Fault> {
    let name = Some(Text(plan.orders.name.clone())).filter(|name| !name.0.is_empty());
    let mut record = Record::new(name.as_ref(), target.identity()?)?;
    let mut namespaces = Vec::new();
    for kind in Kind::ALL {
        if let Some(inode) = target.namespace_inode(kind)? {
            namespaces.push((kind, Namespace { inode, private: !ours.has(kind, inode) }));
        }
    }
    record.set_namespaces(&namespaces)?;
    if let Some(hostname) = &plan.namespaces.hostname {
        record.set("hostname", &Text(hostname.clone()))?;
    }
    Ok(record)
}

/// What the two processes share before they part.
struct Kit {
    lease: Lease,
    init: InitKit,
}

/// What the init takes along.
struct InitKit {
    lease: OwnedFd,
    doorbell: OwnedFd,
    bell: OwnedFd,
    mark: OwnedFd,
    executable: OwnedFd,
}

impl Kit {
    fn prepare() -> Result<Kit, Fault> {
        let (ours, lease) = assembly::lease_pair()?;
        let (doorbell, bell) = look("make a doorbell", "socketpair(AF_UNIX, SOCK_SEQPACKET)", || {
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        })?;
        let init = InitKit { lease, doorbell, bell, mark: assembly::make_mark()?, executable: sealed::copy_of_self()? };
        Ok(Kit { lease: Lease::first(ours), init })
    }
}

/// The child's way: set up the namespaces, keep nothing of the host, execute the sealed copy.
fn become_init(plan: &Hold, maps: &Maps, kit: InitKit) -> Result<(), Fault> {
    maps.write_inside()?;
    look("leave the terminal", "setsid()", rustix::process::setsid)?;
    set_up(&plan.namespaces)?;
    look("leave the directory", "chdir(\"/\")", || rustix::process::chdir("/"))?;
    let executable = if narrate::is_dry_run() { kit.executable } else { arrange_descriptors(kit)? };
    let argv: Vec<OsString> = plan.orders.to_argv();
    let why = "the container must not reach a host file by /proc/1/exe";
    let why = match plan.orders.ttl_ms {
        Some(ttl) => format!("{why}; this init ends by itself unless a command is entered within {ttl} ms"),
        None => why.to_owned(),
    };
    sealed::exec_without_environment(&executable, &argv, &why)?;
    // Only a dry run comes here.
    let is_root = plan.namespaces.kinds.contains(Kind::User);
    init::confine(if is_root { Holding::Everything } else { Holding::Now })
}

/// Puts what the init keeps at its agreed numbers, and marks everything else to be closed on exec. stdin and stdout
/// become the mark: open, so that Rust's runtime opens no /dev/null of the host, and of no use to anyone.
fn arrange_descriptors(kit: InitKit) -> Result<OwnedFd, Fault> {
    const SAFE: RawFd = 32;
    let goal = "arrange the init's descriptors";
    let lift = |fd: OwnedFd| {
        look(goal, "fcntl(F_DUPFD_CLOEXEC)", || nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(SAFE)))
            .map(plumbing::kernel::adopt)
    };
    // First all of them out of the way: a number that is to be filled may still hold another of them.
    let (mark, doorbell, bell) = (lift(kit.mark)?, lift(kit.doorbell)?, lift(kit.bell)?);
    let (lease, executable) = (lift(kit.lease)?, lift(kit.executable)?);
    let places = [
        (&mark, 0),
        (&mark, 1),
        (&mark, assembly::MARK_FD),
        (&doorbell, assembly::DOORBELL_FD),
        (&bell, assembly::BELL_FD),
        (&lease, assembly::FIRST_LEASE_FD),
    ];
    for (fd, place) in places {
        look(goal, format!("dup2({}, {place})", fd.as_raw_fd()), || plumbing::kernel::place(fd, place))?;
    }
    look(goal, "close_range(7, ~0, CLOSE_RANGE_CLOEXEC)", || {
        close_range(assembly::FIRST_LEASE_FD as u32 + 1, u32::MAX, true)
    })?;
    Ok(executable)
}
