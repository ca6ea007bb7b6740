//! The label that a security module gives to a process: a profile of AppArmor, or a context of SELinux.
//! `proc_pid_attr(5)`, `apparmor(7)`, `selinux(8)`.
//!
//! The surprise: `attr/current` belongs to whichever of them is active; AppArmor has files of its own since Linux 5.8.

use nix::errno::Errno;

use crate::Fault;
use crate::process::kernel_text;
use crate::process::target::{Target, read_at};
use crate::text::Text;

/// The label of the active security module, below /proc/PID.
pub const CURRENT: &str = "attr/current";
/// The profile of AppArmor, below /proc/PID.
pub const APPARMOR: &str = "attr/apparmor/current";

/// Returns our own label in one of these files; `None` if no module gives us one.
pub fn own(file: &str) -> Option<String> {
    trimmed(&kernel_text::bytes(format!("/proc/self/{file}")).ok()?).map(str::to_owned)
}

/// Returns the label of a process; `None` if no module gives it one.
pub fn of(process: &Target) -> Result<Option<Text>, Fault> {
    match process.read(CURRENT) {
        Ok(label) => Ok(trimmed(label.as_bytes()).map(Text::from)),
        Err(fault) if matches!(fault.errno(), Some(Errno::EINVAL | Errno::ENOENT | Errno::EOPNOTSUPP)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Returns AppArmor's label of a process; `None` without AppArmor, or before Linux 5.8.
pub fn apparmor_of(process: &Target) -> Option<String> {
    trimmed(&read_at(process.dir(), APPARMOR).ok()?).map(str::to_owned)
}

/// Returns the AppArmor profile that confines us; `None` if none does, or if it only logs.
pub fn confining_profile() -> Option<String> {
    Some(own(APPARMOR)?.strip_suffix(" (enforce)")?.to_owned())
}

/// Returns the name of a profile without its mode: `docker-default` of `docker-default (enforce)`.
pub fn profile(label: &str) -> &str {
    match label.rsplit_once(" (") {
        Some((name, mode)) if mode.ends_with(')') => name,
        _ => label,
    }
}

/// Returns the domain of a context of SELinux: `container_t` of `system_u:system_r:container_t:s0`.
pub fn domain(context: &str) -> &str {
    context.split(':').nth(2).unwrap_or(context)
}

/// Reports whether a label confines nothing. AppArmor shows in parentheses that it only logs what a profile forbids, or
/// not even that.
pub fn confines_nothing(label: &str) -> bool {
    label == "unconfined"
        || label.ends_with(" (unconfined)")
        || label.ends_with(" (complain)")
        || (label.contains(':') && domain(label) == "unconfined_t")
}

/// Removes the end of the file, which is a NUL, a newline, or neither.
fn trimmed(label: &[u8]) -> Option<&str> {
    Some(str::from_utf8(label).ok()?.trim_end_matches(['\0', '\n'])).filter(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_not_part_of_a_profile_name() {
        assert_eq!(profile("docker-default (enforce)"), "docker-default");
        assert_eq!(profile("unconfined"), "unconfined");
        assert_eq!(profile("a (b) (complain)"), "a (b)");
        assert_eq!(trimmed(b"docker-default (enforce)\n"), Some("docker-default (enforce)"));
        assert_eq!(trimmed(b"\n"), None);
    }

    #[test]
    fn a_label_that_only_logs_confines_nothing() {
        for label in
            ["unconfined", "tool (complain)", "browser (unconfined)", "unconfined_u:unconfined_r:unconfined_t:s0"]
        {
            assert!(confines_nothing(label), "{label}");
        }
        for label in
            ["docker-default (enforce)", "a (complain) (enforce)", "system_u:system_r:container_t:s0:c1,c2", "x (kill)"]
        {
            assert!(!confines_nothing(label), "{label}");
        }
    }
}
