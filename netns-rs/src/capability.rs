//! The capability that a refused call would have needed. `capabilities(7)`.
//!
//! The kernel reports only EPERM. A capability counts for the namespaces that the user namespace of the process owns:
//! root in a user namespace has CAP_NET_ADMIN, and still may not change the host's network.

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::confinement::privilege::{capability_names, holds, lost_by_exec};
use plumbing::process::namespace::Kind;
use plumbing::process::target::is_in_first_namespace;
use rustix::thread::CapabilitySet;

/// Adds the missing capability to a refusal of a change to the network.
pub fn needs_net_admin(fault: Fault) -> Fault {
    explain(fault, CapabilitySet::NET_ADMIN)
}

/// Adds the missing capability to a refusal of setns(2), unshare(2) or mount(2).
pub fn needs_sys_admin(fault: Fault) -> Fault {
    explain(fault, CapabilitySet::SYS_ADMIN)
}

/// Adds to a refusal of a new network namespace what is missing, and how a user without it gets one.
pub fn needs_own_user_namespace(fault: Fault) -> Fault {
    if let (Some(Errno::EPERM), Some(why)) = (fault.errno(), lost_by_exec(CapabilitySet::SYS_ADMIN)) {
        return fault.with_remedy(format!("this process lacks CAP_SYS_ADMIN: {why}"));
    }
    match (fault.errno(), holds(CapabilitySet::SYS_ADMIN)) {
        (Some(Errno::EPERM), Some(false)) => fault.with_remedy(format!(
            "this process lacks CAP_SYS_ADMIN (see CapEff in /proc/self/status); a user namespace has it: {CHAIN}"
        )),
        _ => needs_sys_admin(fault),
    }
}

/// What a user can do without any right.
const CHAIN: &str = "unshare-rs --map-root-user -- netns-rs exec --new -- COMMAND";

/// Returns whether this process has CAP_SYS_ADMIN, wherever that counts.
pub fn is_sys_admin() -> bool {
    holds(CapabilitySet::SYS_ADMIN) == Some(true)
}

fn explain(fault: Fault, right: CapabilitySet) -> Fault {
    // EACCES: the lock of a network, which only its administrator may open.
    if !matches!(fault.errno(), Some(Errno::EPERM | Errno::EACCES)) {
        return fault;
    }
    let name = capability_names(right).concat();
    let inside = is_in_first_namespace(Kind::User) == Some(false);
    match holds(right) {
        Some(false) => fault.with_remedy(format!(
            "this process lacks {name} (see CapEff in /proc/self/status); a user has it in a network of its own: {CHAIN}"
        )),
        Some(true) if inside => fault.with_remedy(format!(
            "this process has {name} only in its own user namespace, which does not own the network to be changed"
        )),
        _ => fault,
    }
}
