//! Why the kernel, or the helper, refused an id map. `user_namespaces(7)`.
//!
//! The errno says little: EPERM can be an id that we may not map, a missing capability, or a security module.

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::confinement::privilege::{capability_names, holds};
use rustix::thread::CapabilitySet;

use crate::id_map::{Extent, Span, minus};
use crate::mapping::{Sort, own_ids};
use crate::{proc_status, security_module, subid};

/// Explains the refusal of a single id, which the process itself wrote.
pub(crate) fn explain_inside(fault: Fault, map: &[Extent], may_map_root: bool) -> Fault {
    match fault.errno() {
        Some(Errno::EPERM) if !may_map_root && maps_root(map) => fault.with_remedy(NEEDS_SETFCAP),
        // The namespace exists, so only a security module can refuse to map our own id.
        Some(Errno::EPERM | Errno::EACCES) => match security_module::restriction() {
            Some(remedy) => fault.with_remedy(remedy),
            None => fault,
        },
        _ => fault,
    }
}

/// Reports whether we have CAP_SETFCAP. This is checked before the user namespace is made: inside we have every
/// capability.
pub(crate) fn may_map_root() -> bool {
    holds(CapabilitySet::SETFCAP) != Some(false)
}

fn maps_root(map: &[Extent]) -> bool {
    map.iter().any(|line| line.outer == 0)
}

const NEEDS_SETFCAP: &str = "CAP_SETFCAP is missing here, and since Linux 5.12 mapping root requires it; \
 user_namespaces(7)";

/// Explains the refusal of ranges that this process wrote from outside.
pub(crate) fn explain_outside(fault: Fault, sort: Sort, map: &[Extent]) -> Fault {
    if fault.errno() != Some(Errno::EPERM) {
        return fault;
    }
    let ours = own_ids(sort).unwrap_or_default();
    let outer: Vec<Span> = map.iter().map(|line| Span::of(line.outer, line.count)).collect();
    if let Some(strange) = minus(&outer, &ours).first() {
        return fault.with_remedy(format!(
            "the ids {} to {} do not exist in this user namespace (/proc/self/{})",
            strange.first,
            strange.end - 1,
            sort.file()
        ));
    }
    if outer.iter().any(|span| !ours.iter().any(|own| own.first <= span.first && span.end <= own.end)) {
        return fault.with_remedy(format!(
            "a range must not span several lines of /proc/self/{}: give one range for each of these lines",
            sort.file()
        ));
    }
    if maps_root(map) && !may_map_root() {
        return fault.with_remedy(NEEDS_SETFCAP);
    }
    let needed = if sort == Sort::Users { CapabilitySet::SETUID } else { CapabilitySet::SETGID };
    match holds(needed) {
        Some(false) => fault.with_remedy(format!("{} is missing here", capability_names(needed).concat())),
        _ => fault,
    }
}

/// Explains a failure of newuidmap or newgidmap, which has printed its own reason to stderr.
pub(crate) fn explain_helper(fault: Fault) -> Fault {
    match proc_status::field("NoNewPrivs").as_deref() {
        Some("1") => fault.with_remedy(
            "no_new_privs is set here, so set-user-ID programs get no privileges; start from a process without it",
        ),
        _ => match subid::unreadable_for_helpers() {
            Some(remedy) => fault.with_remedy(remedy),
            None => fault,
        },
    }
}
