//! To which user a container belongs, and whether a stage may act on it with our rights. `user_namespaces(7)`,
//! `ioctl_nsfs(2)`.
//!
//! A user may make a hold that shares the host's namespaces, and chooses everything in its record. Where a user
//! namespace of his own confines him, a stage joins it as his root and gains nothing for him. Where none does, the stage
//! would act with our rights on what he shares with others.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::process::geteuid;

use crate::Fault;
use crate::kernel::look;
use crate::kernel::nsfs::{namespace_owner, namespace_owner_uid, namespace_parent};
use crate::process::namespace::Kind;
use crate::process::target::{Target, own_namespace_inode, status_field};

/// More than the kernel nests user namespaces.
const NESTED: usize = 40;

/// Returns whether the process belongs to us: it is in a user namespace that we made, or in ours as our user or as root.
pub fn is_ours(target: &Target) -> Result<bool, Fault> {
    let own = geteuid().as_raw();
    if is_beyond_ours(target)? {
        return Ok(maker(target)? == own);
    }
    Ok(uids(target)?.iter().all(|uid| [0, own].contains(uid)))
}

/// Returns whether the process is in a user namespace that another user made below ours: its rights count only there.
pub fn is_in_other_users_namespace(target: &Target) -> Result<bool, Fault> {
    Ok(is_beyond_ours(target)? && maker(target)? != geteuid().as_raw())
}

/// Returns whether what the process keeps may give rights to a command: it belongs to us, or has its own user namespace.
pub fn may_give_rights(target: &Target) -> Result<bool, Fault> {
    Ok(is_ours(target)? || is_beyond_ours(target)?)
}

/// Refuses to act on a hold of another user that has no user namespace of its own.
pub fn require_confined(target: &Target, shown: &str) -> Result<(), Fault> {
    if may_give_rights(target)? {
        return Ok(());
    }
    let [_, user, ..] = uids(target)?;
    let pid = target.pid();
    Err(Fault::new(format!(
        "cannot continue with {shown}: its init, process {pid}, belongs to user {user} and has no user namespace of its own, so \
         our rights would act on what that user shares with others"
    ))
    .with_remedy("give the container a user namespace: unshare-rs --hold --user --map-root-user"))
}

/// Refuses to act on a namespace of another user's hold that the hold's user namespace does not own: he shares it with
/// others.
pub fn require_own(target: &Target, kind: Kind, shown: &str) -> Result<(), Fault> {
    if is_ours(target)? {
        return Ok(());
    }
    let user = fstat_inode(&open(target, Kind::User)?)?;
    let goal = format!("find the owner of the {} namespace of process {}", kind.option(), target.pid());
    let namespace = open(target, kind)?;
    let owner = look(goal, "ioctl(NS_GET_USERNS)", || namespace_owner(&namespace))?;
    if ancestors(owner)?.any(|inode| inode == user) {
        return Ok(());
    }
    Err(Fault::new(format!(
        "cannot change {shown}: the user namespace of its init, process {}, does not own its {} namespace, which others \
         share",
        target.pid(),
        kind.option()
    ))
    .with_remedy(format!("give the container its own: unshare-rs --hold --user --{}", kind.option())))
}

/// Returns whether the user namespace of the process is below ours. One above ours, or unrelated to it, is not.
fn is_beyond_ours(target: &Target) -> Result<bool, Fault> {
    let own = own_namespace_inode(Kind::User);
    if target.namespace_inode(Kind::User)? == own {
        return Ok(false);
    }
    Ok(ancestors(open(target, Kind::User)?)?.any(|inode| Some(inode) == own))
}

/// Returns the user who made the user namespace of the process.
fn maker(target: &Target) -> Result<u32, Fault> {
    let namespace = open(target, Kind::User)?;
    let goal = format!("find the owner of the user namespace of process {}", target.pid());
    look(goal, "ioctl(ns/user, NS_GET_OWNER_UID)", || namespace_owner_uid(namespace))
}

/// Returns whether a file with this owner can come from the process: from its user, or from the maker of its user
/// namespace. A set-user-ID program has the files of another user.
pub fn is_author(target: &Target, owner: u32) -> Result<bool, Fault> {
    // The file system user is not a credential of the program's start.
    if uids(target)?[..3].iter().all(|uid| *uid == owner) {
        return Ok(true);
    }
    Ok(target.namespace_inode(Kind::User)? != own_namespace_inode(Kind::User) && maker(target)? == owner)
}

/// Returns the inodes of a user namespace and of those above it, as far as they are ours or below ours.
fn ancestors(namespace: OwnedFd) -> Result<impl Iterator<Item = u64>, Fault> {
    let mut inodes = vec![fstat_inode(&namespace)?];
    let mut namespace = namespace;
    // The kernel names no parent above ours (EPERM).
    while inodes.len() < NESTED
        && let Ok(parent) = namespace_parent(&namespace)
    {
        inodes.push(fstat_inode(&parent)?);
        namespace = parent;
    }
    Ok(inodes.into_iter())
}

fn fstat_inode(namespace: &OwnedFd) -> Result<u64, Fault> {
    look("identify a namespace", "fstat(nsfs)", || fstat(namespace)).map(|stat| stat.st_ino)
}

fn open(target: &Target, kind: Kind) -> Result<OwnedFd, Fault> {
    let (pid, name) = (target.pid(), kind.proc_name());
    look(
        format!("open the {} namespace of process {pid}", kind.option()),
        format!("openat(\"/proc/{pid}/ns/{name}\")"),
        || openat(target.dir(), format!("ns/{name}"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()),
    )
}

/// Returns its real, effective, saved and file system user.
fn uids(target: &Target) -> Result<[u32; 4], Fault> {
    let status = target.read("status")?;
    let numbers = status_field(&status, "Uid").unwrap_or_default().split_ascii_whitespace();
    let uids: Vec<u32> = numbers.filter_map(|uid| uid.parse().ok()).collect();
    uids.try_into().map_err(|_| {
        Fault::new(format!("cannot read the users of process {}: /proc/{0}/status has no Uid", target.pid()))
    })
}
