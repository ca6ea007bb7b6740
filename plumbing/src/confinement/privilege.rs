//! Giving up privilege before `execve(2)`: capabilities, identity, no_new_privs, system calls, environment, directory.
//! `capabilities(7)`, `credentials(7)`.
//!
//! The order is the kernel's: each step still needs a right that a later one takes away.

mod capabilities;
pub mod id;
mod identity;
mod keyring;
mod landlock;
pub mod likeness;
mod limits;
mod oom;
mod remnant;
mod securebits;
mod sets;
pub mod umask;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, set_no_new_privs};
use serde::{Deserialize, Serialize};

use crate::Fault;
use crate::confinement::seccomp::Seccomp;
use crate::fault::IntoErrno;
use crate::kernel::{call, look, own};
use crate::process::environment::Environment;
use crate::process::exposure;
use crate::text::Text;
pub(crate) use capabilities::has_more_than_ambient;
pub use capabilities::{
    DEFAULT_CAPABILITIES, DOCKER_CAPABILITIES, PODMAN_CAPABILITIES, bounding, capability_names, capability_set,
    hand_on_capabilities, holds, keep_capabilities, raise_permitted,
};
use capabilities::{bound, held};
pub use identity::{change as change_identity, is_mapped, setgroups_is_denied};
pub use keyring::renew as renew_session_keyring;
pub use landlock::Landlock;
pub use limits::ResourceLimit;
pub use oom::set_oom_score_adj;
pub use remnant::{Holding, keep_only, reduce_to};
pub use securebits::securebit_names;
use sets::Wanted;
pub use sets::{FiveSets, SET_NAMES};

/// The record's member `process`: how a command is confined. Absent members change nothing.
///
/// A member that this version does not know is an error and is not ignored: it may be a restriction, and a restriction
/// that was asked for must not be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// The most that the command may have, as `CAP_CHOWN`: bounding, permitted and effective set. The inheritable and
    /// the ambient set are emptied; only a `uid` other than 0 gets these capabilities through its ambient set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// The five sets one by one, if they differ from that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capability_sets: Option<FiveSets>,
    /// Whether set-user-ID programs and file capabilities are without effect; `PR_SET_NO_NEW_PRIVS(2const)`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_new_privs: bool,
    /// The system call filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Seccomp>,
    /// Real, effective and saved user ID.
    #[serde(default, deserialize_with = "id::of_json_if_any", skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Real, effective and saved group ID.
    #[serde(default, deserialize_with = "id::of_json_if_any", skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// The supplementary groups.
    #[serde(default, deserialize_with = "id::list_of_json_if_any", skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<u32>>,
    /// The resource limits to set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rlimits: Vec<ResourceLimit>,
    /// The preference for killing the command when memory runs out; `proc_pid_oom_score_adj(5)`. Not set by
    /// [`Process::apply`]: it is written through /proc, and a container's own /proc cannot be trusted; see
    /// [`set_oom_score_adj`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// Whether the command gets a session of its own, without a controlling terminal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_session: bool,
    /// The permissions that new files do not get.
    #[serde(default, deserialize_with = "umask::of_json_if_any", skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// `SECBIT_*`: exactly these, if there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub securebits: Vec<String>,
    /// The only paths below which files can be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landlock: Option<Landlock>,
    /// Whether the command gets an empty session keyring instead of the caller's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub session_keyring: bool,
    /// The whole environment, as `NAME=VALUE`, except TERM, which is taken from the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<Text>>,
    /// Variables that are removed from it, or from the one that is inherited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsetenv: Vec<Text>,
    /// Variables that are set in it after that, as `NAME=VALUE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setenv: Vec<Text>,
    /// The working directory, inside the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<Text>,
}

impl Process {
    /// Confines this process, for the command that it is about to become.
    ///
    /// `last` is what the caller has to do after the credentials have changed: the only call after it is `execve(2)`,
    /// since the filter may refuse any other. It may close descriptors: none is needed after it.
    pub fn apply(&self, last: impl FnOnce() -> Result<(), Fault>) -> Result<(), Fault> {
        let securebits = securebits::securebits(&self.securebits)?;
        let is_root = self.uid.is_none_or(|uid| uid == 0) && !securebits.contains(CapabilitiesSecureBits::NO_ROOT);
        let wanted = Wanted::new(self.capabilities.as_deref(), self.capability_sets.as_ref(), held, is_root)?;
        let mut rules = self.landlock.as_ref().map(Landlock::rules).transpose()?;
        wanted.bounding.map_or(Ok(()), bound)?;
        // Sixty-four calls, which are only worth it for a filter.
        let most = || wanted.bounding.unwrap_or(CapabilitySet::all()) & bounding();
        self.rlimits.iter().try_for_each(ResourceLimit::set)?;
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
        identity::change(self.uid, self.gid, self.groups.as_deref())?;
        exposure::stay_hidden()?;
        if self.session_keyring {
            // Only now, so that the keyring belongs to the user of the command.
            keyring::renew()?;
        }
        if late.is_empty() {
            wanted.take()?
        } else {
            wanted.take_before(securebits | keep)?
        }
        if self.new_session {
            new_session()?;
        }
        self.umask.map_or(Ok(()), umask::set)?;
        self.cwd.as_ref().map_or(Ok(()), change_directory)?;
        if self.no_new_privs {
            forbid_new_privileges()?;
            // Before `last`, which may close the ruleset: it is only a descriptor.
            rules.map_or(Ok(()), landlock::Ruleset::enforce)?;
        }
        last()?;
        if self.no_new_privs { self.filter(most) } else { Ok(()) }
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
    fn restrict(&self, rules: Option<landlock::Ruleset>, most: impl Fn() -> CapabilitySet) -> Result<(), Fault> {
        rules.map_or(Ok(()), landlock::Ruleset::enforce)?;
        self.filter(most)
    }

    fn filter(&self, most: impl Fn() -> CapabilitySet) -> Result<(), Fault> {
        self.seccomp.as_ref().map_or(Ok(()), |seccomp| seccomp.enforce(most()))
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

fn forbid_new_privileges() -> Result<(), Fault> {
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
    fn an_absent_member_is_absent_in_the_record() {
        assert_eq!(serde_json::to_string(&Process::default()).unwrap(), "{}");
        let line = r#"{"capabilities":["CAP_CHOWN"],"no_new_privs":true,"seccomp":"default","uid":0,"env":["A=b"]}"#;
        let process: Process = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&process).unwrap(), line);
    }

    #[test]
    fn an_unknown_restriction_is_not_ignored() {
        assert!(serde_json::from_str::<Process>(r#"{"later":"strict"}"#).is_err());
    }

    #[test]
    fn an_id_that_would_leave_us_root_is_refused() {
        for (member, works, fails) in
            [("uid", "1", "4294967295"), ("gid", "1", "4294967295"), ("groups", "[1]", "[1,4294967295]")]
        {
            let read = |value| serde_json::from_str::<Process>(&format!("{{\"{member}\":{value}}}"));
            assert!(read(works).is_ok() && read("null").is_ok() && read(fails).is_err(), "{member}");
        }
    }

    #[test]
    fn a_umask_that_the_kernel_would_cut_is_refused() {
        for (value, is_fit) in [("511", true), ("null", true), ("512", false), ("4294967295", false)] {
            assert_eq!(serde_json::from_str::<Process>(&format!("{{\"umask\":{value}}}")).is_ok(), is_fit, "{value}");
        }
    }

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
