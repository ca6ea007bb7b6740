//! Processes in the same pid namespace that can do more than the inspected process, if it may trace them. `ptrace(2)`.
//!
//! The tracer of a process can make it execute any system call. The usual case is a first process that was left as it
//! was started, outside the container's root and without its filter.

use plumbing::Fault;
use plumbing::kernel::look;
use plumbing::process::namespace::Kind;
use plumbing::process::target::Target;
use plumbing::text::Text;
use rustix::thread::CapabilitySet;

use super::findings::{Findings, Severity, Standing};
use super::namespaces::Namespaces;
use super::proc_status::ProcStatus;

/// Adds a finding for each such process. The host's pid namespace has a finding of its own.
pub(super) fn of(
    target: &Target,
    namespaces: &Namespaces,
    status: &ProcStatus,
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
        // A process that has ended meanwhile is not a danger any more.
        let Ok(other) = Target::of_pid(pid).and_then(|other| ProcStatus::of(&other)) else { continue };
        if is_stronger(&other, status) {
            let reason = "a process in its pid namespace can do more, and with CAP_SYS_PTRACE it can make that process execute any system call";
            findings.add_at(Severity::Danger, "traces-stronger", reason, Text::from(&*pid.to_string()));
        }
    }
    Ok(())
}

/// Returns whether the other process has an effective capability that the inspected one cannot get, or no filter
/// although the inspected one has one. CAP_KILL is not counted: in a pid namespace it can end only what is in there.
fn is_stronger(other: &ProcStatus, inspected: &ProcStatus) -> bool {
    let within_reach = inspected.permitted | inspected.bounding | CapabilitySet::KILL;
    let has_filter = |status: &ProcStatus| status.seccomp == Some(2);
    !within_reach.contains(other.effective) || (has_filter(inspected) && !has_filter(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_and_capabilities_are_compared() {
        let status = |effective, seccomp| ProcStatus { effective, seccomp: Some(seccomp), ..ProcStatus::nothing() };
        let inspected = ProcStatus { bounding: CapabilitySet::CHOWN, ..status(CapabilitySet::CHOWN, 2) };
        assert!(is_stronger(&status(CapabilitySet::SYS_ADMIN, 2), &inspected));
        assert!(is_stronger(&status(CapabilitySet::empty(), 0), &inspected));
        assert!(!is_stronger(&status(CapabilitySet::CHOWN | CapabilitySet::KILL, 2), &inspected));
        assert!(!is_stronger(&status(CapabilitySet::empty(), 0), &status(CapabilitySet::empty(), 0)));
    }
}
