//! `process` of a bundle, as the record's member `process`. No I/O here.

use std::ffi::OsStr;
use std::path::PathBuf;

use plumbing::confinement::privilege::capability_set;
use plumbing::confinement::seccomp::Seccomp;
use plumbing::pipeline::record::{FiveSets, IoPriority, Process, ResourceLimit, Scheduler};
use plumbing::text::Text;
use plumbing::{Fault, narrate};
use rustix::termios::Winsize;
use serde_json::Value;

use super::config;
use crate::confinement::home_variable;
use crate::identity::{Identity, IdentityRequest};

/// The identity and the confinement of the command.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) args: Vec<String>,
    env: Vec<String>,
    pub(super) cwd: PathBuf,
    user: config::User,
    sets: FiveSets,
    /// Names among its capabilities that this version does not know: grants, so they are only reported.
    unknown_capabilities: Vec<String>,
    rlimits: Vec<ResourceLimit>,
    no_new_privs: bool,
    oom_score_adj: Option<i32>,
    scheduler: Option<Scheduler>,
    io_priority: Option<IoPriority>,
    apparmor_profile: Option<String>,
    selinux_label: Option<String>,
    /// The size of its terminal.
    pub(super) console_size: Option<Winsize>,
    /// The execution domain, which is a member of `linux`.
    pub(super) personality: Option<String>,
    /// `--new-session`: also where a terminal was given.
    pub(super) new_session: bool,
    seccomp: Option<Seccomp>,
}

impl Wanted {
    pub(super) fn read(process: Option<config::Process>, seccomp: Option<Value>) -> Result<Wanted, String> {
        let process = match process {
            Some(process) => process,
            None => {
                let mut empty = config::Process::default();
                empty.cwd = "/".into();
                empty
            }
        };
        let wrong = |wrong| format!("its process: {wrong}");
        process.scheduler.as_ref().map_or(Ok(()), Scheduler::check).map_err(wrong)?;
        process.io_priority.as_ref().map_or(Ok(()), IoPriority::check).map_err(wrong)?;
        if !process.cwd.is_absolute() {
            return Err(format!("its process.cwd {:?} is not absolute", process.cwd.to_string_lossy()));
        }
        if let Some(entry) = process.env.iter().find(|entry| !entry.contains('=') || entry.starts_with('=')) {
            return Err(format!("its process.env has {entry:?}, which is not NAME=VALUE"));
        }
        if let Some(entry) = process.env.iter().find(|entry| entry.contains('\0')) {
            return Err(format!("its process.env has {entry:?}, which contains a NUL byte"));
        }
        let named = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (sets, unknown_capabilities) = sets(process.capabilities.unwrap_or_default());
        Ok(Wanted {
            args: process.args,
            env: process.env,
            cwd: process.cwd,
            user: process.user,
            sets,
            unknown_capabilities,
            rlimits: limits(&process.rlimits)?,
            no_new_privs: process.no_new_privileges,
            oom_score_adj: process.oom_score_adj,
            scheduler: process.scheduler,
            io_priority: process.io_priority,
            apparmor_profile: named(process.apparmor_profile),
            selinux_label: named(process.selinux_label),
            console_size: process.console_size.map(|size| Winsize {
                ws_row: size.height,
                ws_col: size.width,
                ws_xpixel: 0,
                ws_ypixel: 0,
            }),
            personality: None,
            new_session: false,
            seccomp: seccomp.map(filter).transpose()?,
        })
    }

    /// Reports the capabilities that are unknown, as the specification demands, which forbids to fail.
    pub(super) fn report_unknown_capabilities(&self, file: &str) -> Result<(), Fault> {
        if self.unknown_capabilities.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = self.unknown_capabilities.iter().map(|name| format!("{name:?}")).collect();
        let names = names.join(", ");
        narrate::caution(Fault::new(format!("cannot give the command {names} of {file}: there is no such capability")))
    }

    /// Returns the identity, by number: a bundle has no names.
    pub(super) fn identity(&self) -> IdentityRequest {
        let number = |id: u32| format!("+{id}");
        IdentityRequest {
            user: Some(number(self.user.uid)),
            group: Some(number(self.user.gid)),
            groups: Some(self.user.additional_gids.iter().map(|gid| number(*gid)).collect()),
            dotted: None,
            digits_are_ids: true,
        }
    }

    pub(super) fn process(&self, identity: Identity, setgroups_denied: bool) -> Process {
        // If the kernel denies setgroups(2) permanently, no groups can be dropped.
        let groups = identity.groups.filter(|groups| !(groups.is_empty() && setgroups_denied));
        let mut env: Vec<Text> = self.env.iter().map(|entry| Text::from(entry.as_str())).collect();
        if !self.env.iter().any(|entry| entry.starts_with("HOME=")) {
            // As other runtimes do, although the specification does not mention it.
            env.push(home_variable(identity.home.as_deref().unwrap_or(OsStr::new("/"))));
        }
        Process {
            capability_sets: Some(self.sets.clone()),
            no_new_privs: self.no_new_privs,
            seccomp: self.seccomp.clone(),
            uid: identity.uid,
            gid: identity.gid,
            groups,
            rlimits: self.rlimits.clone(),
            umask: self.user.umask,
            session_keyring: true,
            own_pipes: true,
            default_signals: true,
            new_session: self.new_session,
            oom_score_adj: self.oom_score_adj,
            scheduler: self.scheduler.clone(),
            io_priority: self.io_priority.clone(),
            personality: self.personality.clone(),
            apparmor_profile: self.apparmor_profile.as_deref().map(Text::from),
            selinux_label: self.selinux_label.as_deref().map(Text::from),
            // The bundle decides about TERM, which otherwise is the caller's.
            env: Some(Vec::new()),
            unsetenv: vec!["TERM".into()],
            setenv: env,
            cwd: Some(Text::from(self.cwd.as_path())),
            ..Process::default()
        }
    }
}

/// Returns all five sets, of which an absent one is empty, and the names that are no capability.
fn sets(capabilities: config::Capabilities) -> (FiveSets, Vec<String>) {
    let mut unknown = Vec::new();
    let mut known = |names: Vec<String>| {
        let (known, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| capability_set(&[name]).is_ok());
        unknown.extend(others);
        Some(known)
    };
    let sets = FiveSets {
        bounding: known(capabilities.bounding),
        permitted: known(capabilities.permitted),
        effective: known(capabilities.effective),
        inheritable: known(capabilities.inheritable),
        ambient: known(capabilities.ambient),
    };
    unknown.sort_unstable();
    unknown.dedup();
    (sets, unknown)
}

fn limits(limits: &[config::Limit]) -> Result<Vec<ResourceLimit>, String> {
    let mut read: Vec<ResourceLimit> = Vec::new();
    for config::Limit { kind, soft, hard } in limits {
        let amount = |amount: &u64| if *amount == u64::MAX { "unlimited".to_owned() } else { amount.to_string() };
        let limit = ResourceLimit::parse(&format!("{kind}={}:{}", amount(soft), amount(hard)))
            .map_err(|wrong| format!("its process.rlimits has {kind:?}: {wrong}"))?;
        if read.iter().any(|known| known.resource == limit.resource) {
            return Err(format!("its process.rlimits has {kind:?} twice"));
        }
        read.push(limit);
    }
    Ok(read)
}

fn filter(profile: Value) -> Result<Seccomp, String> {
    Seccomp::parse("of linux.seccomp", profile.to_string().as_bytes()).map_err(|fault| fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Wanted, String> {
        Wanted::read(Some(serde_json::from_str(text).map_err(|error| error.to_string())?), None)
    }

    #[test]
    fn the_members_of_a_process_are_kept() {
        let text = r#"{"cwd":"/w","user":{"uid":5,"gid":6,"umask":63,"additionalGids":[7]},"env":["A=b"],
            "capabilities":{"bounding":["CAP_KILL"]},"rlimits":[{"type":"RLIMIT_CORE","soft":0,"hard":18446744073709551615}]}"#;
        let wanted = read(text).unwrap();
        let identity = Identity { uid: Some(5), gid: Some(6), groups: Some(vec![7]), ..Identity::default() };
        let process = wanted.process(identity, false);
        assert_eq!((process.umask, process.rlimits[0].soft, process.rlimits[0].hard), (Some(63), Some(0), None));
        assert_eq!(process.setenv, [Text::from("A=b"), "HOME=/".into()]);
        let sets = process.capability_sets.unwrap();
        assert_eq!((sets.bounding, sets.ambient), (Some(vec!["CAP_KILL".to_owned()]), Some(Vec::new())));
    }

    #[test]
    fn contradictions_are_refused() {
        let limit = r#"{"type":"RLIMIT_CORE","soft":1,"hard":1}"#;
        assert!(read(&format!(r#"{{"cwd":"/","rlimits":[{limit},{limit}]}}"#)).is_err());
        assert!(read(r#"{"cwd":"/","env":["NAME"]}"#).is_err());
    }
}
