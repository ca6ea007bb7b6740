//! Taking on the properties of another process: ids, capability sets, limits, filters. `credentials(7)`,
//! `capabilities(7)`.
//!
//! The surprise is `execve(2)`, which recomputes capabilities and forgets saved ids. So we do not copy the sets
//! themselves, but choose ours so that execve(2) computes the same ones; if it cannot yield all of them, the effective
//! set has priority: it is the one that the kernel checks.

use rustix::process::{getegid, geteuid, getgid, getgroups, getuid};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, Gid, Uid, set_no_new_privs, set_thread_res_gid,
    set_thread_res_uid,
};

use super::capabilities::{
    bound, bounding, clear_ambient, explain_missing, held, keep_capabilities, raise_ambient, set_sets,
};
use super::id::require;
use super::{identity, securebits, umask};
use crate::confinement::seccomp;
use crate::kernel::{call, look, set_seccomp_filter};
use crate::pipeline::record::ResourceLimit;
use crate::{Fault, narrate};

/// The five capability sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "capabilities(7) has the names")]
pub struct Sets {
    pub inheritable: CapabilitySet,
    pub permitted: CapabilitySet,
    pub effective: CapabilitySet,
    pub bounding: CapabilitySet,
    pub ambient: CapabilitySet,
}

/// A system call filter, as the kernel returned it.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Its program.
    pub program: Vec<libc::sock_filter>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

/// The properties of a process, in terms of the user namespace that we are in.
#[derive(Debug, Clone)]
pub struct Likeness {
    /// Real and effective user ID: execve(2) sets the others to the second.
    pub uid: [u32; 2],
    /// Real and effective group ID.
    pub gid: [u32; 2],
    /// The capabilities.
    pub sets: Sets,
    /// `PR_SET_NO_NEW_PRIVS(2const)`.
    pub no_new_privs: bool,
    /// `SECBIT_*`; `None` if the kernel did not report them.
    pub securebits: Option<CapabilitiesSecureBits>,
    /// The permissions that new files do not get.
    pub umask: Option<u32>,
}

/// Makes the changes that have to be made outside, with rights that an entered user namespace does not give:
/// supplementary groups, and the hard limits.
pub fn prepare(groups: &[u32], limits: &[ResourceLimit]) -> Result<(), Fault> {
    let now = look("read our supplementary groups", "getgroups()", getgroups)?;
    if !now.iter().map(|gid| gid.as_raw()).eq(groups.iter().copied()) {
        identity::change(None, None, Some(groups))?;
    }
    limits.iter().try_for_each(ResourceLimit::allow)
}

impl Likeness {
    /// Takes on these properties, for the command that we are about to become. `last` is called after the ids have
    /// changed; only what could hinder it comes after it: the limits, and the filters, the oldest first.
    pub fn apply(
        &self,
        limits: &[ResourceLimit],
        filters: &[Filter],
        last: impl FnOnce() -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let plan = self.sets.by_execve(self.uid.contains(&0) && !self.has_bit(CapabilitiesSecureBits::NO_ROOT));
        if plan.is_inexact && !narrate::is_dry_run() {
            let by = if plan.without_root { ", by SECBIT_NOROOT" } else { "" };
            narrate::remark(format!(
                "the target's capabilities are not those of a program just executed: the command gets its effective and \
                 bounding sets{by}, the others differ"
            ));
        }
        let permitted = held()?.permitted;
        if !narrate::is_dry_run() && !permitted.contains(plan.ambient) {
            return Err(Fault::new("cannot give the command the target's capabilities: we do not have all of them"));
        }
        // Before the bounding set shrinks, which limits what may be made inheritable.
        set_sets(CapabilitySets { effective: permitted, permitted, inheritable: plan.inheritable })?;
        if bounding() != self.sets.bounding {
            bound(self.sets.bounding)?;
        }
        self.change_ids()?;
        set_sets(CapabilitySets { effective: permitted, permitted, inheritable: plan.inheritable })?;
        clear_ambient()?;
        raise_ambient(plan.ambient)?;
        // Only now, since some of them forbid the calls above.
        self.take_securebits(plan.without_root)?;
        self.umask.map_or(Ok(()), umask::set)?;
        last()?;
        limits.iter().filter(|limit| !limit.holds()).try_for_each(ResourceLimit::set)?;
        if self.no_new_privs {
            let why = "the target has it too; PR_SET_NO_NEW_PRIVS(2const)";
            call("set no_new_privs", "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)", why, || set_no_new_privs(true))?;
        }
        filters.iter().try_for_each(Filter::enforce)
    }

    fn has_bit(&self, bit: CapabilitiesSecureBits) -> bool {
        self.securebits.is_some_and(|bits| bits.contains(bit))
    }

    fn take_securebits(&self, without_root: bool) -> Result<(), Fault> {
        const KEEP_CAPS: CapabilitiesSecureBits = CapabilitiesSecureBits::KEEP_CAPS;
        let own = securebits::own()?;
        if self.has_bit(KEEP_CAPS) && !narrate::is_dry_run() {
            narrate::remark("the target has SECBIT_KEEP_CAPS, which execve(2) clears for the command");
        }
        let mut wanted = self.securebits.unwrap_or(own);
        if without_root {
            wanted |= CapabilitiesSecureBits::NO_ROOT;
        }
        if wanted.difference(KEEP_CAPS) == own.difference(KEEP_CAPS) { Ok(()) } else { securebits::set(wanted) }
    }

    fn change_ids(&self) -> Result<(), Fault> {
        self.gid.iter().try_for_each(|gid| require(format_args!("change to group {gid}"), *gid))?;
        self.uid.iter().try_for_each(|uid| require(format_args!("change to user {uid}"), *uid))?;
        let [real, effective] = self.gid;
        if [getgid().as_raw(), getegid().as_raw()] != self.gid {
            let text = format!("setresgid({real}, {effective}, {effective})");
            call(format!("change to group {effective}"), text, "as the target; credentials(7)", || {
                set_thread_res_gid(Gid::from_raw(real), Gid::from_raw(effective), Gid::from_raw(effective))
            })
            .map_err(|fault| explain_missing(fault, CapabilitySet::SETGID))?;
        }
        let [real, effective] = self.uid;
        if [getuid().as_raw(), geteuid().as_raw()] != self.uid {
            keep_capabilities()?;
            let text = format!("setresuid({real}, {effective}, {effective})");
            call(format!("change to user {effective}"), text, "as the target; credentials(7)", || {
                set_thread_res_uid(Uid::from_raw(real), Uid::from_raw(effective), Uid::from_raw(effective))
            })
            .map_err(|fault| explain_missing(fault, CapabilitySet::SETUID))?;
        }
        Ok(())
    }
}

/// The sets that must be in force for execve(2) to yield the wanted ones.
struct ByExecve {
    inheritable: CapabilitySet,
    ambient: CapabilitySet,
    /// Whether root must get no capabilities for being root.
    without_root: bool,
    is_inexact: bool,
}

impl Sets {
    /// Computes what must be in force. execve(2) of a file without capabilities yields the ambient set; for root, all
    /// that the bounding or the inheritable set contains.
    fn by_execve(&self, is_root: bool) -> ByExecve {
        let Sets { inheritable, permitted, effective, bounding, ambient } = *self;
        let yielded = if is_root { inheritable | bounding } else { ambient };
        let is_exact = (permitted, effective) == (yielded, yielded);
        if is_exact {
            ByExecve { inheritable, ambient, without_root: false, is_inexact: false }
        } else {
            ByExecve {
                inheritable: inheritable | effective,
                ambient: effective,
                without_root: is_root,
                is_inexact: true,
            }
        }
    }
}

impl Filter {
    fn enforce(&self) -> Result<(), Fault> {
        let flags = seccomp::flag_names(self.flags);
        let text = format!("seccomp(SECCOMP_SET_MODE_FILTER, {flags}, {{len={}, filter=…}})", self.program.len());
        let why = "a copy of one of the target's filters, instruction by instruction; seccomp(2)";
        call("filter system calls as the target's are", text, why, || set_seccomp_filter(&self.program, self.flags))
            .map_err(seccomp::explain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: CapabilitySet = CapabilitySet::empty();

    fn sets(inheritable: CapabilitySet, permitted: CapabilitySet, bounding: CapabilitySet) -> Sets {
        Sets { inheritable, permitted, effective: permitted, bounding, ambient: NONE }
    }

    #[test]
    fn sets_that_execve_can_yield_are_exact() {
        let (kill, chown) = (CapabilitySet::KILL, CapabilitySet::CHOWN);
        assert!(!sets(NONE, kill | chown, kill | chown).by_execve(true).is_inexact);
        assert!(!sets(kill, kill, NONE).by_execve(true).is_inexact);
        assert!(!sets(kill, NONE, kill | chown).by_execve(false).is_inexact);
        assert!(!Sets { ambient: kill, ..sets(kill, kill, chown) }.by_execve(false).is_inexact);
    }

    #[test]
    fn the_effective_set_is_always_exact() {
        let (kill, chown) = (CapabilitySet::KILL, CapabilitySet::CHOWN);
        let root = sets(NONE, kill, kill | chown).by_execve(true);
        assert!(root.is_inexact && root.without_root && root.ambient == kill);
        let user = Sets { effective: NONE, ..sets(NONE, kill, kill | chown) }.by_execve(false);
        assert!(user.is_inexact && !user.without_root && user.ambient == NONE);
    }
}
