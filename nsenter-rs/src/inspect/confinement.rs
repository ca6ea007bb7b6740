//! What restricts the process beside its capabilities: system call filters, no_new_privs, the label of a security module.
//! `seccomp(2)`, `apparmor(7)`, `selinux(8)`.
//!
//! Which calls a filter lets through cannot be seen from outside without stopping the process, so they are counted.

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::target::Target;
use plumbing::text::Text;
use serde::Serialize;

use super::seen::Seen;
use super::status::Status;

#[derive(Debug, Serialize)]
pub(super) struct Confinement {
    pub(super) no_new_privs: bool,
    /// `off`, `strict`, `filter`; `None`: the kernel has none.
    pub(super) seccomp: Option<&'static str>,
    pub(super) seccomp_filters: Option<u32>,
    /// Of AppArmor or SELinux; `None` without either.
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

    /// Whether a label is there that confines nothing.
    pub(super) fn is_unconfined(&self) -> bool {
        let Some(Some(label)) = self.label.told() else { return false };
        label.0.to_str().is_some_and(confines_nothing)
            || std::fs::read("/sys/fs/selinux/enforce").is_ok_and(|enforce| enforce == b"0")
    }
}

/// AppArmor says in parentheses when it only writes down what a profile forbids, or not even that.
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
    fn a_label_that_only_watches_confines_nothing() {
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
