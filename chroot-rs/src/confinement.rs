//! The confinement of a command in a container's root, as data: the record's member `process`. No I/O here.
//! `capabilities(7)`.

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};

use plumbing::Fault;
use plumbing::confinement::privilege::DEFAULT_CAPABILITIES;
use plumbing::confinement::seccomp::Seccomp;
use plumbing::pipeline::record::Process;
use plumbing::text::Text;

use crate::capabilities::{Capabilities, five_sets, report_missing};
use crate::confinement_options::{ConfinementOptions, Files, Filter};
use crate::identity::Identity;

/// Directories of every usual root; the caller's PATH is meant for the caller's root.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The confinement that the options ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// `--std`: the defaults are those of a container, not the caller's state.
    pub(crate) std: bool,
    /// `--keep-root`.
    pub(crate) keeps_root: bool,
    /// `--host-root`.
    pub(crate) host_root: bool,
    pub(crate) capabilities: Option<Capabilities>,
    pub(crate) new_privs: bool,
    pub(crate) keep_env: bool,
    /// `--chdir`.
    pub(crate) chdir: Option<OsString>,
    pub(crate) more: ConfinementOptions,
    /// The contents of the files that `more` names; see [`Confinement::read_files`].
    pub(crate) files: OnceCell<Files>,
}

impl Confinement {
    /// Reads the files that the options name.
    pub(crate) fn read_files(&self) -> Result<(), Fault> {
        let files = Files::read(&self.more)?;
        self.files.get_or_init(|| files);
        Ok(())
    }

    /// Returns the variables; those of files come first, so that the command line overrides them.
    fn variables(&self) -> Vec<Text> {
        let of_files = self.files.get().map(|files| files.variables.clone()).unwrap_or_default();
        of_files.into_iter().chain(self.more.setenv.iter().map(|entry| Text::from(entry.as_os_str()))).collect()
    }

    fn seccomp(&self) -> Option<Seccomp> {
        match &self.more.seccomp {
            Some(Filter::None) => None,
            Some(Filter::File(_)) => self.files.get().and_then(|files| files.profile.clone()),
            Some(Filter::Default) => Some(Seccomp::Default),
            None => self.std.then_some(Seccomp::Default),
        }
    }

    /// Returns the member `process` for a command that runs as `identity`.
    pub(crate) fn process(&self, identity: Identity, setgroups_denied: bool) -> Process {
        let is_root = identity.uid.is_none_or(|uid| uid == 0);
        let capabilities = match &self.capabilities {
            Some(Capabilities::Only(names)) => Some(names.clone()),
            Some(Capabilities::Unchanged) => None,
            None if !self.std => None,
            // A user other than root would get them through its ambient set, which must be requested explicitly.
            None => Some(if is_root { DEFAULT_CAPABILITIES.map(str::to_owned).to_vec() } else { Vec::new() }),
        };
        // If the kernel denies setgroups(2) permanently, no groups can be dropped: see privilege::setgroups_is_denied.
        let start_clean = (self.std && !setgroups_denied).then(Vec::new);
        Process {
            capabilities,
            capability_sets: five_sets(&self.more.capability_set),
            new_session: self.more.new_session,
            no_new_privs: self.more.no_new_privs || (self.std || self.keeps_root) && !self.new_privs,
            seccomp: self.seccomp(),
            seccomp_log: self.more.seccomp_log,
            uid: identity.uid,
            gid: identity.gid,
            groups: identity.groups.or(start_clean),
            rlimits: self.more.rlimit.clone(),
            umask: self.more.umask,
            securebits: self.more.securebits.as_ref().map(|bits| bits.0.clone()).unwrap_or_default(),
            landlock: self.more.landlock.wanted(self.keeps_root || self.host_root),
            session_keyring: self.std,
            own_pipes: self.std,
            // A command that nohup(1) started, or a shell in the background, keeps what these ignore.
            default_signals: false,
            unsetenv: self.more.unsetenv.iter().map(|name| Text::from(name.as_os_str())).collect(),
            setenv: self.variables(),
            env: self.clears_environment().then(|| environment(identity.home.as_deref(), is_root)),
            cwd: self.chdir.as_deref().map(Text::from),
            ..Process::default()
        }
    }
}

impl Confinement {
    fn clears_environment(&self) -> bool {
        self.more.clear_env || !self.more.whitelist_env.is_empty() || self.std && !self.keep_env
    }

    /// Reports the capabilities that the command line names and that the command does not get.
    pub(crate) fn report_missing_capabilities(&self, process: &Process) -> Result<(), Fault> {
        if matches!(self.capabilities, Some(Capabilities::Only(_))) || !self.more.capability_set.is_empty() {
            report_missing(process, false)?;
        }
        Ok(())
    }
}

/// Returns PATH and HOME only: the caller's variables may hold secrets, and name files that do not exist inside.
fn environment(home: Option<&OsStr>, is_root: bool) -> Vec<Text> {
    vec![PATH.into(), home_variable(home.unwrap_or(OsStr::new(if is_root { "/root" } else { "/" })))]
}

/// Returns the variable HOME. A home directory may have any name.
pub(crate) fn home_variable(home: &OsStr) -> Text {
    let mut variable = OsString::from("HOME=");
    variable.push(home);
    Text(variable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities;

    fn std() -> Confinement {
        Confinement { std: true, ..Confinement::default() }
    }

    #[test]
    fn a_container_is_confined_by_default() {
        let process = std().process(Identity::default(), false);
        assert_eq!(process.capabilities.map(|names| names.len()), Some(12));
        assert!(process.no_new_privs);
        assert_eq!(process.seccomp, Some(Seccomp::Default));
        assert_eq!(process.groups, Some(Vec::new()));
        assert_eq!(process.env.map(|env| env.len()), Some(2));
    }

    #[test]
    fn a_plain_chroot_confines_nothing_by_default() {
        assert_eq!(Confinement::default().process(Identity::default(), false), Process::default());
    }

    #[test]
    fn users_other_than_root_get_only_named_capabilities() {
        let user = Identity { uid: Some(1000), ..Identity::default() };
        assert_eq!(std().process(user.clone(), false).capabilities, Some(Vec::new()));
        let asked = Confinement { capabilities: Some(capabilities::parse("kill").unwrap()), ..std() };
        assert_eq!(asked.process(user, false).capabilities, Some(vec!["CAP_KILL".to_owned()]));
    }

    #[test]
    fn the_requested_filter_is_used() {
        let seccomp = |std, filter| {
            let more = ConfinementOptions { seccomp: Some(filter), ..ConfinementOptions::default() };
            Confinement { std, more, ..Confinement::default() }.process(Identity::default(), false).seccomp
        };
        assert_eq!(seccomp(false, Filter::Default), Some(Seccomp::Default));
        assert_eq!(seccomp(true, Filter::None), None);
    }

    #[test]
    fn groups_that_cannot_be_dropped_are_kept() {
        assert_eq!(std().process(Identity::default(), true).groups, None);
    }
}
