//! Joining a user namespace that somebody else may own. `setns(2)`, `user_namespaces(7)`, `ptrace(2)`.
//!
//! Its owner has every capability over each process in it, and chooses the mounts that are joined with it. So nothing of
//! ours that reaches further may come along: no supplementary group, no user but the namespace's own root, no memory
//! that can be read. The surprise: `setns(2)` changes no id, so root outside stays root outside, for every file that the
//! owner leads it to.

use nix::errno::Errno;
use nix::unistd::{getresgid, getresuid};
use rustix::fs::{Mode, OFlags, openat};
use rustix::thread::CapabilitySet;

pub use crate::exposure::{hide, stay_hidden};
use crate::kernel::look;
use crate::kernel::nsfs::namespace_owner_uid;
use crate::namespace::{Kind, KindSet};
use crate::privilege::{change_identity, holds, keep_capabilities, raise_permitted, setgroups_is_denied};
use crate::target::Target;
use crate::{Fault, procfs};

/// Joins the namespaces of these kinds, and is root of the user namespace if that is one of them.
///
/// The order: first the maps, since a namespace without a root for us is refused before anything has changed. Then the
/// groups and ids, as long as we have the right to change them and nobody inside can reach us. Then we hide. Only then
/// we join.
pub fn join(target: &Target, kinds: KindSet, why: &str) -> Result<(), Fault> {
    // What is mounted on /proc in there is the owner's choice.
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

/// Leaves the supplementary groups, where we have the right to. Call this before the namespace is joined: many forbid
/// `setgroups(2)` for good.
pub fn leave_groups() -> Result<(), Fault> {
    match holds(CapabilitySet::SETGID) {
        Some(true) => change_identity(None, None, Some(&[])),
        _ => Ok(()),
    }
}

/// Whether the user namespace that we are in forbids `setgroups(2)`.
pub fn forbids_setgroups() -> Result<bool, Fault> {
    look("find out whether groups may be left", "read(\"/proc/self/setgroups\")", || {
        procfs::read_text("self/setgroups")
    })
    .map(|text| setgroups_is_denied(&text))
}

/// The root of a user namespace.
struct Root {
    /// Its user and its group, as they are called here; `None` where the namespace has none.
    uid: Option<u32>,
    gid: Option<u32>,
    /// Whether we made the namespace: then nothing of it is foreign.
    is_ours: bool,
}

impl Root {
    /// Finds it; refuses a namespace of somebody else's that has none, where we would stay who we are outside.
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
            match root.is_none() && !is_ours {
                true => Err(Fault::new(format!("cannot {goal} as its root: /proc/{pid}/{map} does not map ID 0"))
                    .with_remedy(format!(
                        "user {owner} made it, so we do not join it as anybody else; have a root mapped in it: \
                         unshare-rs --map-root-user"
                    ))),
                false => Ok(root),
            }
        });
        Ok(Root { uid: uid?, gid: gid?, is_ours })
    }

    /// Becomes it while we are outside, where our rights suffice for that; answers whether they did. Then there is no
    /// instant at which somebody inside meets us as who we were.
    fn become_outside(&self) -> Result<bool, Fault> {
        let (Some(uid), Some(gid)) = (self.uid, self.gid) else { return Ok(false) };
        let may = [CapabilitySet::SETUID, CapabilitySet::SETGID].into_iter().all(|right| holds(right) == Some(true));
        // An ID that has no name here.
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
            // setns(2) wants them, and no other step does.
            keep_capabilities()?;
            change_identity(Some(uid), Some(gid), None)?;
            raise_permitted()?;
        }
        Ok(may)
    }

    /// Becomes it inside, where the namespace gives the right to that.
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

/// What an ID of a user namespace is called where its map (`inside outside count` a line) was read.
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
