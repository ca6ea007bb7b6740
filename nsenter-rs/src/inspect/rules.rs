//! What the namespaces, ids, capabilities, filters and limits of a process mean for the host.
//!
//! `namespaces(7)`, `capabilities(7)`, `seccomp(2)`. What Docker gives by default is no danger here; each wall less is told.

use plumbing::namespace::Kind;
use plumbing::privilege::capability_names;
use plumbing::text::Text;
use rustix::thread::CapabilitySet;

use super::capabilities;
use super::cgroup::Group;
use super::confinement::Confinement;
use super::findings::{Findings, Severity, Standing};
use super::namespaces::Namespaces;
use Severity::{Danger, Weakness};

/// What each capability above Docker's default is, where it counts for the host.
const CAPABILITIES: &[(CapabilitySet, &str)] = &[
    (CapabilitySet::SYS_ADMIN, "mounts the host's disks, sets its kernel, and undoes most other walls"),
    (CapabilitySet::SYS_MODULE, "loads code into the host's kernel"),
    (CapabilitySet::SYS_RAWIO, "reads and writes the host's memory and ports"),
    (CapabilitySet::SYS_BOOT, "reboots the host, into another kernel too"),
    (CapabilitySet::DAC_READ_SEARCH, "opens any file of a mounted file system by its handle, outside of the root too"),
    (CapabilitySet::BPF, "runs programs in the host's kernel that see all of it"),
    (CapabilitySet::PERFMON, "watches the host's kernel and every process"),
    (CapabilitySet::MAC_ADMIN, "changes the rules of the security module"),
    (CapabilitySet::MAC_OVERRIDE, "passes over the rules of the security module"),
];

/// Who has these has the others by them.
const PRIVILEGED: CapabilitySet =
    CapabilitySet::SYS_ADMIN.union(CapabilitySet::SYS_MODULE).union(CapabilitySet::SYS_RAWIO);

pub(super) fn of_namespaces(namespaces: &Namespaces, standing: &Standing, findings: &mut Findings) {
    let shared = |kind| namespaces.is_host(kind) == Some(true);
    let deed = standing.as_root().unwrap_or(Weakness);
    if shared(Kind::Mnt) {
        findings.add(
            deed,
            "host-mount-namespace",
            "its mounts are the host's: what it mounts the host sees, and a root directory is no wall",
        );
    }
    if shared(Kind::Pid) {
        findings.add(
            deed,
            "host-pid-namespace",
            "it sees and signals the host's processes, and root reaches their files by /proc/PID/root",
        );
    }
    if shared(Kind::Net) {
        let rights = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
        let severity = if standing.power.intersects(rights) { Danger } else { Weakness };
        findings.add(severity, "host-net-namespace", "its network is the host's: loopback, abstract sockets of the host's services, and with CAP_NET_RAW or CAP_NET_ADMIN all traffic");
    }
    if shared(Kind::Ipc) {
        findings.add(
            Weakness,
            "host-ipc-namespace",
            "it shares memory segments, semaphores and message queues with the host",
        );
    }
    if shared(Kind::Uts) {
        findings.add(Weakness, "host-uts-namespace", "its host name is the host's, to be set with CAP_SYS_ADMIN");
    }
    if shared(Kind::Cgroup) {
        findings.add(Weakness, "host-cgroup-namespace", "it sees where in the host's cgroups it is");
    }
    if standing.maps_root {
        findings.add(
            Weakness,
            "root-is-root",
            "uid 0 inside is uid 0 outside: whatever else gives way, root comes out",
        );
    }
}

pub(super) fn of_capabilities(standing: &Standing, confinement: &Confinement, findings: &mut Findings) {
    let mut rest = standing.power.difference(capabilities::docker());
    if standing.power.contains(PRIVILEGED) && confinement.seccomp != Some("filter") {
        let reason = "the strongest capabilities and no system call filter: to the host this process is root";
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
        let reason = "more than Docker leaves by default, with power over the host";
        findings.add_at(Weakness, "capability-beyond-docker", reason, Text::from(&*name));
    }
}

/// Of tracing together with the host's processes.
pub(super) fn of_tracing(namespaces: &Namespaces, standing: &Standing, findings: &mut Findings) {
    if namespaces.is_host(Kind::Pid) == Some(true) && standing.power.contains(CapabilitySet::SYS_PTRACE) {
        findings.add(
            Danger,
            "traces-host",
            "CAP_SYS_PTRACE among the host's processes: it can have any of them run its code",
        );
    }
}

pub(super) fn of_confinement(confinement: &Confinement, standing: &Standing, findings: &mut Findings) {
    if confinement.seccomp == Some("off") {
        findings.add(Weakness, "no-seccomp", "no system call filter: every call of the kernel can be tried for faults");
    }
    if !confinement.no_new_privs {
        findings.add(Weakness, "no-new-privs-off", "set-user-ID programs and file capabilities still give privilege");
    }
    if confinement.is_unconfined() && standing.maps_root {
        findings.add(Weakness, "unconfined-label", "the host's security module does not confine it");
    }
}

pub(super) fn of_cgroup(group: &Group, findings: &mut Findings) {
    if group.effective.memory.is_none() {
        findings.add(Weakness, "no-memory-limit", "no group that it is in limits memory: it can take the host's");
    }
    if group.effective.pids.is_none() {
        findings.add(
            Weakness,
            "no-pids-limit",
            "no group that it is in limits processes: a fork bomb takes the host's",
        );
    }
}
