//! The security label of the target for the command, effective from its execve(2). `selinux(8)`, `apparmor(7)`,
//! `proc_pid_attr(5)`.
//!
//! Without SELinux there is no context to follow, which is not an error. Where AppArmor is active, the same file
//! belongs to AppArmor, so we check for SELinux first.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::confinement::{security_label, selinux};
use plumbing::kernel::{call, look};
use plumbing::process::target::{Target, read_at};
use rustix::fs::{CWD, Mode, OFlags, openat};

const EXEC: &str = "/proc/self/attr/exec";
const APPARMOR_EXEC: &str = "/proc/self/attr/apparmor/exec";

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
    let context = context.strip_suffix(b"\0").unwrap_or(&context);
    may_have(String::from_utf8_lossy(context).trim_end_matches(['\0', '\n'])).map_err(|remedy| {
        Fault::new(format!("cannot {goal}: SELinux does not allow us to execute in it")).with_remedy(remedy)
    })?;
    take(&goal, EXEC, context, "takes effect at the next execve(2); selinux(8)")
}

/// Asks the policy in advance: if execve(2) failed inside, the error would not show what SELinux refused.
fn may_have(context: &str) -> Result<(), String> {
    let own = security_label::own(security_label::CURRENT).unwrap_or_default();
    if own == context || !selinux::is_enforcing() {
        return Ok(());
    }
    match selinux::is_allowed(&own, context, "process", "transition") {
        Some(false) => {
            let (from, to) = (security_label::domain(&own), security_label::domain(context));
            Err(format!("add to the policy: allow {from} {to}:process transition"))
        }
        _ => Ok(()),
    }
}

/// Follows the label of SELinux or AppArmor, whichever labels processes here.
pub(crate) fn follow_any(target: &Target) -> Result<(), Fault> {
    follow(target)?;
    // Linux before 5.8 has no such file; attr/current then belongs to the first security module.
    let Some(label) = security_label::apparmor_of(target) else { return Ok(()) };
    if security_label::own(security_label::APPARMOR).is_some_and(|own| own == label) {
        return Ok(());
    }
    let profile = security_label::profile(&label);
    let goal = format!("follow the AppArmor profile of process {}", target.pid());
    let order = format!("exec {profile}");
    let taken = take(&goal, APPARMOR_EXEC, order.as_bytes(), "takes effect at the next execve(2); apparmor(7)");
    taken.map_err(|fault| match (fault.errno(), security_label::confining_profile()) {
        (Some(Errno::EACCES), Some(own)) => fault.with_remedy(format!(
            "AppArmor confines us by the profile {own:?}, which has no rule \"change_profile -> {profile},\""
        )),
        _ => fault,
    })
}

fn take(goal: &str, path: &str, text: &[u8], why: &str) -> Result<(), Fault> {
    let file: OwnedFd = look(goal, format!("openat({path:?}, O_WRONLY)"), || {
        openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
    })?;
    let shown = String::from_utf8_lossy(text);
    call(goal, format!("write({path:?}, {shown:?})"), why, || rustix::io::write(&file, text).map(drop))
}
