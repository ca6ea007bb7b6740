//! What restricts the process besides its capabilities: system call filters, no_new_privs, the label of a security
//! module. `seccomp(2)`, `apparmor(7)`, `selinux(8)`.
//!
//! The calls that a filter allows cannot be read from outside without stopping the process, so filters are only
//! counted.

use plumbing::confinement::{security_label, selinux};
use plumbing::process::target::Target;
use plumbing::text::Text;
use serde::Serialize;

use super::proc_status::ProcStatus;
use super::reading::Reading;

/// The restrictions of a process, as a member of `isolation`.
#[derive(Debug, Serialize)]
pub(super) struct Confinement {
    pub(super) no_new_privs: bool,
    /// `off`, `strict` or `filter`; `None` if the kernel has no seccomp.
    pub(super) seccomp: Option<&'static str>,
    pub(super) seccomp_filters: Option<u32>,
    /// The label of AppArmor or SELinux; `None` without either.
    pub(super) label: Reading<Option<Text>>,
}

impl Confinement {
    /// Takes the restrictions from the status of a process, and reads its label.
    pub(super) fn of(target: &Target, status: &ProcStatus) -> Confinement {
        let mode = |mode| match mode {
            0 => "off",
            1 => "strict",
            _ => "filter",
        };
        Confinement {
            no_new_privs: status.no_new_privs,
            seccomp: status.seccomp.map(mode),
            seccomp_filters: status.seccomp_filters,
            label: Reading::of(security_label::of(target)),
        }
    }

    /// Reports whether the process has a label that confines nothing.
    pub(super) fn is_unconfined(&self) -> bool {
        let Some(Some(label)) = self.label.ok() else { return false };
        label.0.to_str().is_some_and(security_label::confines_nothing) || selinux::is_permissive()
    }
}
