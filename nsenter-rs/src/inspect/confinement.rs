//! What restricts the process besides its capabilities: system call filters, no_new_privs, the label of a security
//! module. `seccomp(2)`, `apparmor(7)`, `selinux(8)`.
//!
//! The calls that a filter allows cannot be read from outside without stopping the process, so filters are only
//! counted.

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::process::kernel_text;
use plumbing::process::target::Target;
use plumbing::text::Text;
use serde::Serialize;

use super::proc_status::Status;
use super::reading::Seen;

#[derive(Debug, Serialize)]
pub(super) struct Confinement {
    pub(super) no_new_privs: bool,
    /// `off`, `strict` or `filter`; `None` if the kernel has no seccomp.
    pub(super) seccomp: Option<&'static str>,
    pub(super) seccomp_filters: Option<u32>,
    /// The label of AppArmor or SELinux; `None` without either.
    pub(super) label: Seen<Option<Text>>,
}

impl Confinement {
    pub(super) fn of(target: &Target, status: &Status) -> Confinement {
        let mode = |mode| match mode {
            0 => "off",
            1 => "strict",
            _ => "filter",
        };
        Confinement {
            no_new_privs: status.no_new_privs,
            seccomp: status.seccomp.map(mode),
            seccomp_filters: status.seccomp_filters,
            label: Seen::of(label(target)),
        }
    }

    /// Returns whether the process has a label that confines nothing.
    pub(super) fn is_unconfined(&self) -> bool {
        let Some(Some(label)) = self.label.ok() else { return false };
        label.0.to_str().is_some_and(confines_nothing)
            || kernel_text::bytes("/sys/fs/selinux/enforce").is_ok_and(|enforce| enforce == b"0")
    }
}

/// Returns whether a label confines nothing. AppArmor shows in parentheses that it only logs what a profile forbids, or
/// not even that.
fn confines_nothing(label: &str) -> bool {
    label == "unconfined"
        || label.ends_with(" (unconfined)")
        || label.ends_with(" (complain)")
        || label.split(':').nth(2) == Some("unconfined_t")
}

fn label(target: &Target) -> Result<Option<Text>, Fault> {
    match target.read("attr/current") {
        Ok(label) => Ok(Some(Text::from(label.trim_end_matches(['\0', '\n']))).filter(|label| !label.0.is_empty())),
        Err(fault) if matches!(fault.errno(), Some(Errno::EINVAL | Errno::ENOENT | Errno::EOPNOTSUPP)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
