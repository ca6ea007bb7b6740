//! Joining a user namespace that someone else may own. `setns(2)`, `user_namespaces(7)`, `ptrace(2)`.
//!
//! Its owner has every capability over each process in it, and chooses the mounts that are joined with it. So we must
//! not keep anything that gives access beyond it: no supplementary group, no user except the namespace's own root, no
//! readable memory. The surprise: `setns(2)` changes no id, so root outside stays root outside, for every file to which
//! the owner directs the process.

use nix::errno::Errno;
use nix::unistd::{getresgid, getresuid};
use rustix::fs::{Mode, OFlags, openat};
use rustix::thread::CapabilitySet;

use crate::Fault;
use crate::confinement::privilege::{change_identity, holds, keep_capabilities, raise_permitted, setgroups_is_denied};
use crate::kernel::look;
use crate::kernel::nsfs::namespace_owner_uid;
pub use crate::process::exposure::{hide, stay_hidden};
use crate::process::namespace::{Kind, KindSet};
use crate::process::procfs;
use crate::process::target::Target;

/// Joins the namespaces of these kinds, and becomes root of the user namespace if that is one of them.
///
/// The order: first the maps, since a namespace without a root that we can become is refused before anything has
/// changed. Then the groups and ids, as long as we have the right to change them and no process inside can reach us.
/// Then we hide. Only then we join.
pub fn join(target: &Target, kinds: KindSet, why: &str) -> Result<(), Fault> {
    // The owner chooses what is mounted on /proc inside.
    procfs::keep()?;
    if !kinds.contains(Kind::User) {
        return target.join(kinds, why);
    }
    let root = Root::of(target)?;
    leave_groups()?;
    let is_root = root.become_outside()?;
    hide()?;
    target.join(kinds, why)?;
    stay_hidden()?;
    if !is_root {
        root.become_inside(target)?;
    }
    stay_hidden()
}

/// Leaves the supplementary groups if we have the right to. Call this before joining the namespace: many forbid
/// `setgroups(2)` for good.
pub fn leave_groups() -> Result<(), Fault> {
    match holds(CapabilitySet::SETGID) {
        Some(true) => change_identity(None, None, Some(&[])),
        _ => Ok(()),
    }
}

/// Returns whether the user namespace that we are in forbids `setgroups(2)`.
pub fn forbids_setgroups() -> Result<bool, Fault> {
    look("determine whether groups may be left", "read(\"/proc/self/setgroups\")", || {
        procfs::read_text("self/setgroups")
    })
    .map(|text| setgroups_is_denied(&text))
}

/// The root of a user namespace.
struct Root {
    /// Its user and its group, as ids of our own namespace; `None` if the namespace has none.
    uid: Option<u32>,
    gid: Option<u32>,
    /// Whether we made the namespace: then nothing in it is foreign.
    is_ours: bool,
}

impl Root {
    /// Determines the root of the target's user namespace. Refuses a namespace of someone else that has none: there we
    /// would keep the ids that we have outside.
    fn of(target: &Target) -> Result<Root, Fault> {
        let pid = target.pid();
        let goal = format!("join the user namespace of process {pid}");
        let namespace = look(&goal, format!("openat(\"/proc/{pid}/ns/user\")"), || {
            openat(target.dir(), "ns/user", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        })?;
        let owner = look(&goal, "ioctl(ns/user, NS_GET_OWNER_UID)", || namespace_owner_uid(namespace))?;
        let is_ours = owner == rustix::process::geteuid().as_raw();
        let [uid, gid] = ["uid_map", "gid_map"].map(|map| {
            let root = outside(&target.read(map)?, 0);
            if root.is_none() && !is_ours {
                Err(Fault::new(format!("cannot {goal} as its root: /proc/{pid}/{map} does not map ID 0")).with_remedy(
                    format!(
                        "user {owner} made it, so we join it only as its root; map a root in it: \
                         unshare-rs --map-root-user"
                    ),
                ))
            } else {
                Ok(root)
            }
        });
        Ok(Root { uid: uid?, gid: gid?, is_ours })
    }

    /// Becomes this root while we are outside, if our rights suffice for that; returns whether they did. Then there is
    /// no instant at which a process inside meets us with our former ids.
    fn become_outside(&self) -> Result<bool, Fault> {
        let (Some(uid), Some(gid)) = (self.uid, self.gid) else { return Ok(false) };
        let may = [CapabilitySet::SETUID, CapabilitySet::SETGID].into_iter().all(|right| holds(right) == Some(true));
        // An id that is not mapped here.
        if [uid, gid].contains(&u32::MAX) {
            return Ok(false);
        }
        let now = look("read our user and group", "getresuid()", || Ok::<_, Errno>((getresuid()?, getresgid()?)))?;
        let uids = [now.0.real, now.0.effective, now.0.saved].map(|id| id.as_raw());
        let gids = [now.1.real, now.1.effective, now.1.saved].map(|id| id.as_raw());
        if uids == [uid; 3] && gids == [gid; 3] {
            return Ok(true);
        }
        if may {
            // setns(2) needs the capabilities, and no other step does.
            keep_capabilities()?;
            change_identity(Some(uid), Some(gid), None)?;
            raise_permitted()?;
        }
        Ok(may)
    }

    /// Becomes this root inside, where the namespace gives the right to that.
    fn become_inside(&self, target: &Target) -> Result<(), Fault> {
        let may_leave = !forbids_setgroups()?;
        let groups = look("read our supplementary groups", "getgroups()", rustix::process::getgroups)?;
        if !self.is_ours && !may_leave && !groups.is_empty() {
            return Err(Fault::new(format!(
                "cannot leave our supplementary groups: the user namespace of process {} forbids setgroups(2)",
                target.pid()
            ))
            .with_remedy("join it with CAP_SETGID, or without supplementary groups: setpriv --clear-groups"));
        }
        let leave = (!self.is_ours && may_leave).then_some(&[][..]);
        change_identity(self.uid.map(|_| 0), self.gid.map(|_| 0), leave)
    }
}

/// Returns the outside id of an id of a user namespace, by its map (a line is `inside outside count`).
fn outside(map: &str, id: u32) -> Option<u32> {
    let id = u64::from(id);
    map.lines().find_map(|line| {
        let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect();
        match numbers[..] {
            [inside, outside, count] if (inside..inside + count).contains(&id) => {
                u32::try_from(outside + (id - inside)).ok()
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_in_the_range_that_holds_it() {
        let map = "         1       1000          1\n         2     100000      65536\n";
        assert_eq!(
            ["0", "1", "2", "65537", "65538"].map(|id| outside(map, id.parse().unwrap())),
            [None, Some(1000), Some(100000), Some(165535), None]
        );
        assert_eq!(outside("0 0 4294967295", 0), Some(0));
        assert_eq!(outside("", 0), None);
    }
}
