//! The security label of the target for the command, effective from its execve(2). `selinux(8)`, `apparmor(7)`,
//! `proc_pid_attr(5)`.
//!
//! Without SELinux there is no context to follow, which is not an error. Where AppArmor is active, the same file
//! belongs to AppArmor, so we check for SELinux first.

use plumbing::Fault;
use plumbing::confinement::{command_label, security_label, selinux};
use plumbing::kernel::look;
use plumbing::pipeline::ownership;
use plumbing::pipeline::record::Process;
use plumbing::process::target::{Target, read_at};

/// Makes the command run in the target's SELinux context. Must be called outside, by the process that becomes the
/// command.
pub(crate) fn follow(target: &Target) -> Result<(), Fault> {
    if !selinux::is_active() {
        return Ok(());
    }
    let goal = format!("follow the SELinux context of process {}", target.pid());
    let context = look(&goal, format!("read(\"/proc/{}/{}\")", target.pid(), security_label::CURRENT), || {
        read_at(target.dir(), security_label::CURRENT)
    })?;
    // The kernel prints the context with a NUL at the end, and accepts it without.
    command_label::select_context(&goal, String::from_utf8_lossy(&context).trim_end_matches(['\0', '\n']))
}

/// Follows the label of SELinux or AppArmor, whichever labels processes here.
pub(crate) fn follow_any(target: &Target) -> Result<(), Fault> {
    follow(target)?;
    // Linux before 5.8 has no such file; attr/current then belongs to the first security module.
    let Some(label) = security_label::apparmor_of(target) else { return Ok(()) };
    if security_label::own(security_label::APPARMOR).is_some_and(|own| own == label) {
        return Ok(());
    }
    let goal = format!("follow the AppArmor profile of process {}", target.pid());
    command_label::select_profile(&goal, security_label::profile(&label))
}

/// Gives the command the label that a container requests. Another user's container does not choose it: that user could
/// choose one that allows more than the user has, and without the label the command would have fewer restrictions.
pub(crate) fn take(process: &Process, target: Option<&Target>) -> Result<(), Fault> {
    if process.apparmor_profile.is_none() && process.selinux_label.is_none() {
        return Ok(());
    }
    if target.map(ownership::is_ours).transpose()? == Some(false) {
        return Err(Fault::new(
            "cannot give the command the security label that the container requests: the container belongs to another user",
        ));
    }
    command_label::set(process)
}
