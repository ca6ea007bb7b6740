//! A new cgroup namespace for a hold, whose root is the container's group.
//!
//! `cgroup_namespaces(7)`. The surprise: the root of a cgroup namespace is the group of the process that makes it, at
//! that moment. So a child of ours joins the group and makes the namespace there, and the container's init joins the
//! namespace. It must belong to the container's user namespace, or the root user inside could do nothing with it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::kernel::{Cloned, call, exit_now, fork, look, own};
use plumbing::pipeline::assembly::{self, Hold, Word};
use plumbing::pipeline::pipe::Stage;
use plumbing::pipeline::record::Cgroup;
use plumbing::process::namespace::{Kind, KindSet};
use plumbing::process::target::{Target, wait_readable};
use plumbing::process::{errand, foreign_user, procfs};
use plumbing::{Fault, Status, narrate};
use rustix::fs::OFlags;

use crate::membership;

/// Makes `cgroup` the root of the container's cgroup namespace, if the container has its own.
pub(crate) fn make_root(stage: &mut Stage, cgroup: &Cgroup, hierarchies: &Hierarchies) -> Result<(), Fault> {
    let foreign = stage.target.foreign_kinds()?;
    let Hold::Unfinished(lease) = &stage.hold else { return Ok(()) };
    if !foreign.contains(Kind::Cgroup) {
        return Ok(());
    }
    let Some(namespace) = namespace_of(&stage.target, foreign, (cgroup, hierarchies))? else { return Ok(()) };
    lease.join_cgroup_namespace(&stage.target, namespace.as_fd())?;
    let mut namespaces = stage.record.namespaces()?;
    let inode = look("describe the cgroup namespace", "fstat(ns/cgroup)", || rustix::fs::fstat(&namespace))?.st_ino;
    for (_, recorded) in namespaces.iter_mut().filter(|(kind, _)| *kind == Kind::Cgroup) {
        recorded.inode = inode;
    }
    stage.record.set_namespaces(&namespaces)
}

/// Returns a namespace that a child made inside the group; `None` in a dry run.
fn namespace_of(target: &Target, foreign: KindSet, group: (&Cgroup, &Hierarchies)) -> Result<Option<OwnedFd>, Fault> {
    let goal = "make a cgroup namespace";
    let (ours, theirs) = assembly::lease_pair()?;
    let why = "a child joins the group and makes the namespace; we stay in our own group";
    match fork(goal, why)? {
        Cloned::Child if narrate::is_dry_run() => {
            create(target, foreign, group)?;
            Ok(None)
        }
        Cloned::Child => match create(target, foreign, group).and_then(|()| hand_over(theirs.as_fd())) {
            Ok(()) => exit_now(Status::SUCCESS),
            Err(fault) => exit_now(fault.report(narrate::tool())),
        },
        Cloned::Parent { pid, pidfd } => {
            drop(theirs);
            if !wait_readable(ours.as_fd(), Some(errand::PATIENCE))? {
                return Err(errand::give_up(goal, pid, &pidfd, errand::PATIENCE));
            }
            let received = look(goal, "recvmsg(socket)", || assembly::receive(ours.as_fd()));
            errand::end(goal, pid, &pidfd, errand::PATIENCE)?;
            match received? {
                Some((_, Some(namespace))) => Ok(Some(namespace)),
                _ => Err(Fault::already_told(Status::OURS)),
            }
        }
    }
}

/// Makes the namespace, in the child. It joins the group first, while it still has our privileges; then the user
/// namespace, whose privileges the last step needs. That may belong to another user, so we join it only as its root.
fn create(target: &Target, foreign: KindSet, (cgroup, hierarchies): (&Cgroup, &Hierarchies)) -> Result<(), Fault> {
    membership::join(cgroup, hierarchies)?;
    if foreign.contains(Kind::User) {
        let user: KindSet = [Kind::User].into_iter().collect();
        foreign_user::join(
            target,
            user,
            "the namespace must belong to the container's user namespace; user_namespaces(7)",
        )?;
    }
    let why = "our current group becomes the root; cgroup_namespaces(7)";
    call("make a cgroup namespace", "unshare(CLONE_NEWCGROUP)", why, || unshare(CloneFlags::CLONE_NEWCGROUP))
}

fn hand_over(socket: BorrowedFd<'_>) -> Result<(), Fault> {
    let goal = "hand over the cgroup namespace";
    let namespace = look(goal, "openat(\"/proc/self/ns/cgroup\")", || procfs::open("self/ns/cgroup", OFlags::RDONLY))?;
    own(goal, "sendmsg(socket)", || assembly::send(socket, Word::JoinCgroupNamespace, Some(namespace.as_fd())))
        .map_err(|fault| if fault.errno() == Some(Errno::EPIPE) { Fault::already_told(Status::OURS) } else { fault })
}
