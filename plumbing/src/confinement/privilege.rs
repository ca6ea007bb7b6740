//! Giving up privilege before `execve(2)`: capabilities, identity, no_new_privs, system calls, environment, directory.
//! `capabilities(7)`, `credentials(7)`.
//!
//! The order is the kernel's: each step still needs a right that a later one takes away.

pub(crate) mod capabilities;
pub mod id;
mod identity;
mod keyring;
pub mod landlock;
pub mod likeness;
mod limits;
mod oom;
mod pipes;
mod remnant;
mod scheduling;
mod securebits;
mod sets;
pub mod umask;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, set_no_new_privs};

use crate::Fault;
use crate::fault::IntoErrno;
use crate::kernel::{call, look, own};
use crate::pipeline::record::{IoPriority, Landlock, Process, ResourceLimit, Scheduler};
use crate::process::environment::Environment;
use crate::process::{exposure, inherited};
use crate::text::Text;
pub use capabilities::{
    DEFAULT_CAPABILITIES, DOCKER_CAPABILITIES, PODMAN_CAPABILITIES, bounding, capability_names, capability_set,
    hand_on_capabilities, holds, keep_capabilities, lost_by_exec, raise_permitted,
};
use capabilities::{EVERY_CAPABILITY, bound, bounding_within, held};
pub use identity::{change as change_identity, is_mapped, setgroups_is_denied};
pub use keyring::renew as renew_session_keyring;
pub use oom::set_oom_score_adj;
pub use remnant::{Holding, drop_others, keep_only, reduce_to};
pub use scheduling::check_personality;
pub use securebits::securebit_names;
pub use sets::SET_NAMES;
use sets::Wanted;

impl Process {
    /// Confines this process, for the command that it is about to become.
    ///
    /// `last` is what the caller has to do after the credentials have changed: the only call after it is `execve(2)`,
    /// since the filter may refuse any other. It may close descriptors: none is needed after it.
    pub fn apply(&self, last: impl FnOnce() -> Result<(), Fault>) -> Result<(), Fault> {
        let securebits = securebits::securebits(&self.securebits)?;
        let is_root = self.uid.is_none_or(|uid| uid == 0) && !securebits.contains(CapabilitiesSecureBits::NO_ROOT);
        let wanted = Wanted::new(self.capabilities.as_deref(), self.capability_sets.as_ref(), held, is_root)?;
        let mut rules = self.landlock.as_ref().map_or(Ok(None), Landlock::rules)?;
        wanted.bounding.map_or(Ok(()), bound)?;
        // A call for each capability, which is only worth it for those that a filter depends on.
        let most = |asked| bounding_within(wanted.bounding.unwrap_or(EVERY_CAPABILITY) & asked);
        self.rlimits.iter().try_for_each(ResourceLimit::set)?;
        self.schedule()?;
        if !self.no_new_privs {
            // The kernel then requires CAP_SYS_ADMIN for it, which the next steps may give up.
            self.restrict(rules.take(), most)?;
        }
        let keeps = !is_root && wanted.outlives_root();
        if keeps {
            keep_capabilities()?;
        }
        let keep = if keeps { CapabilitiesSecureBits::KEEP_CAPS } else { CapabilitiesSecureBits::empty() };
        let late =
            if wanted.raises() { securebits & securebits::FINAL_AMBIENT } else { CapabilitiesSecureBits::empty() };
        if securebits != late {
            securebits::set(securebits.difference(late) | keep)?;
        }
        // Images have working directories that only root may search: entered with root's rights, as other runtimes do.
        let entered = self.cwd.as_ref().map_or(Ok(()), change_directory);
        let may_retry = |fault: &Fault| matches!(fault.errno(), Some(Errno::EACCES | Errno::EPERM));
        let is_entered = match entered {
            Err(fault) if !may_retry(&fault) => return Err(fault),
            entered => entered.is_ok(),
        };
        self.change_identity()?;
        if late.is_empty() {
            wanted.take()?
        } else {
            wanted.take_before(securebits | keep)?
        }
        self.leave_caller()?;
        self.umask.map_or(Ok(()), umask::set)?;
        // The other way round where a file server trusts only the user.
        self.cwd.as_ref().filter(|_| !is_entered).map_or(Ok(()), change_directory)?;
        if self.no_new_privs {
            forbid_new_privileges()?;
            // Before `last`, which may close the ruleset: it is only a descriptor.
            rules.map_or(Ok(()), landlock::Ruleset::enforce)?;
        }
        last()?;
        if self.no_new_privs && self.seccomp.is_some() {
            // With no_new_privs, no program regains what we lack: not even in a new user namespace, which the filter
            // refuses then.
            let permitted = held()?.permitted;
            self.filter(|asked| most(permitted & asked))
        } else {
            Ok(())
        }
    }

    fn change_identity(&self) -> Result<(), Fault> {
        if let Some(uid) = self.uid.filter(|_| self.own_pipes) {
            pipes::open_to(uid, self.gid.unwrap_or_else(|| rustix::process::getegid().as_raw()))?;
        }
        identity::change(self.uid, self.gid, self.groups.as_deref())?;
        exposure::stay_hidden()?;
        // Only now, so that the keyring belongs to the user of the command.
        if self.session_keyring { keyring::renew() } else { Ok(()) }
    }

    /// Leaves the caller's session, and the signals that it ignores.
    fn leave_caller(&self) -> Result<(), Fault> {
        if self.new_session {
            new_session()?;
        }
        if self.default_signals { inherited::reset_signals() } else { Ok(()) }
    }

    /// Sets how the kernel runs the command, with the rights that it may not have.
    fn schedule(&self) -> Result<(), Fault> {
        self.scheduler.as_ref().map_or(Ok(()), Scheduler::set)?;
        self.io_priority.as_ref().map_or(Ok(()), IoPriority::set)?;
        self.personality.as_deref().map_or(Ok(()), scheduling::set_personality)
    }

    /// Returns whether it takes rights away from the command, and does not only set its environment.
    pub fn confines(&self) -> bool {
        let Process { capabilities, capability_sets, seccomp, uid, gid, landlock, no_new_privs, .. } = self;
        let ids = uid.is_some() || gid.is_some();
        let rights = capabilities.is_some() || capability_sets.is_some();
        ids || rights || *no_new_privs || seccomp.is_some() || landlock.is_some()
    }

    /// Returns the most that the command may have, if that is limited.
    pub fn bounding_set(&self) -> Result<Option<CapabilitySet>, Fault> {
        let named = self.capability_sets.as_ref().and_then(|sets| sets.bounding.as_deref());
        named.or(self.capabilities.as_deref()).map(capability_set).transpose()
    }

    /// Restricts files and system calls. The filter comes last: it may refuse the calls of Landlock.
    fn restrict(
        &self,
        rules: Option<landlock::Ruleset>,
        most: impl Fn(CapabilitySet) -> CapabilitySet,
    ) -> Result<(), Fault> {
        rules.map_or(Ok(()), landlock::Ruleset::enforce)?;
        self.filter(most)
    }

    fn filter(&self, most: impl Fn(CapabilitySet) -> CapabilitySet) -> Result<(), Fault> {
        self.seccomp.as_ref().map_or(Ok(()), |seccomp| seccomp.enforce(most, self.seccomp_log))
    }

    /// Returns the environment for the command: `env` and the caller's TERM, or all that was inherited; then variables
    /// are removed and set.
    pub fn environment(&self) -> Environment {
        let inherited = Environment::inherited();
        let mut environment = match &self.env {
            None => inherited,
            Some(entries) => {
                let mut own = Environment::empty();
                if let Some(terminal) = inherited.get("TERM") {
                    own.set("TERM", terminal);
                }
                set_all(&mut own, entries);
                own
            }
        };
        self.unsetenv.iter().for_each(|name| environment.unset(&name.0));
        set_all(&mut environment, &self.setenv);
        environment
    }
}

/// Sets no_new_privs.
pub fn forbid_new_privileges() -> Result<(), Fault> {
    let why = "no program may regain what was dropped; PR_SET_NO_NEW_PRIVS(2const)";
    call("set no_new_privs", "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)", why, || set_no_new_privs(true))
}

/// Begins a session: a terminal that the command was given can then not be its controlling one, to which it could push
/// input; `setsid(2)`.
fn new_session() -> Result<(), Fault> {
    crate::process::session::begin("--new-session: no terminal controls the command; setsid(2)").map_err(|fault| {
        fault.with_remedy(
            "this process leads its process group: start it from another process, as unshare-rs --fork does",
        )
    })
}

fn set_all(environment: &mut Environment, entries: &[Text]) {
    for entry in entries {
        let bytes = entry.0.as_bytes();
        if let Some(equals) = bytes.iter().position(|byte| *byte == b'=') {
            environment.set(OsStr::from_bytes(&bytes[..equals]), OsStr::from_bytes(&bytes[equals + 1..]));
        }
    }
}

fn change_directory(cwd: &Text) -> Result<(), Fault> {
    let goal = format!("change to the directory {}", cwd.shown());
    let text = format!("chdir({:?})", cwd.0.to_string_lossy());
    if crate::narrate::is_dry_run() {
        return Ok(());
    }
    own(&goal, &text, || rustix::process::chdir(cwd.to_path()))?;
    // A directory outside our root is shown as "(unreachable)…": a leaked descriptor led there.
    let now = look(&goal, "getcwd()", || rustix::process::getcwd(Vec::new()).map_err(IntoErrno::into_errno))?;
    if now.as_bytes().starts_with(b"/") {
        Ok(())
    } else {
        Err(Fault::new(format!("cannot {goal}: it is outside the root")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_environment_replaces_the_inherited_one() {
        let process = Process { env: Some(vec!["A=b=c".into(), "EMPTY=".into()]), ..Process::default() };
        let environment = process.environment();
        assert_eq!(environment.get("A"), Some(OsStr::new("b=c")));
        assert_eq!(environment.get("EMPTY"), Some(OsStr::new("")));
        assert_eq!(environment.get("PATH"), None);
        let changed = Process { unsetenv: vec!["A".into()], setenv: vec!["B=c".into()], ..process };
        assert_eq!(changed.environment().get("A"), None);
        assert_eq!(changed.environment().get("B"), Some(OsStr::new("c")));
    }
}
