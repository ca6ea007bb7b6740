//! The few rights left to a process of ours that stays inside a container and never executes another program.
//! `capabilities(7)`, `ptrace(2)`.
//!
//! The surprise: a process without any capability is *easier* to trace. Tracing requires at least the capabilities that
//! the traced process has permitted, or CAP_SYS_PTRACE. So CAP_SYS_PTRACE stays permitted, but not effective: only a
//! process that already has it can trace this one, and gains nothing by it.

use nix::errno::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::capabilities::{capset, clear_ambient, empty_bounding_set, held};
use super::forbid_new_privileges;
use crate::Fault;

/// The capabilities that the process has before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// Those that the kernel reports.
    Now,
    /// All: a dry run has not entered the user namespace that gives them.
    Everything,
}

impl Holding {
    /// Returns whether this capability is in effect.
    pub fn has(self, capability: CapabilitySet) -> bool {
        self == Holding::Everything || super::holds(capability) == Some(true)
    }

    /// Returns whether no capability is permitted.
    pub fn is_nothing(self) -> Result<bool, Fault> {
        Ok(self == Holding::Now && held()?.permitted.is_empty())
    }
}

/// Keeps at most these capabilities, as far as they are held, and sets no_new_privs. The bounding set is emptied if
/// that is permitted; otherwise no_new_privs prevents any executed program from gaining something by it.
pub fn keep_only(effective: CapabilitySet, holding: Holding) -> Result<(), Fault> {
    drop_others(effective, holding)?;
    forbid_new_privileges()
}

/// The same without no_new_privs, for a process that gets a filter without execve(2).
pub fn drop_others(effective: CapabilitySet, holding: Holding) -> Result<(), Fault> {
    if holding.has(CapabilitySet::SETPCAP) {
        match empty_bounding_set() {
            // A security module forbids it.
            Err(fault) if fault.errno() == Some(Errno::EPERM) => {}
            emptied => emptied?,
        }
    }
    clear_ambient()?;
    reduce_to(effective, holding)
}

/// Keeps at most these capabilities in effect: for a process that needed another one for a while.
pub fn reduce_to(effective: CapabilitySet, holding: Holding) -> Result<(), Fault> {
    let now = held()?;
    let held = if holding == Holding::Everything { CapabilitySet::all() } else { now.permitted };
    let permitted = (effective | CapabilitySet::SYS_PTRACE) & held;
    let sets = CapabilitySets { effective: effective & held, permitted, inheritable: CapabilitySet::empty() };
    if (now.effective, now.permitted, now.inheritable) == (sets.effective, sets.permitted, sets.inheritable) {
        return Ok(());
    }
    capset("give up our capabilities", sets, "this process keeps only what it still needs; capabilities(7)")
}
