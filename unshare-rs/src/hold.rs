//! `--hold`: a small init that keeps new namespaces open for a pipeline, and the record that identifies them.
//!
//! One clone3(2) makes the init with all its namespaces, so the init is pid 1 of a new pid namespace. But the offsets
//! of a time namespace can be set only before a process enters it, so unshare(2) makes it beforehand, together with the
//! user namespace that must own it. The init runs from a sealed copy of our executable, with only its own descriptors:
//! the container can reach no file of the host through /proc/1.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use plumbing::confinement::privilege::Holding;
use plumbing::kernel::{Cloned, exit_now, fork_into, look, own};
use plumbing::pipeline::assembly::{self, Lease};
use plumbing::pipeline::kept_process;
use plumbing::pipeline::mark;
use plumbing::pipeline::record::{Namespace, Record};
use plumbing::pipeline::record_out;
use plumbing::process::closing::close_range;
use plumbing::process::namespace::{Kind, KindSet};
use plumbing::process::target::{Target, own_namespace_inode};
use plumbing::process::{sealed, session};
use plumbing::text::Text;
use plumbing::{Fault, Status, narrate};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::clock_offsets::ClockOffsets;
use crate::mapping::{Caller, Maps};
use crate::namespaces::{Namespaces, manuals, unshare};
use crate::old_namespaces::{Outside, OutsideWork};
use crate::{init, map_helper, refusal};

/// Namespaces that stay open for a pipeline, and the parameters of the init that keeps them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NewHold {
    pub(crate) namespaces: Namespaces,
    pub(crate) offsets: ClockOffsets,
    pub(crate) orders: init::Orders,
}

/// Makes the init of the container and passes the record on.
pub(crate) fn hold(new: &NewHold) -> Result<Status, Fault> {
    record_out::require_reader()?;
    let kinds = new.namespaces.kinds;
    let ours = OwnNamespaces::now();
    let maps = new.namespaces.mapping.resolve(Caller::now(), false)?;
    let kit = Kit::prepare()?;
    if !kinds.contains(Kind::Time) {
        return hold_with(new, kinds, &maps, kit, &ours);
    }
    let first: KindSet = kinds.iter().filter(|kind| matches!(kind, Kind::User | Kind::Time)).collect();
    unshare_first(new, first, &maps)?;
    let rest = kinds.iter().filter(|kind| !first.contains(*kind)).collect();
    hold_with(new, rest, &Maps::default(), kit, &ours)
}

/// Makes the namespaces that must exist before the init, which starts inside them, and sets the clock offsets.
fn unshare_first(new: &NewHold, kinds: KindSet, maps: &Maps) -> Result<(), Fault> {
    let outside = Outside::start(OutsideWork { maps, persist: &[], pid_file: None }, false)?;
    refusal::explain(kinds, unshare(kinds))?;
    maps.prepare("self")?;
    outside.map()?;
    maps.write_inside()?;
    outside.end()?;
    new.offsets.write()
}

fn hold_with(new: &NewHold, kinds: KindSet, maps: &Maps, kit: Kit, ours: &OwnNamespaces) -> Result<Status, Fault> {
    let (mapped, map) = own("wait for id maps", "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    match refusal::explain(kinds, clone(kinds))? {
        Cloned::Child => match await_maps(maps, mapped, map).and_then(|()| become_init(new, maps, kit.init)) {
            Ok(()) if narrate::is_dry_run() => Ok(Status::SUCCESS),
            Ok(()) => exit_now(Status::OURS),
            Err(fault) => exit_now(fault.report(narrate::tool())),
        },
        Cloned::Parent { pid, pidfd } => {
            let Kit { lease, mark, init } = kit;
            drop((init, mapped));
            if !maps.outside.is_empty() {
                write_maps(pid, maps)?;
                own("let the init continue", "write(pipe)", || rustix::io::write(&map, b"+"))?;
            }
            if !lease.hear_ready()? {
                // The init has printed the reason to stderr.
                return Err(Fault::already_told(Status::OURS));
            }
            let target = Target::of_pidfd(pid, pidfd)?;
            let own = target.namespace_inode(Kind::Mnt)?.filter(|inode| !ours.has(Kind::Mnt, *inode));
            mark::name(&mark, &target, own)?;
            hand_over(new, target, lease, ours)
        }
    }
}

/// The namespaces in which we were started: a namespace that the record calls private is a different one.
struct OwnNamespaces([Option<u64>; Kind::ALL.len()]);

impl OwnNamespaces {
    fn now() -> OwnNamespaces {
        OwnNamespaces(Kind::ALL.map(own_namespace_inode))
    }

    fn has(&self, kind: Kind, inode: u64) -> bool {
        self.0[kind as usize] == Some(inode)
    }
}

/// Writes the maps from outside, where we have the right to do so. After a failure the init ends too, because the pipe
/// that it reads is closed.
fn write_maps(pid: i32, maps: &Maps) -> Result<(), Fault> {
    maps.prepare(&pid.to_string())?;
    map_helper::write(pid, maps)
}

/// Waits, in the child, until its ids are mapped from outside, if they are.
fn await_maps(maps: &Maps, mapped: OwnedFd, map: OwnedFd) -> Result<(), Fault> {
    drop(map);
    if maps.outside.is_empty() {
        return maps.prepare("self");
    }
    if narrate::is_dry_run() {
        return write_maps(std::process::id().cast_signed(), maps);
    }
    match look("wait for id maps", "read(pipe)", || rustix::io::read(&mapped, &mut [0u8; 1]))? {
        // The process outside has printed the reason to stderr.
        0 => Err(Fault::already_told(Status::OURS)),
        _ => Ok(()),
    }
}

fn clone(kinds: KindSet) -> Result<Cloned, Fault> {
    let why = format!("an init in new {} namespaces; {}", kinds.names(), manuals(kinds));
    fork_into(kinds, format!("create the {} namespaces", kinds.names()), &why)
}

fn hand_over(new: &NewHold, target: Target, lease: Lease, ours: &OwnNamespaces) -> Result<Status, Fault> {
    let passed = record_of(new, &target, ours).and_then(|record| record_out::pass_on(&record, Some(lease.as_fd())));
    match passed {
        Ok(()) => lease.release(&target).map(|()| Status::SUCCESS),
        Err(fault) => {
            if lease.abandon(&target)? {
                Err(fault)
            } else {
                Err(fault.with_remedy(format!("the container's init is still running: process {}", target.pid())))
            }
        }
    }
}

fn record_of(new: &NewHold, target: &Target, ours: &OwnNamespaces) -> Result<Record, Fault> {
    let name = Some(Text(new.orders.name.clone())).filter(|name| !name.0.is_empty());
    let mut record = Record::new(name.as_ref(), target.identity()?)?;
    let mut namespaces = Vec::new();
    for kind in Kind::ALL {
        if let Some(inode) = target.namespace_inode(kind)? {
            namespaces.push((kind, Namespace { inode, private: !ours.has(kind, inode) }));
        }
    }
    record.set_namespaces(&namespaces)?;
    if let Some(hostname) = &new.namespaces.hostname {
        record.set("hostname", &Text(hostname.clone()))?;
    }
    Ok(record)
}

/// What this process and the future init share before the clone.
struct Kit {
    lease: Lease,
    /// Completed when the init exists.
    mark: OwnedFd,
    init: InitKit,
}

/// The descriptors of the init.
struct InitKit {
    lease: OwnedFd,
    doorbell: OwnedFd,
    bell: OwnedFd,
    mark: OwnedFd,
    process: OwnedFd,
    /// A refusal counts only once there is a container: what prevents that is the better explanation.
    maker: Result<Makers, Fault>,
    executable: OwnedFd,
}

/// The namespaces of the process that makes the init.
struct Makers {
    pid: OwnedFd,
    user: OwnedFd,
}

impl Makers {
    fn open() -> Result<Makers, Fault> {
        let open = |name: &str| {
            let path = format!("/proc/self/ns/{name}");
            own(format!("keep our {name} namespace"), format!("openat(AT_FDCWD, {path:?}, O_RDONLY|O_CLOEXEC)"), || {
                rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            })
            .map_err(sealed::explain_unmounted)
        };
        Ok(Makers { pid: open(Kind::Pid.proc_name())?, user: open(Kind::User.proc_name())? })
    }
}

impl Kit {
    fn prepare() -> Result<Kit, Fault> {
        let (ours, lease) = assembly::lease_pair()?;
        let (doorbell, bell) = own("make a doorbell", "socketpair(AF_UNIX, SOCK_SEQPACKET)", || {
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        })?;
        let (mark, process) = (mark::make()?, kept_process::unconfined()?);
        let ours_too = own("make the mark of a hold", "fcntl(memfd, F_DUPFD_CLOEXEC)", || mark.try_clone())?;
        let executable = sealed::copy_of_self()?;
        let init = InitKit { lease, doorbell, bell, mark, process, maker: Makers::open(), executable };
        Ok(Kit { lease: Lease::first(ours), mark: ours_too, init })
    }
}

/// Sets up the namespaces, in the child, gives up everything of the host, and executes the sealed copy.
fn become_init(new: &NewHold, maps: &Maps, kit: InitKit) -> Result<(), Fault> {
    maps.write_inside()?;
    session::begin("the container outlives the terminal that it was made from; setsid(2)")?;
    new.namespaces.set_up()?;
    own("leave the directory", "chdir(\"/\")", || rustix::process::chdir("/"))?;
    let executable = if narrate::is_dry_run() { kit.executable } else { arrange_descriptors(kit)? };
    let argv: Vec<OsString> = new.orders.to_argv();
    let why = "the container must not reach a file of the host through /proc/1/exe";
    let why = match new.orders.ttl_ms {
        Some(ttl) => format!("{why}; this init exits unless a command is entered within {ttl} ms"),
        None => why.to_owned(),
    };
    sealed::exec_without_environment(&executable, &argv, &why)?;
    // Only a dry run continues here, because it did not execute the copy.
    let is_root = new.namespaces.kinds.contains(Kind::User);
    init::confine(if is_root { Holding::Everything } else { Holding::Now })
}

/// Moves the init's descriptors to their agreed numbers, and marks all others close-on-exec. stdin and stdout become
/// the mark: they are open, so that Rust's runtime does not open the host's /dev/null, and the mark is of no use to an
/// attacker.
fn arrange_descriptors(kit: InitKit) -> Result<OwnedFd, Fault> {
    const SAFE: RawFd = 32;
    let goal = "arrange the init's descriptors";
    let lift = |fd: OwnedFd| {
        own(goal, "fcntl(F_DUPFD_CLOEXEC)", || nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(SAFE)))
            .map(plumbing::kernel::adopt)
    };
    // First all of them move away: a target number may still be used by another of them.
    let (mark, doorbell, bell) = (lift(kit.mark)?, lift(kit.doorbell)?, lift(kit.bell)?);
    let (lease, process) = (lift(kit.lease)?, lift(kit.process)?);
    let Makers { pid, user } = kit.maker?;
    let (pid, user, executable) = (lift(pid)?, lift(user)?, lift(kit.executable)?);
    let places = [
        (&mark, 0),
        (&mark, 1),
        (&mark, assembly::MARK_FD),
        (&doorbell, assembly::DOORBELL_FD),
        (&bell, assembly::BELL_FD),
        (&lease, assembly::FIRST_LEASE_FD),
        (&process, assembly::PROCESS_FD),
        (&pid, assembly::MAKER_PID_FD),
        (&user, assembly::MAKER_USER_FD),
    ];
    for (fd, place) in places {
        own(goal, format!("dup2({}, {place})", fd.as_raw_fd()), || plumbing::kernel::place(fd, place))?;
    }
    own(goal, "close_range(10, ~0, CLOSE_RANGE_CLOEXEC)", || {
        close_range(assembly::MAKER_USER_FD.cast_unsigned() + 1, u32::MAX, true)
    })?;
    Ok(executable)
}
