//! The rules about what namespaces, ids, capabilities, filters and limits of a process mean for the host.
//!
//! `namespaces(7)`, `capabilities(7)`, `seccomp(2)`. What Docker grants by default is no danger here; each missing
//! layer of defense is a finding.

use plumbing::confinement::privilege::capability_names;
use plumbing::process::namespace::Kind;
use plumbing::text::Text;
use rustix::thread::CapabilitySet;

use super::capabilities;
use super::cgroup::Group;
use super::confinement::Confinement;
use super::findings::{Findings, Severity, Standing};
use super::namespaces::Namespaces;
use super::reading::Reading;
use Severity::{Danger, Weakness};

/// The capabilities beyond Docker's default that are dangerous for the host, and what they allow.
const CAPABILITIES: &[(CapabilitySet, &str)] = &[
    (
        CapabilitySet::SYS_ADMIN,
        "allows mounting the host's disks, configuring its kernel, and undoing most other restrictions",
    ),
    (CapabilitySet::SYS_MODULE, "allows loading code into the host's kernel"),
    (CapabilitySet::SYS_RAWIO, "allows reading and writing the host's memory and I/O ports"),
    (CapabilitySet::SYS_BOOT, "allows rebooting the host, also into another kernel"),
    (
        CapabilitySet::DAC_READ_SEARCH,
        "allows opening any file of a mounted file system by its handle, also outside the root directory",
    ),
    (
        CapabilitySet::NET_ADMIN,
        "allows changing the host's network links, which the kernel lets it reach by the id of their namespace",
    ),
    (CapabilitySet::BPF, "allows running programs in the host's kernel that can read all of the kernel"),
    (CapabilitySet::PERFMON, "allows watching the host's kernel and every process"),
    (CapabilitySet::MAC_ADMIN, "allows changing the rules of the security module"),
    (CapabilitySet::MAC_OVERRIDE, "allows bypassing the rules of the security module"),
];

/// A process with these capabilities can get all the others.
const PRIVILEGED: CapabilitySet =
    CapabilitySet::SYS_ADMIN.union(CapabilitySet::SYS_MODULE).union(CapabilitySet::SYS_RAWIO);

/// Adds a finding for each namespace that is the host's.
pub(super) fn of_namespaces(namespaces: &Namespaces, standing: &Standing, findings: &mut Findings) {
    let shared = |kind| namespaces.is_host(kind) == Some(true);
    let as_root = standing.as_root().unwrap_or(Weakness);
    if shared(Kind::Mnt) {
        findings.add(
            as_root,
            "host-mount-namespace",
            "it shares the host's mounts: what it mounts appears on the host, and a root directory does not confine it",
        );
    }
    if shared(Kind::Pid) {
        findings.add(
            as_root,
            "host-pid-namespace",
            "it can see and signal the host's processes, and root reaches their files through /proc/PID/root",
        );
    }
    if shared(Kind::Net) {
        let rights = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
        let severity = if standing.power.intersects(rights) { Danger } else { Weakness };
        findings.add(severity, "host-net-namespace", "it uses the host's network: loopback, abstract sockets of the host's services, and, with CAP_NET_RAW or CAP_NET_ADMIN, all traffic");
    }
    if shared(Kind::Ipc) {
        findings.add(
            Weakness,
            "host-ipc-namespace",
            "it shares memory segments, semaphores and message queues with the host",
        );
    }
    if shared(Kind::Uts) {
        findings.add(Weakness, "host-uts-namespace", "it shares the host's name, and can change it with CAP_SYS_ADMIN");
    }
    if shared(Kind::Cgroup) {
        findings.add(Weakness, "host-cgroup-namespace", "it can see where it is in the host's cgroups");
    }
    if standing.maps_root {
        findings.add(
            Weakness,
            "root-is-root",
            "uid 0 inside is uid 0 outside: if another layer of defense fails, root inside is root on the host",
        );
    }
}

/// Adds a finding for each capability that Docker does not grant.
pub(super) fn of_capabilities(standing: &Standing, confinement: &Confinement, findings: &mut Findings) {
    let mut rest = standing.power.difference(capabilities::docker());
    if standing.power.contains(PRIVILEGED) && confinement.seccomp != Some("filter") {
        let reason = "it has the strongest capabilities and no system call filter: to the host, this process is root";
        findings.add(Danger, "privileged", reason);
    }
    for (capability, does) in CAPABILITIES {
        if rest.contains(*capability) {
            let name = capability_names(*capability).concat();
            findings.add_at(Danger, "capability", format!("{name} {does}"), Text::from(&*name));
            rest = rest.difference(*capability);
        }
    }
    for name in capability_names(rest) {
        let reason = "a capability that Docker does not grant by default, with power over the host";
        findings.add_at(Weakness, "capability-beyond-docker", reason, Text::from(&*name));
    }
}

/// Adds a finding if the process can trace the host's processes.
pub(super) fn of_tracing(namespaces: &Namespaces, standing: &Standing, findings: &mut Findings) {
    if namespaces.is_host(Kind::Pid) == Some(true) && standing.power.contains(CapabilitySet::SYS_PTRACE) {
        findings.add(
            Danger,
            "traces-host",
            "with CAP_SYS_PTRACE in the host's pid namespace it can make any process of the host run its code",
        );
    }
}

/// Adds a finding for each missing restriction.
pub(super) fn of_confinement(confinement: &Confinement, standing: &Standing, findings: &mut Findings) {
    if confinement.seccomp == Some("off") {
        findings.add(Weakness, "no-seccomp", "no system call filter: every system call can be probed for flaws");
    }
    if !confinement.no_new_privs {
        findings.add(Weakness, "no-new-privs-off", "set-user-ID programs and file capabilities still grant privileges");
    }
    if confinement.is_unconfined() && standing.maps_root {
        findings.add(Weakness, "unconfined-label", "the host's security module does not confine it");
    }
}

/// Adds a finding for each missing limit.
pub(super) fn of_cgroup(group: &Group, findings: &mut Findings) {
    for (what, reading) in [("memory", &group.effective.memory), ("number of processes", &group.effective.pids)] {
        if let Reading::Hidden { unreadable } = reading {
            findings.add(
                Weakness,
                "limit-not-readable",
                format!("whether its {what} is limited is not known: {unreadable}"),
            );
        }
    }
    if matches!(group.effective.memory, Reading::Value(None)) {
        findings.add(Weakness, "no-memory-limit", "none of its cgroups limits memory: it can use up the host's memory");
    }
    if matches!(group.effective.pids, Reading::Value(None)) {
        findings.add(
            Weakness,
            "no-pids-limit",
            "none of its cgroups limits processes: a fork bomb can use up the host's pids",
        );
    }
}
