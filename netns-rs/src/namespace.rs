//! Network namespaces: a new one, or an existing one. `unshare(2)`, `setns(2)`, `network_namespaces(7)`.
//!
//! A new namespace has only a loopback interface, and the surprise is that it is down: not even 127.0.0.1 answers.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, setns, unshare};
use plumbing::Fault;
use plumbing::kernel::{call, look};
use plumbing::process::target::Target;
use rustix::fs::{Mode, OFlags, open, openat};

use crate::capability;
use crate::link;
use crate::netlink::Netlink;

/// Moves this process into a new network namespace.
pub fn make() -> Result<(), Fault> {
    call(
        "make a network namespace",
        "unshare(CLONE_NEWNET)",
        "separate interfaces, addresses, routes, ports and firewall; network_namespaces(7)",
        || unshare(CloneFlags::CLONE_NEWNET),
    )
    .map_err(capability::needs_own_user_namespace)
}

/// Brings up the loopback interface of the socket's namespace.
pub fn bring_loopback_up(netlink: &Netlink) -> Result<(), Fault> {
    link::set_up(netlink, "lo", link::LOOPBACK, "otherwise not even 127.0.0.1 answers")
}

/// Moves this process into the network namespace of the descriptor; `whose` names it in texts.
pub fn enter(namespace: BorrowedFd<'_>, whose: &str, why: &str) -> Result<(), Fault> {
    call(
        format!("enter {whose} network namespace"),
        format!("setns({whose} network namespace, CLONE_NEWNET)"),
        why,
        || setns(namespace, CloneFlags::CLONE_NEWNET),
    )
    .map_err(capability::needs_sys_admin)
}

/// Opens an rtnetlink socket in another network namespace: the socket stays there, and we come back.
pub fn socket_inside(namespace: BorrowedFd<'_>, whose: &str) -> Result<Netlink, Fault> {
    let home = own()?;
    enter(namespace, whose, "a netlink socket belongs to the namespace in which it is opened")?;
    let socket = Netlink::route();
    enter(home.as_fd(), "our own", "the socket continues to work there")?;
    socket
}

/// Opens the network namespace that we are in.
pub fn own() -> Result<OwnedFd, Fault> {
    const PATH: &str = "/proc/self/ns/net";
    look("open our network namespace", format!("openat(AT_FDCWD, {PATH:?}, O_RDONLY)"), || {
        open(PATH, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    })
}

/// Opens the network namespace of a process.
pub fn of(target: &Target) -> Result<OwnedFd, Fault> {
    let goal = format!("open the network namespace of process {}", target.pid());
    look(goal, format!("openat(\"/proc/{}\", \"ns/net\", O_RDONLY)", target.pid()), || {
        openat(target.dir(), "ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    })
    .map_err(|fault| explain_foreign(fault, target))
}

/// Explains EACCES by the user of the process: `ptrace(2)`, "Ptrace access mode checking".
fn explain_foreign(fault: Fault, target: &Target) -> Fault {
    let owner = rustix::fs::fstat(target.dir()).map(|stat| stat.st_uid);
    let user = rustix::process::geteuid().as_raw();
    match (fault.errno(), owner) {
        (Some(nix::errno::Errno::EACCES), Ok(owner)) if owner != user => fault.with_remedy(format!(
            "process {} belongs to uid {owner}, and we are uid {user}: run this as that user or as root",
            target.pid()
        )),
        _ => fault,
    }
}

/// Returns the inode of a namespace.
pub fn inode(namespace: BorrowedFd<'_>) -> Result<u64, Fault> {
    look("identify a network namespace", "fstat()", || rustix::fs::fstat(namespace)).map(|stat| stat.st_ino)
}

/// Returns whether both are the same namespace.
pub fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<bool, Fault> {
    let identity = |fd: BorrowedFd<'_>| {
        look("compare network namespaces", "fstat()", || rustix::fs::fstat(fd)).map(|stat| (stat.st_dev, stat.st_ino))
    };
    Ok(identity(one)? == identity(other)?)
}
