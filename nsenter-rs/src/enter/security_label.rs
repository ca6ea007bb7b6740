//! The security label of the target for the command, effective from its execve(2). `selinux(8)`, `apparmor(7)`,
//! `proc_pid_attr(5)`.
//!
//! Without SELinux there is no context to follow, which is not an error. Where AppArmor is active, the same file
//! belongs to AppArmor, so we check for SELinux first.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::confinement::selinux;
use plumbing::kernel::{call, look};
use plumbing::process::kernel_text;
use plumbing::process::sealed::confining_profile;
use plumbing::process::target::{Target, read_at};
use rustix::fs::{CWD, Mode, OFlags, openat};

const EXEC: &str = "/proc/self/attr/exec";
const APPARMOR_EXEC: &str = "/proc/self/attr/apparmor/exec";

/// Makes the command run in the target's SELinux context. Must be called outside, by the process that becomes the
/// command.
pub(crate) fn follow(target: &Target) -> Result<(), Fault> {
    if rustix::fs::stat("/sys/fs/selinux/enforce").is_err() {
        return Ok(());
    }
    let goal = format!("follow the SELinux context of process {}", target.pid());
    let context = look(&goal, format!("read(\"/proc/{}/attr/current\")", target.pid()), || {
        read_at(target.dir(), "attr/current")
    })?;
    may_have(&String::from_utf8_lossy(&context)).map_err(|remedy| {
        Fault::new(format!("cannot {goal}: SELinux does not allow us to execute in it")).with_remedy(remedy)
    })?;
    take(&goal, EXEC, &context, "takes effect at the next execve(2); selinux(8)")
}

/// Asks the policy in advance: if execve(2) failed inside, the error would not show what SELinux refused.
fn may_have(context: &str) -> Result<(), String> {
    let own = kernel_text::read("/proc/self/attr/current").unwrap_or_default();
    let [own, context] = [own.as_str(), context].map(|label| label.trim_end_matches(['\0', '\n']));
    if own == context || !selinux::is_enforcing() {
        return Ok(());
    }
    match selinux::is_allowed(own, context, "process", "transition") {
        Some(false) => {
            let domain = |label| str::split(label, ':').nth(2).unwrap_or(label);
            Err(format!("add to the policy: allow {} {}:process transition", domain(own), domain(context)))
        }
        _ => Ok(()),
    }
}

/// Follows the label of SELinux or AppArmor, whichever labels processes here.
pub(crate) fn follow_any(target: &Target) -> Result<(), Fault> {
    follow(target)?;
    // Linux before 5.8 has no such directory; attr/current then belongs to the first security module.
    let Ok(label) = read_at(target.dir(), "attr/apparmor/current") else { return Ok(()) };
    let own = kernel_text::bytes("/proc/self/attr/apparmor/current").unwrap_or_default();
    match profile(&label).filter(|_| label != own) {
        Some(profile) => {
            let goal = format!("follow the AppArmor profile of process {}", target.pid());
            let order = format!("exec {profile}");
            let taken = take(&goal, APPARMOR_EXEC, order.as_bytes(), "takes effect at the next execve(2); apparmor(7)");
            taken.map_err(|fault| match (fault.errno(), confining_profile()) {
                (Some(Errno::EACCES), Some(own)) => fault.with_remedy(format!(
                    "AppArmor confines us by the profile {own:?}, which has no rule \"change_profile -> {profile},\""
                )),
                _ => fault,
            })
        }
        None => Ok(()),
    }
}

/// Returns the name of a profile without its mode: `docker-default` of `docker-default (enforce)`.
fn profile(label: &[u8]) -> Option<&str> {
    let label = str::from_utf8(label).ok()?.trim_end_matches(['\n', '\0']);
    let name = match label.rsplit_once(" (") {
        Some((name, mode)) if mode.ends_with(')') => name,
        _ => label,
    };
    (!name.is_empty()).then_some(name)
}

fn take(goal: &str, path: &str, text: &[u8], why: &str) -> Result<(), Fault> {
    let file: OwnedFd = look(goal, format!("openat({path:?}, O_WRONLY)"), || {
        openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
    })?;
    // SELinux prints the context with a NUL at the end, and accepts it without.
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    let shown = String::from_utf8_lossy(text);
    call(goal, format!("write({path:?}, {shown:?})"), why, || rustix::io::write(&file, text).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_not_part_of_a_profile_name() {
        assert_eq!(profile(b"docker-default (enforce)\n"), Some("docker-default"));
        assert_eq!(profile(b"unconfined\n"), Some("unconfined"));
        assert_eq!(profile(b"a (b) (complain)"), Some("a (b)"));
        assert_eq!(profile(b"\n"), None);
    }
}
