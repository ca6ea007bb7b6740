//! Which capability a refused call would have needed. `capabilities(7)`.
//!
//! The kernel says EPERM and no more. A capability counts over the namespaces that the user namespace of the process
//! owns: root in a user namespace holds CAP_NET_ADMIN, and may still not touch the host's network.

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::namespace::Kind;
use plumbing::target::own_namespace_inode;

const NET_ADMIN: (u32, &str) = (12, "CAP_NET_ADMIN");
const SYS_ADMIN: (u32, &str) = (21, "CAP_SYS_ADMIN");
/// `PROC_USER_INIT_INO`: the inode of the first user namespace.
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// Adds what is missing to a refusal of a change to the network.
pub fn needs_net_admin(fault: Fault) -> Fault {
    explain(fault, NET_ADMIN)
}

/// Adds what is missing to a refusal of setns(2), unshare(2) or mount(2).
pub fn needs_sys_admin(fault: Fault) -> Fault {
    explain(fault, SYS_ADMIN)
}

/// Whether this process holds CAP_SYS_ADMIN, wherever that counts.
pub fn is_sys_admin() -> bool {
    held().is_some_and(|held| held & 1 << SYS_ADMIN.0 != 0)
}

fn explain(fault: Fault, (bit, name): (u32, &str)) -> Fault {
    if fault.errno() != Some(Errno::EPERM) {
        return fault;
    }
    let inside = own_namespace_inode(Kind::User).is_some_and(|inode| inode != INITIAL_USER_NAMESPACE);
    match held() {
        Some(held) if held & 1 << bit == 0 => {
            fault.with_remedy(format!("this process lacks {name} (CapEff in /proc/self/status is {held:#x})"))
        }
        Some(_) if inside => fault.with_remedy(format!(
            "{name} is held in this user namespace only, and it does not own the network that was to be changed"
        )),
        _ => fault,
    }
}

fn held() -> Option<u64> {
    std::fs::read_to_string("/proc/self/status").ok().and_then(|status| effective(&status))
}

fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_capabilities_are_hexadecimal() {
        assert_eq!(effective("CapPrm:\t0\nCapEff:\t000001ffffffffff\nCapBnd:\t0\n"), Some(0x1ff_ffff_ffff));
        assert_eq!(effective("CapEff:\tzebra\n"), None);
    }
}
