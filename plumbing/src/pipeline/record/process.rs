//! The record's member `process`: how a command is confined. `crate::confinement::privilege` applies it.
//!
//! The surprise: unlike anywhere else in a record, a member that this version does not know is an error. It may be a
//! restriction, and a restriction that was asked for must not be left out.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::Member;
use crate::confinement::privilege::{id, umask};
use crate::confinement::seccomp::Seccomp;
use crate::text::Text;

/// The confinement of a command. Absent members change nothing.
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
    /// Whether the kernel logs what the filter refuses; `SECCOMP_FILTER_FLAG_LOG`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seccomp_log: bool,
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
    /// [`crate::confinement::privilege::set_oom_score_adj`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// How the kernel shares the CPUs; `sched(7)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// The order in which disks serve the command; `ioprio_set(2)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_priority: Option<IoPriority>,
    /// The execution domain, `LINUX` or `LINUX32`; `personality(2)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personality: Option<String>,
    /// The AppArmor profile in which the command is executed. Like `oom_score_adj`, it and the next member are not set by
    /// [`Process::apply`], but by [`crate::confinement::command_label::set`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apparmor_profile: Option<Text>,
    /// The SELinux context in which the command is executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selinux_label: Option<Text>,
    /// Whether the command gets a session of its own, without a controlling terminal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_session: bool,
    /// The permissions that new files do not get.
    #[serde(default, deserialize_with = "umask::of_json_if_any", skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// `SECBIT_*`: exactly these, if there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub securebits: Vec<String>,
    /// What can be reached; see [`Landlock`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landlock: Option<Landlock>,
    /// Whether the command gets an empty session keyring instead of the caller's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub session_keyring: bool,
    /// Whether the command's group may open the pipes at stdin, stdout and stderr, each in its direction.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_pipes: bool,
    /// Whether the signals that the caller ignores have their default effect on the command.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default_signals: bool,
    /// The whole environment, as `NAME=VALUE`, except TERM, which is taken from the caller.
    #[serde(default, deserialize_with = "variables_if_any", skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<Text>>,
    /// Variables that are removed from it, or from the one that is inherited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsetenv: Vec<Text>,
    /// Variables that are set in it after that, as `NAME=VALUE`.
    #[serde(default, deserialize_with = "variables", skip_serializing_if = "Vec::is_empty")]
    pub setenv: Vec<Text>,
    /// The working directory, inside the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<Text>,
}

/// Reads variables of an environment, in which no entry can contain a NUL byte.
fn variables<'de, D: Deserializer<'de>>(json: D) -> Result<Vec<Text>, D::Error> {
    variables_if_any(json).map(Option::unwrap_or_default)
}

fn variables_if_any<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Vec<Text>>, D::Error> {
    let entries = Option::<Vec<Text>>::deserialize(json)?;
    match entries.iter().flatten().find(|entry| entry.0.as_encoded_bytes().contains(&0)) {
        Some(entry) => Err(D::Error::custom(format!("the variable {:?} contains a NUL byte", entry.0))),
        None => Ok(entries),
    }
}

impl Member for Process {
    const KEY: &'static str = "process";
}

/// The five capability sets one by one. An absent set is as `capabilities` says, or stays unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FiveSets {
    /// The bounding set: the most that any later program may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounding: Option<Vec<String>>,
    /// The permitted set: what may be made effective.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permitted: Option<Vec<String>>,
    /// The effective set: what the kernel checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<Vec<String>>,
    /// The inheritable set: what a program with file capabilities may inherit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inheritable: Option<Vec<String>>,
    /// The ambient set: what every program keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ambient: Option<Vec<String>>,
}

/// One resource limit of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceLimit {
    /// `RLIMIT_*`.
    #[serde(rename = "type")]
    pub resource: String,
    /// The limit in force; null: no limit.
    pub soft: Option<u64>,
    /// The value to which the soft limit may be raised; null: no limit.
    pub hard: Option<u64>,
}

/// A scheduling policy, `SCHED_*`, and the values that it uses; `sched_setattr(2)`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheduler {
    /// `SCHED_*`.
    pub policy: String,
    /// The nice value, from -20 to 19.
    #[serde(default)]
    pub nice: i32,
    /// The priority of a real-time policy.
    #[serde(default)]
    pub priority: u32,
    /// `SCHED_FLAG_*`.
    #[serde(default)]
    pub flags: Vec<String>,
    /// Of `SCHED_DEADLINE`, in nanoseconds.
    #[serde(default)]
    pub runtime: u64,
    /// Of `SCHED_DEADLINE`, in nanoseconds.
    #[serde(default)]
    pub deadline: u64,
    /// Of `SCHED_DEADLINE`, in nanoseconds.
    #[serde(default)]
    pub period: u64,
}

/// A class and a level of I/O priority; `ioprio_set(2)`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IoPriority {
    /// `IOPRIO_CLASS_*`.
    pub class: String,
    /// The level, from 0, the highest, to 7.
    #[serde(default)]
    pub priority: i32,
}

/// What the command can reach. Without rules for files, all files; the same for each kind of port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Landlock {
    /// Paths below which everything can be read, listed and executed.
    #[serde(default)]
    pub ro: Vec<Text>,
    /// Paths below which everything is allowed.
    #[serde(default)]
    pub rw: Vec<Text>,
    /// Further rules for files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<LandlockRule>,
    /// The only TCP ports that sockets can be bound to; port 0: one that the kernel chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind_tcp: Option<Vec<u16>>,
    /// The only TCP ports that can be connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_tcp: Option<Vec<u16>>,
    /// The only UDP ports that sockets can be bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind_udp: Option<Vec<u16>>,
    /// The only UDP ports that datagrams can be sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_send_udp: Option<Vec<u16>>,
    /// What ends at the command and its descendants: `signal`, `abstract_unix_socket`, `resolve_unix` or `all`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scoped: Vec<String>,
    /// Whether a symbolic link on a path is followed, and no error: the root is the host's, or made of its programs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow_links: bool,
    /// Whether what the kernel does not know is left out and reported, and no error.
    #[serde(default, rename = "try", skip_serializing_if = "std::ops::Not::not")]
    pub tries: bool,
}

/// A rule for the files below a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LandlockRule {
    /// `ro`, `rw`, `exec`, or `LANDLOCK_ACCESS_FS_*` in lower case and without this prefix.
    pub rights: Vec<String>,
    /// The path.
    pub path: Text,
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
}
