//! What of a record's environment, directory and confinement is used for the command. `environ(7)`, `credentials(7)`.
//!
//! A record is input, even of our own container. A program of the host gets no value from it that could make the
//! program run something else: LD_PRELOAD, PATH, a working directory. Nor does a record alone give such a program to
//! another user, who could then trace it, or make its calls seem to succeed. A container that is not ours never gets
//! the caller's environment, which may contain secrets.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use plumbing::confinement::seccomp::Seccomp;
use plumbing::kernel::look;
use plumbing::pipeline::assembly::Hold;
use plumbing::pipeline::pipe::Stage;
use plumbing::pipeline::record::Process;
use plumbing::pipeline::{kept_process, ownership};
use plumbing::process::environment::Environment;
use plumbing::process::namespace::Kind;
use plumbing::text::Text;
use plumbing::{Fault, narrate};

use super::environ::is_harmless;
use super::host_program::Host;

/// What `chroot-rs --std` sets.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How much of a record's `process` the init of a hold of ours keeps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nothing,
    /// The confinement, but another environment, working directory or umask.
    Confinement,
    All,
}

/// The facts about a container that are known outside.
pub(crate) struct Recorded {
    host: Host,
    /// Whether the container belongs to us.
    is_ours: bool,
    /// Whether the record was found by name: then its environment is absent because it is unknown.
    is_found: bool,
    /// Whether the command is in the user namespace of another user, who could read its environment and change it.
    is_in_theirs: bool,
    /// The members that must not be used for a program of the host.
    refused: Vec<&'static str>,
    /// What the init of the container keeps too, so that the record is not the source of it.
    kept: Kept,
    /// The result that a dry run, which enters nothing, assumes.
    expects_host: bool,
}

impl Recorded {
    /// Collects the facts, before entering.
    pub(crate) fn of(stage: &Stage, process: &Process) -> Result<Recorded, Fault> {
        let kinds = stage.target.foreign_kinds()?;
        // In a user namespace, users and limits are its own.
        let doubtful = if kinds.contains(Kind::User) { Vec::new() } else { doubtful(process)? };
        let is_ours = ownership::is_ours(&stage.target)?;
        let kept = if doubtful.is_empty() && !chooses_program(process) { Kept::Nothing } else { kept(stage, process)? };
        Ok(Recorded {
            host: Host::here(),
            is_ours,
            is_found: stage.record.get::<serde_json::Value>("container")?.is_some(),
            is_in_theirs: kinds.contains(Kind::User) && !is_ours,
            refused: if kept == Kept::Nothing { doubtful } else { Vec::new() },
            kept,
            expects_host: !kinds.contains(Kind::Mnt),
        })
    }

    /// Returns the command's environment and confinement, after entering and before our user changes.
    pub(crate) fn judge(&self, process: &Process) -> Result<(Environment, Process), Fault> {
        let is_host = if narrate::is_dry_run() { self.expects_host } else { self.host.is_here() };
        if is_host && !self.is_in_theirs && self.kept != Kept::All {
            return self.for_host(process);
        }
        if process.env.is_some() || (self.is_ours && !self.is_found) {
            return Ok((process.environment(), process.clone()));
        }
        let root = process.uid.is_none_or(|uid| uid == 0);
        let home = if root { "HOME=/root" } else { "HOME=/" };
        let env = Some(vec![format!("PATH={PATH}").as_str().into(), home.into()]);
        Ok((Process { env, ..process.clone() }.environment(), process.clone()))
    }

    /// Returns those for a program of the host: of the record's variables only the names, and the values of locale and
    /// time zone. Working directory and umask stay the caller's.
    fn for_host(&self, process: &Process) -> Result<(Environment, Process), Fault> {
        if !self.refused.is_empty() {
            let named = |prefix: &str| self.refused.iter().map(|name| format!("{prefix}{name}")).collect::<Vec<_>>();
            return Err(Fault::new(format!(
                "cannot confine the command as the record requests ({}): the command is a program of the host, and the init of \
                 the container does not keep the same confinement, so the record may have been edited",
                self.refused.join(", ")
            ))
            .with_remedy(format!("remove these members: jq -c 'del({})'", named(".process.").join(", "))));
        }
        let (environment, left) = for_host(process, Environment::inherited());
        if left > 0 || process.cwd.is_some() || process.umask.is_some() {
            narrate::remark(format_args!(
                "used only names, locale and time zone of the record's environment, and neither its directory nor its \
                 umask: the command is a program of the host, and they could make it do something else"
            ));
        }
        Ok((environment, Process { cwd: None, umask: None, ..process.clone() }))
    }
}

/// Returns the members that do more than take rights away from a program of the host: another user or group of that
/// user's could trace it, limits and filters can make a write or a change of user seem to succeed, and capability sets
/// and secure bits can keep rights that the program means to give up.
fn doubtful(process: &Process) -> Result<Vec<&'static str>, Fault> {
    let own = look("read our supplementary groups", "getgroups()", rustix::process::getgroups)?;
    let is_new = |gid: &u32| !own.iter().any(|own| own.as_raw() == *gid);
    let groups = process.groups.iter().flatten();
    let members = [
        ("uid", process.uid.is_some_and(|uid| uid != rustix::process::geteuid().as_raw())),
        ("gid", process.gid.is_some_and(|gid| gid != rustix::process::getegid().as_raw())),
        ("groups", groups.into_iter().any(is_new)),
        ("rlimits", !process.rlimits.is_empty()),
        ("oom_score_adj", process.oom_score_adj.is_some()),
        ("scheduler", process.scheduler.is_some()),
        ("io_priority", process.io_priority.is_some()),
        ("personality", process.personality.is_some()),
        ("apparmor_profile", process.apparmor_profile.is_some()),
        ("selinux_label", process.selinux_label.is_some()),
        ("seccomp", matches!(process.seccomp, Some(Seccomp::Profile(_)))),
        ("capability_sets", process.capability_sets.is_some()),
        ("securebits", !process.securebits.is_empty()),
    ];
    Ok(members.into_iter().filter_map(|(name, is_doubtful)| is_doubtful.then_some(name)).collect())
}

/// Reports whether these members could make a program of the host do something else.
fn chooses_program(process: &Process) -> bool {
    process.env.is_some() || !process.setenv.is_empty() || process.cwd.is_some() || process.umask.is_some()
}

/// Compares a record's `process` with what the init of a hold of ours keeps.
fn kept(stage: &Stage, process: &Process) -> Result<Kept, Fault> {
    if matches!(stage.hold, Hold::Foreign) || !ownership::is_ours(&stage.target)? {
        return Ok(Kept::Nothing);
    }
    let confinement = |process: &Process| Process {
        env: None,
        unsetenv: Vec::new(),
        setenv: Vec::new(),
        cwd: None,
        umask: None,
        ..process.clone()
    };
    let its = kept_process::of(&stage.target)?;
    Ok(match (its == *process, confinement(&its) == confinement(process)) {
        (true, _) => Kept::All,
        (false, true) => Kept::Confinement,
        (false, false) => Kept::Nothing,
    })
}

/// Returns the environment, and the number of omitted values that differ from ours.
fn for_host(process: &Process, own: Environment) -> (Environment, usize) {
    let mut left = 0;
    let mut environment = if process.env.is_some() { Environment::empty() } else { own.clone() };
    let mut take = |environment: &mut Environment, name: &OsStr, value: Option<&OsStr>| {
        let ours = name.to_str().and_then(|name| own.get(name));
        match value {
            Some(value) if is_harmless(name.as_bytes(), value.as_bytes()) => environment.set(name, value),
            _ => {
                left += usize::from(value.is_some() && value != ours);
                if let Some(ours) = ours {
                    environment.set(name, ours);
                }
            }
        }
    };
    if process.env.is_some() {
        take(&mut environment, OsStr::new("TERM"), None);
    }
    for (name, value) in process.env.iter().flatten().filter_map(parts) {
        take(&mut environment, name, Some(value));
    }
    process.unsetenv.iter().for_each(|name| environment.unset(&name.0));
    for (name, value) in process.setenv.iter().filter_map(parts) {
        take(&mut environment, name, Some(value));
    }
    (environment, left)
}

fn parts(entry: &Text) -> Option<(&OsStr, &OsStr)> {
    let bytes = entry.0.as_bytes();
    let equals = bytes.iter().position(|byte| *byte == b'=')?;
    Some((OsStr::from_bytes(&bytes[..equals]), OsStr::from_bytes(&bytes[equals + 1..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_the_host_gets_names_but_no_dangerous_values() {
        let mut own = Environment::empty();
        own.set("PATH", "/bin");
        own.set("SECRET", "x");
        own.set("TERM", "xterm");
        let list = |environment: &Environment| -> Vec<String> {
            environment.entries().iter().map(|entry| entry.to_str().unwrap().to_owned()).collect()
        };
        let env = Some(vec!["PATH=/evil".into(), "LD_PRELOAD=/evil.so".into(), "LANG=C".into()]);
        let process = Process { env, setenv: vec!["BASH_ENV=/evil".into(), "TZ=UTC".into()], ..Process::default() };
        let (environment, left) = for_host(&process, own.clone());
        assert_eq!(
            (list(&environment), left),
            (["TERM=xterm", "PATH=/bin", "LANG=C", "TZ=UTC"].map(String::from).to_vec(), 3)
        );
        let process = Process { unsetenv: vec!["SECRET".into()], ..Process::default() };
        assert_eq!(list(&for_host(&process, own).0), ["PATH=/bin", "TERM=xterm"]);
    }
}
