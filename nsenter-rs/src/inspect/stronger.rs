//! Processes in the same pid namespace that can do more than the inspected one, where that one may trace them.
//! `ptrace(2)`.
//!
//! The tracer of a process can have it make any call. The usual case is a first process that stayed as it was started,
//! outside of the container's root and filter.

use plumbing::Fault;
use plumbing::kernel::look;
use plumbing::namespace::Kind;
use plumbing::target::Target;
use plumbing::text::Text;
use rustix::thread::CapabilitySet;

use super::findings::{Findings, Severity, Standing};
use super::namespaces::Namespaces;
use super::status::Status;

/// Finds them. The host's pid namespace has a finding of its own.
pub(super) fn of(
    target: &Target,
    namespaces: &Namespaces,
    status: &Status,
    standing: &Standing,
    findings: &mut Findings,
) -> Result<(), Fault> {
    let may_trace = standing.power.contains(CapabilitySet::SYS_PTRACE);
    let pids = target.namespace_inode(Kind::Pid).ok().flatten();
    let (true, Some(pids), Some(false)) = (may_trace, pids, namespaces.is_host(Kind::Pid)) else { return Ok(()) };
    for entry in look("look through the processes", "readdir(\"/proc\")", || std::fs::read_dir("/proc"))?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let is_inside = || rustix::fs::stat(format!("/proc/{pid}/ns/pid")).is_ok_and(|stat| stat.st_ino == pids);
        if pid == target.pid() || !is_inside() {
            continue;
        }
        // One that has ended since is no danger any more.
        let Ok(other) = Target::of_pid(pid).and_then(|other| Status::of(&other)) else { continue };
        if is_stronger(&other, status) {
            let reason = "CAP_SYS_PTRACE, and a process in its pid namespace that can do more: it can have that one make any call";
            findings.add_at(Severity::Danger, "traces-stronger", reason, Text::from(&*pid.to_string()));
        }
    }
    Ok(())
}

/// Whether it has a capability in effect that the inspected one cannot have, or no filter where that one has. CAP_KILL
/// is not counted: in a pid namespace it ends nothing but what is in there.
fn is_stronger(other: &Status, inspected: &Status) -> bool {
    let within_reach = inspected.permitted | inspected.bounding | CapabilitySet::KILL;
    let has_filter = |status: &Status| status.seccomp == Some(2);
    !within_reach.contains(other.effective) || (has_filter(inspected) && !has_filter(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_and_capabilities_are_compared() {
        let status = |effective, seccomp| Status { effective, seccomp: Some(seccomp), ..Status::nothing() };
        let inspected = Status { bounding: CapabilitySet::CHOWN, ..status(CapabilitySet::CHOWN, 2) };
        assert!(is_stronger(&status(CapabilitySet::SYS_ADMIN, 2), &inspected));
        assert!(is_stronger(&status(CapabilitySet::empty(), 0), &inspected));
        assert!(!is_stronger(&status(CapabilitySet::CHOWN | CapabilitySet::KILL, 2), &inspected));
        assert!(!is_stronger(&status(CapabilitySet::empty(), 0), &status(CapabilitySet::empty(), 0)));
    }
}
