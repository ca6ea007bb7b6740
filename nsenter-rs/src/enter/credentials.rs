//! The ids of the command. `setns(2)` into a user namespace changes no id, so nsenter(1) becomes its root.
//! `credentials(7)`, `user_namespaces(7)`.
//!
//! The surprise is setgroups(2): in a user namespace that an unprivileged user made it is forbidden, so supplementary
//! groups are dropped before such a namespace is entered.

use plumbing::Fault;
use plumbing::confinement::privilege::id::is_id;
use plumbing::confinement::privilege::{change_identity, hand_on_capabilities, keep_capabilities};
use plumbing::process::foreign_user;
use plumbing::process::target::{Target, status_field};

/// A user or group id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Id {
    /// This number, as seen inside.
    Number(u32),
    /// The target's id.
    Follow,
}

impl Id {
    /// Parses an id from the command line.
    pub(crate) fn read(text: &str) -> Result<Id, String> {
        match text {
            "follow" => Ok(Id::Follow),
            _ => text
                .parse()
                .ok()
                .filter(|id| is_id(*id))
                .map(Id::Number)
                .ok_or_else(|| "expected a number from 0 to 4294967294, or the word follow".to_owned()),
        }
    }
}

/// The requested credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) uid: Option<Id>,
    pub(crate) gid: Option<Id>,
    /// Whether all ids stay unchanged.
    pub(crate) preserve: bool,
    /// Whether the capabilities of the entered user namespace are kept.
    pub(crate) keep_capabilities: bool,
}

/// Facts about the user namespace that was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entered {
    pub(crate) setgroups_is_denied: bool,
}

impl Entered {
    /// Examines the user namespace that we are in.
    pub(crate) fn look() -> Result<Entered, Fault> {
        Ok(Entered { setgroups_is_denied: foreign_user::forbids_setgroups()? })
    }
}

impl Credentials {
    /// Drops the supplementary groups before a user namespace is entered: afterwards it may be impossible.
    pub(crate) fn leave_groups(&self) -> Result<(), Fault> {
        if self.preserve { Ok(()) } else { foreign_user::leave_groups() }
    }

    /// Changes the ids after the namespaces are entered; `entered` describes the user namespace, if one was entered.
    pub(crate) fn apply(&self, entered: Option<Entered>, target: Option<&Target>) -> Result<(), Fault> {
        let root = entered.filter(|_| !self.preserve).map(|_| Id::Number(0));
        let uid = self.uid.or(root).map(|id| id.number("Uid", target)).transpose()?;
        let gid = self.gid.or(root).map(|id| id.number("Gid", target)).transpose()?;
        let keep = self.keep_capabilities && entered.is_some();
        if keep && uid.is_some_and(|uid| uid != 0) {
            keep_capabilities()?;
        }
        // An unprivileged owner of the namespace had to give up setgroups(2), so it keeps its groups.
        let denied = entered.is_some_and(|entered| entered.setgroups_is_denied);
        change_identity(uid, gid, (gid.is_some() && !denied).then_some(&[]))?;
        if keep { hand_on_capabilities() } else { Ok(()) }
    }
}

impl Id {
    fn number(self, field: &str, target: Option<&Target>) -> Result<u32, Fault> {
        let target = match (self, target) {
            (Id::Number(number), _) => return Ok(number),
            (Id::Follow, Some(target)) => target,
            (Id::Follow, None) => return Err(Fault::new("cannot follow a target: no --target is given")),
        };
        // Read now, from our own /proc, because the kernel translates the ids into the reader's user namespace.
        let status = target.read("status")?;
        effective(&status, field).ok_or_else(|| {
            Fault::new(format!("cannot follow process {}: /proc/{0}/status has no field {field}", target.pid()))
        })
    }
}

/// Returns the second of the four numbers after `Uid:` or `Gid:`.
fn effective(status: &str, field: &str) -> Option<u32> {
    status_field(status, field)?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_id_is_followed() {
        let status = "Name:\tsh\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n";
        assert_eq!((effective(status, "Uid"), effective(status, "Gid")), (Some(2), Some(6)));
        assert_eq!(effective("", "Uid"), None);
    }
}
