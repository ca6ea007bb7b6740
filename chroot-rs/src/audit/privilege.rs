//! Privileges of the container's processes, and what they inherited: capabilities, filter, groups, environment, terminal.
//! `capabilities(7)`, `credentials(7)`.

use plumbing::Fault;
use plumbing::confinement::privilege::{self, DOCKER_CAPABILITIES, capability_names, capability_set};
use plumbing::process::target::status_field;
use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::thread::{CapabilitySet, capabilities, capability_is_in_ambient_set, no_new_privs};

use super::look::{read, some};
use super::{By, Finding, Probe, Severity, leaks};

pub(super) const PROBES: &[Probe] = &[
    Probe {
        name: "root-of-the-host",
        severity: Severity::High,
        why: "root here is root on the host, restricted only by capabilities and a filter; user_namespaces(7)",
        by: By::Looking(root),
    },
    Probe {
        name: "capabilities",
        severity: Severity::High,
        why: "more than Docker's default: each gives power over the machine, directly or indirectly; capabilities(7)",
        by: By::Looking(bounding),
    },
    Probe {
        name: "inherited-capabilities",
        severity: Severity::Medium,
        why: "inheritable and ambient ones are regained with programs that have file capabilities (CVE-2022-24769)",
        by: By::Looking(inherited),
    },
    Probe {
        name: "no-new-privs",
        severity: Severity::Medium,
        why: "set-user-ID programs and file capabilities can restore privileges; PR_SET_NO_NEW_PRIVS(2const)",
        by: By::Looking(new_privs),
    },
    Probe {
        name: "seccomp",
        severity: Severity::High,
        why: "without a filter all system calls of the kernel can be attacked; seccomp(2)",
        by: By::Looking(seccomp),
    },
    Probe {
        name: "groups",
        severity: Severity::Medium,
        why: "a supplementary group of the caller gives access to its files; credentials(7)",
        by: By::Looking(groups),
    },
    Probe {
        name: "environment",
        severity: Severity::Medium,
        why: "variables can contain secrets and the addresses of the caller's session; environ(7)",
        by: By::Looking(leaks::environment),
    },
    Probe {
        name: "terminal",
        severity: Severity::High,
        why: "the container can insert input into the terminal, which its owner's shell outside executes (CVE-2017-5226)",
        by: By::Looking(leaks::terminal),
    },
];

/// Returns the capabilities of the bounding set beyond Docker's; root regains this set at every execve(2).
fn beyond_dockers() -> Result<CapabilitySet, Fault> {
    Ok(privilege::bounding() - capability_set(&DOCKER_CAPABILITIES)?)
}

fn has_filter() -> Option<bool> {
    let status = read("/proc/self/status")?;
    status_field(&status, "Seccomp").map(|mode| mode != "0")
}

fn root() -> Result<Finding, Fault> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Finding::held("this process is not root"));
    }
    let Some(map) = read("/proc/self/uid_map") else { return Ok(Finding::unknown("there is no /proc")) };
    let fields: Vec<&str> = map.split_whitespace().collect();
    if fields != ["0", "0", "4294967295"] {
        return Ok(Finding::held(format!("root is user {} outside", fields.get(1).unwrap_or(&"?"))));
    }
    Ok(match (beyond_dockers()?.is_empty(), has_filter()) {
        (true, Some(true)) => Finding::held("root is root outside, with few capabilities and a filter"),
        _ => Finding::open("root is root outside, with many capabilities or no filter"),
    })
}

fn bounding() -> Result<Finding, Fault> {
    let beyond = capability_names(beyond_dockers()?);
    // In our own user namespace, they apply only to it.
    let is_mapped = read("/proc/self/uid_map").is_some_and(|map| map.split_whitespace().nth(1) != Some("0"));
    if beyond.is_empty() {
        let held = privilege::bounding().iter().count();
        return Ok(Finding::held(format!("{held} of Docker's {}", DOCKER_CAPABILITIES.len())));
    }
    let scope = if is_mapped { ", over this user namespace" } else { "" };
    Ok(Finding::open(format!("{}{scope}", some(&beyond))))
}

fn inherited() -> Result<Finding, Fault> {
    let inheritable = capabilities(None).map(|sets| sets.inheritable).unwrap_or(CapabilitySet::empty());
    let all = (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit));
    let ambient: CapabilitySet = all.filter(|bit| capability_is_in_ambient_set(*bit).unwrap_or(false)).collect();
    Ok(Finding::none_of(&capability_names(inheritable | ambient), "both sets are empty"))
}

fn new_privs() -> Result<Finding, Fault> {
    let is_nosuid = statvfs("/").is_ok_and(|root| root.f_flag.contains(StatVfsMountFlags::NOSUID));
    Ok(match no_new_privs() {
        Ok(true) => Finding::held("no_new_privs is set"),
        Ok(false) if is_nosuid => Finding::held("/ is nosuid"),
        Ok(false) => Finding::open("no_new_privs is not set, and / is not nosuid"),
        Err(errno) => Finding::unknown(format!("prctl: {errno}")),
    })
}

fn seccomp() -> Result<Finding, Fault> {
    Ok(match has_filter() {
        Some(true) => Finding::held("there is a filter"),
        Some(false) => Finding::open("there is no filter"),
        None => Finding::unknown("there is no /proc"),
    })
}

/// Looks for foreign groups. A group in the container's own group file is not foreign. An unmapped group appears as 65534.
fn groups() -> Result<Finding, Fault> {
    const OVERFLOW: u32 = 65534;
    let Ok(groups) = nix::unistd::getgroups() else { return Ok(Finding::unknown("getgroups is refused")) };
    let own = rustix::process::getegid().as_raw();
    let group_file = read("/etc/group").unwrap_or_default();
    let named: Vec<u32> = group_file.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok()).collect();
    let numbers = groups.iter().map(|group| group.as_raw());
    let foreign = numbers.filter(|group| *group == OVERFLOW || *group != own && *group != 0 && !named.contains(group));
    let foreign: Vec<_> = foreign.map(|group| group.to_string()).collect();
    Ok(Finding::none_of(&foreign, format!("{} groups, all from this root", groups.len())))
}
