//! Giving up privilege before `execve(2)`: capabilities, identity, no_new_privs, environment, directory.
//! `capabilities(7)`, `credentials(7)`.
//!
//! The order is the kernel's: each step still needs a right that a later one takes away. The surprise is root's: what
//! the bounding set holds comes back to uid 0 at every `execve(2)`, so the permitted set alone restrains nobody.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use serde::{Deserialize, Serialize};

use crate::Fault;
use crate::environment::Environment;
use crate::fault::IntoErrno;
use crate::kernel::{call, look};
use crate::text::Text;

/// What Docker leaves to a container by default: enough for root inside to manage its own files, users and ports.
pub const DOCKER_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// The record's member `process`: what a command is confined to. Absent members change nothing.
///
/// A member that this version does not know is an error, not passed over: it may be a restriction, and a restriction
/// that was asked for must not be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// The most that the command may have, as `CAP_CHOWN`: bounding, permitted and effective set. Inheritable and
    /// ambient set are emptied; only a `uid` other than 0 gets these capabilities through its ambient set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// Whether set-user-ID programs and file capabilities are without effect; `PR_SET_NO_NEW_PRIVS(2const)`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_new_privs: bool,
    /// Real, effective and saved user ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Real, effective and saved group ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// The supplementary groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<u32>>,
    /// The whole environment, as `NAME=VALUE`, but for TERM, which stays the caller's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<Text>>,
    /// The working directory, inside the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<Text>,
}

impl Process {
    /// Confines this process, for the command that it is about to become.
    pub fn apply(&self) -> Result<(), Fault> {
        let wanted = self.capabilities.as_deref().map(capability_set).transpose()?;
        let ambient = match (wanted, self.uid) {
            (Some(wanted), Some(uid)) if uid != 0 => wanted & held()?.permitted,
            _ => CapabilitySet::empty(),
        };
        if let Some(wanted) = wanted {
            bound(wanted)?;
        }
        if !ambient.is_empty() {
            keep_capabilities()?;
        }
        self.change_identity()?;
        if let Some(wanted) = wanted {
            clear_ambient()?;
            reduce(wanted, ambient)?;
            raise_ambient(ambient)?;
        }
        if self.no_new_privs {
            let why = "no program may give back what was dropped; PR_SET_NO_NEW_PRIVS(2const)";
            call("set no_new_privs", "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)", why, || set_no_new_privs(true))?;
        }
        self.cwd.as_ref().map_or(Ok(()), change_directory)
    }

    /// The environment for the command: `env` and the caller's TERM, or all that was inherited.
    pub fn environment(&self) -> Environment {
        let inherited = Environment::inherited();
        let Some(entries) = &self.env else { return inherited };
        let mut environment = Environment::empty();
        if let Some(terminal) = inherited.get("TERM") {
            environment.set("TERM", terminal);
        }
        for entry in entries {
            let bytes = entry.0.as_bytes();
            if let Some(equals) = bytes.iter().position(|byte| *byte == b'=') {
                environment.set(OsStr::from_bytes(&bytes[..equals]), OsStr::from_bytes(&bytes[equals + 1..]));
            }
        }
        environment
    }

    /// Groups go first and the user last: who is no longer root may change neither.
    fn change_identity(&self) -> Result<(), Fault> {
        if let Some(groups) = &self.groups {
            set_groups(groups)?;
        }
        if let Some(gid) = self.gid {
            let id = Gid::from_raw(gid);
            let text = format!("setresgid({gid}, {gid}, {gid})");
            call(format!("change to group {gid}"), text, "real, effective and saved group; credentials(7)", || {
                set_thread_res_gid(id, id, id)
            })
            .map_err(|fault| explain_identity(fault, gid, "gid_map", CapabilitySet::SETGID))?;
        }
        if let Some(uid) = self.uid {
            let id = Uid::from_raw(uid);
            let text = format!("setresuid({uid}, {uid}, {uid})");
            call(format!("change to user {uid}"), text, "real, effective and saved user; credentials(7)", || {
                set_thread_res_uid(id, id, id)
            })
            .map_err(|fault| explain_identity(fault, uid, "uid_map", CapabilitySet::SETUID))?;
        }
        Ok(())
    }
}

/// The set that these names make. They may lack `CAP_`, and be in small letters.
pub fn capability_set<S: AsRef<str>>(names: &[S]) -> Result<CapabilitySet, Fault> {
    names.iter().try_fold(CapabilitySet::empty(), |set, name| {
        let upper = name.as_ref().to_ascii_uppercase();
        match CapabilitySet::from_name(upper.strip_prefix("CAP_").unwrap_or(&upper)) {
            Some(capability) => Ok(set | capability),
            None => Err(Fault::new(format!("there is no capability {:?}; capabilities(7) names them", name.as_ref()))),
        }
    })
}

/// The names of a set, as `CAP_CHOWN`; a capability newer than this program is its number.
pub fn capability_names(set: CapabilitySet) -> Vec<String> {
    let bits = (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit)).filter(|bit| set.contains(*bit));
    bits.map(|bit| match bit.iter_names().next() {
        Some((name, _)) => format!("CAP_{name}"),
        None => format!("{:#x} /* CAP_??? */", bit.bits().trailing_zeros()),
    })
    .collect()
}

/// Whether a user namespace forbids setgroups(2) for good, from the text of /proc/PID/setgroups.
///
/// It does where an unprivileged user wrote the gid_map: a group can also *deny* access to a file, so leaving one would
/// be a gain. Who only wants to start clean leaves `groups` out then; they appear as the overflow group inside.
pub fn setgroups_is_denied(proc_setgroups: &str) -> bool {
    proc_setgroups.trim_end() == "deny"
}

fn held() -> Result<CapabilitySets, Fault> {
    look("read our capabilities", "capget({version=_LINUX_CAPABILITY_VERSION_3, pid=0})", || capabilities(None))
}

/// Takes everything else out of the bounding set, also what only the kernel knows: it is asked one by one.
fn bound(wanted: CapabilitySet) -> Result<(), Fault> {
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        let is_in = match capability_is_in_bounding_set(capability) {
            // Above cap_last_cap: this kernel has no more.
            Err(rustix::io::Errno::INVAL) => return Ok(()),
            answer => look("read the bounding set", format!("prctl(PR_CAPBSET_READ, {bit})"), || answer)?,
        };
        if is_in && !wanted.contains(capability) {
            drop_from_bounding_set(capability)?;
        }
    }
    Ok(())
}

fn drop_from_bounding_set(capability: CapabilitySet) -> Result<(), Fault> {
    let name = shown_name(capability);
    let text = format!("prctl(PR_CAPBSET_DROP, {name})");
    call(format!("drop {name}"), text, "no program that is run later can have it; capabilities(7)", || {
        remove_capability_from_bounding_set(capability)
    })
    .map_err(|fault| explain_missing(fault, CapabilitySet::SETPCAP))
}

/// Has the next change of user leave the permitted set as it is.
pub fn keep_capabilities() -> Result<(), Fault> {
    let why = "a user other than root shall have them, and setresuid(2) would take them away";
    call("keep capabilities", "prctl(PR_SET_KEEPCAPS, 1)", why, || set_keep_capabilities(true))
}

/// Hands every capability that we hold on to the command, whoever it runs as: through the ambient set.
pub fn hand_on_capabilities() -> Result<(), Fault> {
    let permitted = held()?.permitted;
    reduce(permitted, permitted)?;
    raise_ambient(permitted)
}

fn clear_ambient() -> Result<(), Fault> {
    let text = "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)";
    call("clear the ambient set", text, "nothing is handed on unasked", clear_ambient_capability_set)
}

fn reduce(wanted: CapabilitySet, inheritable: CapabilitySet) -> Result<(), Fault> {
    let permitted = wanted & held()?.permitted;
    let sets = CapabilitySets { effective: permitted, permitted, inheritable };
    let text = format!(
        "capset({{version=_LINUX_CAPABILITY_VERSION_3, pid=0}}, {{effective={}, permitted={}, inheritable={}}})",
        shown(permitted),
        shown(permitted),
        shown(inheritable)
    );
    call("reduce our capabilities", text, "what the command keeps of root's power; capabilities(7)", || {
        set_capabilities(None, sets)
    })
}

fn raise_ambient(ambient: CapabilitySet) -> Result<(), Fault> {
    let bits = (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit));
    for capability in bits.filter(|bit| ambient.contains(*bit)) {
        let name = shown_name(capability);
        call(
            format!("keep {name} across execve(2)"),
            format!("prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, {name}, 0, 0)"),
            "a user other than root keeps it through this set",
            || configure_capability_in_ambient_set(capability, true),
        )?;
    }
    Ok(())
}

/// In strace's notation.
fn shown(set: CapabilitySet) -> String {
    if set.is_empty() {
        return "0".to_owned();
    }
    capability_names(set).iter().map(|name| format!("1<<{name}")).collect::<Vec<_>>().join("|")
}

fn set_groups(groups: &[u32]) -> Result<(), Fault> {
    let ids: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let now = look("read our supplementary groups", "getgroups()", rustix::process::getgroups)?;
    if ids.is_empty() && now.is_empty() {
        return Ok(());
    }
    let listed: Vec<String> = groups.iter().map(u32::to_string).collect();
    let text = format!("setgroups({}, [{}])", ids.len(), listed.join(", "));
    let goal = match listed.is_empty() {
        true => "leave the supplementary groups".to_owned(),
        false => format!("change to the supplementary groups {}", listed.join(", ")),
    };
    call(goal, text, "the groups of whoever started us are not the command's; credentials(7)", || {
        set_thread_groups(&ids)
    })
    .map_err(explain_groups)
}

fn explain_groups(fault: Fault) -> Fault {
    let told = std::fs::read_to_string("/proc/self/setgroups").unwrap_or_default();
    match fault.errno() {
        Some(Errno::EPERM) if setgroups_is_denied(&told) => fault.with_remedy(
            "/proc/self/setgroups is \"deny\" here, because an unprivileged user wrote the gid_map of this user \
             namespace; map ids with newgidmap (--map-auto), or ask for no groups",
        ),
        Some(Errno::EINVAL) => fault.with_remedy("each group must be mapped in /proc/self/gid_map"),
        _ => explain_missing(fault, CapabilitySet::SETGID),
    }
}

fn explain_identity(fault: Fault, id: u32, map: &str, right: CapabilitySet) -> Fault {
    let told = std::fs::read_to_string(format!("/proc/self/{map}")).unwrap_or_default();
    match fault.errno() {
        Some(Errno::EINVAL) if !told.is_empty() && !is_mapped(&told, id) => {
            fault.with_remedy(format!("{id} is not mapped in this user namespace: /proc/self/{map} has no line for it"))
        }
        _ => explain_missing(fault, right),
    }
}

/// Whether an id map (`inside outside count` a line) has this id inside; `user_namespaces(7)`.
pub fn is_mapped(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect();
        matches!(numbers[..], [inside, _, count] if (inside..inside + count).contains(&id.into()))
    })
}

fn explain_missing(fault: Fault, right: CapabilitySet) -> Fault {
    match (fault.errno(), capabilities(None)) {
        (Some(Errno::EPERM), Ok(held)) if !held.effective.contains(right) => {
            fault.with_remedy(format!("{} is missing here; be root, or enter a user namespace", shown_name(right)))
        }
        _ => fault,
    }
}

fn shown_name(right: CapabilitySet) -> String {
    capability_names(right).concat()
}

fn change_directory(cwd: &Text) -> Result<(), Fault> {
    let goal = format!("change to the directory {}", cwd.shown());
    let text = format!("chdir({:?})", cwd.0.to_string_lossy());
    if crate::narrate::is_dry_run() {
        return Ok(());
    }
    look(&goal, &text, || rustix::process::chdir(cwd.to_path()))?;
    // A directory that lies outside of our root shows as "(unreachable)…": a leaked descriptor led there.
    let now = look(&goal, "getcwd()", || rustix::process::getcwd(Vec::new()).map_err(IntoErrno::into_errno))?;
    match now.as_bytes().starts_with(b"/") {
        true => Ok(()),
        false => Err(Fault::new(format!("cannot {goal}: it lies outside of the root"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_set_is_the_one_its_containers_show() {
        assert_eq!(capability_set(&DOCKER_CAPABILITIES).unwrap().bits(), 0xa804_25fb);
    }

    #[test]
    fn names_and_sets_go_both_ways() {
        let set = capability_set(&["chown", "CAP_BPF"]).unwrap();
        assert_eq!(capability_names(set), ["CAP_CHOWN", "CAP_BPF"]);
        assert_eq!(shown(CapabilitySet::empty()), "0");
        assert_eq!(capability_names(CapabilitySet::from_bits_retain(1 << 41)), ["0x29 /* CAP_??? */"]);
        assert!(capability_set(&["CAP_FLY"]).unwrap_err().to_string().contains("CAP_FLY"));
    }

    #[test]
    fn an_absent_member_is_absent_in_the_record() {
        assert_eq!(serde_json::to_string(&Process::default()).unwrap(), "{}");
        let line = r#"{"capabilities":["CAP_CHOWN"],"no_new_privs":true,"uid":0,"env":["A=b"]}"#;
        let process: Process = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&process).unwrap(), line);
    }

    #[test]
    fn an_unknown_restriction_is_not_passed_over() {
        assert!(serde_json::from_str::<Process>(r#"{"seccomp":"default"}"#).is_err());
    }

    #[test]
    fn an_environment_of_its_own_keeps_nothing_else() {
        let process = Process { env: Some(vec!["A=b=c".into(), "EMPTY=".into()]), ..Process::default() };
        let environment = process.environment();
        assert_eq!(environment.get("A"), Some(OsStr::new("b=c")));
        assert_eq!(environment.get("EMPTY"), Some(OsStr::new("")));
        assert_eq!(environment.get("PATH"), None);
    }

    #[test]
    fn an_id_map_is_read_as_ranges() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        assert!(is_mapped(map, 0) && is_mapped(map, 65536) && !is_mapped(map, 65537));
        assert!(is_mapped("0 0 4294967295", u32::MAX - 1));
    }
}
