//! The mount namespace in which the root is made: a new one that nothing leaves, or that of a held container, which must
//! be its own. `mount_namespaces(7)`.

use std::os::fd::AsFd;
use std::path::Path;

use plumbing::Fault;
use plumbing::kernel::{call, look};
use plumbing::pipeline::mark;
use plumbing::pipeline::ownership;
use plumbing::pipeline::pipe::Stage;
use plumbing::process::closing::leave;
use plumbing::process::namespace::{Kind, KindSet};
use plumbing::process::namespace_root::Chroot;
use plumbing::process::target::{Target, linked_namespace, own_namespace_inode, status_field};

use crate::entry::{Propagation, PropagationKind};
use crate::mount_api::{self, open_directory};
use crate::refusal;

/// Unshares the mount namespace, so that no mount made here can propagate to the caller's.
pub(crate) fn unshare() -> Result<(), Fault> {
    let kinds = KindSet::from_iter([Kind::Mnt]);
    let why = "no other process must see our mounts, and they must end with us; mount_namespaces(7)";
    call("create a mount namespace", "unshare(CLONE_NEWNS)", why, || nix::sched::unshare(kinds.flags()))
        .map_err(refusal::missing_admin)
}

/// Stops the propagation of mounts out of this namespace; with `Slave` the host's mounts still propagate into it. In a
/// chroot, this begins above it.
pub(crate) fn stop_propagation(kind: PropagationKind, chroot: Option<&Chroot>) -> Result<(), Fault> {
    match chroot {
        Some(chroot) => chroot.while_outside(|| stop_below_root(kind)),
        None => stop_below_root(kind),
    }
}

fn stop_below_root(kind: PropagationKind) -> Result<(), Fault> {
    let top = open_directory(Path::new("/"), "open the root directory")?;
    let why = "otherwise our mounts propagate to the namespace that this one was copied from; mount_namespaces(7)";
    let propagation = Propagation { kind, recursive: true };
    mount_api::propagate("stop our mounts from propagating to the host", top.as_fd(), propagation, why)
        .map_err(refusal::no_root_mount)?;
    leave(top);
    Ok(())
}

/// Demands that the mount namespace was made for this container. A pivot moves the root of every process in a mount namespace,
/// and no call lists these processes. A record can be wrong, so the namespaces that matter most are compared, and the mark of
/// the hold says which one was made for it. Without that, all processes are examined, and a machine may have thousands.
pub(crate) fn require_own(stage: &Stage) -> Result<(), Fault> {
    let recorded = stage.record.namespaces()?;
    let is_own = recorded.iter().any(|(kind, namespace)| *kind == Kind::Mnt && namespace.private);
    let itself = stage.target.namespace_inode(Kind::Mnt)?;
    let parent = rustix::process::getppid().map_or(0, |parent| parent.as_raw_nonzero().get());
    let others = [(std::process::id(), "our"), (parent.unsigned_abs(), "our parent's"), (1, "process 1's")];
    // A namespace that we may not look at is not one that we may change.
    let shared = others.iter().find(|(pid, _)| itself.is_some() && inode(*pid) == itself);
    let whose = match (shared, is_own) {
        (None, true) => None,
        (Some((_, whose)), _) => Some((*whose).to_owned()),
        (None, false) => Some("its maker's".to_owned()),
    };
    let pid = stage.target.pid();
    ownership::require_own(&stage.target, Kind::Mnt, &stage.record.shown_name())?;
    let whose = match whose {
        Some(whose) => whose,
        // Whatever has entered it since is in the container.
        None if itself.is_some() && mark::mount_namespace(&stage.target)? == itself => return Ok(()),
        // A record is input: "private" may have been edited.
        None => match outsider(&stage.target)? {
            Some(other) => format!("process {other}'s"),
            None => return Ok(()),
        },
    };
    Err(Fault::new(format!(
        "cannot change the root of process {pid}: it shares {whose} mount namespace; pivoting would change that root too"
    ))
    .with_remedy("give the container its own: unshare-rs --hold --mount"))
}

/// Returns a process outside the container that is in the container's mount namespace, if we may see one. Processes in a
/// pid namespace whose first process is the container's init belong to the container.
fn outsider(init: &Target) -> Result<Option<u32>, Fault> {
    let mounts = init.namespace_inode(Kind::Mnt)?;
    let status = init.read("status")?;
    let is_first = status_field(&status, "NSpid").and_then(|pids| pids.split_ascii_whitespace().last()) == Some("1");
    let pids = init.namespace_inode(Kind::Pid)?;
    let is_member = |pid: u32| is_first && pids != own_namespace_inode(Kind::Pid) && linked(pid, "pid") == pids;
    let entries =
        look("look for other processes in the mount namespace", "readdir(\"/proc\")", || std::fs::read_dir("/proc"))?;
    let mut processes = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(processes
        .find(|pid| i32::try_from(*pid).ok() != Some(init.pid()) && linked(*pid, "mnt") == mounts && !is_member(*pid)))
}

/// Returns the inode of a namespace of a process; `None` if it has ended or we may not look at it.
fn linked(pid: u32, name: &str) -> Option<u64> {
    linked_namespace(rustix::fs::CWD, &format!("/proc/{pid}/ns/{name}")).ok()
}

fn inode(pid: u32) -> Option<u64> {
    rustix::fs::stat(format!("/proc/{pid}/ns/mnt")).ok().map(|stat| stat.st_ino)
}
