//! The capability sets: bounding, permitted, effective, inheritable, ambient. `capabilities(7)`.
//!
//! The surprise concerns root: what the bounding set contains comes back to uid 0 at every `execve(2)`, so the
//! permitted set alone restricts nothing.

use nix::errno::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_ambient_set, capability_is_in_bounding_set,
    clear_ambient_capability_set, configure_capability_in_ambient_set, remove_capability_from_bounding_set,
    set_capabilities, set_keep_capabilities,
};

use crate::kernel::{call, look};
use crate::process::namespace::Kind;
use crate::process::target::is_in_first_namespace;
use crate::{Fault, narrate};

/// The capabilities that Docker leaves to a container by default: enough for root inside to manage its own files, users
/// and ports.
pub const DOCKER_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// The default of `chroot-rs --std`: Docker's without `CAP_MKNOD` and `CAP_NET_RAW`. On a file system of the host, a
/// device node outlives the container, and others can open it there; a raw socket forges ARP and router advertisements on
/// the bridge. `CAP_AUDIT_WRITE` stays: sshd, su and login end without it where the kernel audits.
pub const DEFAULT_CAPABILITIES: [&str; 12] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// The capabilities that Podman leaves: Docker's without raw sockets, device files and writing to the audit log.
pub const PODMAN_CAPABILITIES: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// The set that these names make. They may lack `CAP_`, and be in small letters.
pub fn capability_set<S: AsRef<str>>(names: &[S]) -> Result<CapabilitySet, Fault> {
    names.iter().try_fold(CapabilitySet::empty(), |set, name| {
        let upper = name.as_ref().to_ascii_uppercase();
        match CapabilitySet::from_name(upper.strip_prefix("CAP_").unwrap_or(&upper)) {
            Some(capability) => Ok(set | capability),
            None => Err(Fault::new(format!("there is no capability {:?}; capabilities(7) names them", name.as_ref()))),
        }
    })
}

/// The names of a set, as `CAP_CHOWN`; a capability newer than this program is its number.
pub fn capability_names(set: CapabilitySet) -> Vec<String> {
    let bits = (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit)).filter(|bit| set.contains(*bit));
    bits.map(|bit| match bit.iter_names().next() {
        Some((name, _)) => format!("CAP_{name}"),
        None => format!("{:#x} /* CAP_??? */", bit.bits().trailing_zeros()),
    })
    .collect()
}

/// Returns whether we have this capability in effect now; `None` if the kernel does not report it.
pub fn holds(capability: CapabilitySet) -> Option<bool> {
    capabilities(None).ok().map(|held| held.effective.contains(capability))
}

/// Returns why we lack a capability, if it is because we are a user other than root in a user namespace: `execve(2)` has
/// taken away what its creator had.
pub fn lost_by_exec(right: CapabilitySet) -> Option<&'static str> {
    let is_user = !rustix::process::geteuid().is_root();
    let is_lost = is_user && holds(right) == Some(false) && bounding_within(right).contains(right);
    (is_lost && is_in_first_namespace(Kind::User) == Some(false)).then_some(
        "in this user namespace only root keeps capabilities when it executes a program: add --keep-caps to \
         unshare-rs --map-current-user or --map-user, or use --map-root-user",
    )
}

/// Returns whether we have capabilities that the caller did not give us: those of the file. A user other than root
/// keeps only ambient ones across `execve(2)`.
pub(crate) fn has_more_than_ambient() -> bool {
    let of_file = |bit: u32| {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        let is_permitted = capabilities(None).is_ok_and(|held| held.permitted.contains(capability));
        is_permitted && !capability_is_in_ambient_set(capability).unwrap_or(false)
    };
    (0..u64::BITS).any(of_file)
}

pub(super) fn held() -> Result<CapabilitySets, Fault> {
    look("read our capabilities", "capget({version=_LINUX_CAPABILITY_VERSION_3, pid=0})", || capabilities(None))
}

/// Removes everything else from the bounding set, including capabilities that only the kernel knows. It is asked about
/// those that Linux 5.9 does not know, and about all if we may not change the set: a command waits for this, and dropping
/// what is not in the set has no effect.
pub(super) fn bound(wanted: CapabilitySet) -> Result<(), Fault> {
    let unwanted =
        (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit)).filter(|bit| !wanted.contains(*bit));
    let may_drop = held()?.effective.contains(CapabilitySet::SETPCAP);
    for capability in unwanted {
        if may_drop && capability.bits() <= LATEST.bits() {
            drop_from_bounding_set(capability)?;
            continue;
        }
        let is_in = match capability_is_in_bounding_set(capability) {
            // Above cap_last_cap: this kernel has no more.
            Err(rustix::io::Errno::INVAL) => return Ok(()),
            answer => {
                let text = format!("prctl(PR_CAPBSET_READ, {})", capability.bits().trailing_zeros());
                look("read the bounding set", text, || answer)?
            }
        };
        if is_in {
            drop_from_bounding_set(capability)?;
        }
    }
    Ok(())
}

/// Empties the bounding set, and asks only about capabilities that Linux 5.9 does not know: a command waits for this.
pub(super) fn empty_bounding_set() -> Result<(), Fault> {
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if capability.bits() > LATEST.bits() && !capability_is_in_bounding_set(capability).unwrap_or(false) {
            return Ok(());
        }
        drop_from_bounding_set(capability)?;
    }
    Ok(())
}

/// The last capability that Linux 5.9 knows.
const LATEST: CapabilitySet = CapabilitySet::CHECKPOINT_RESTORE;

/// All bits, also those of capabilities that only a later kernel has.
pub(super) const EVERY_CAPABILITY: CapabilitySet = CapabilitySet::from_bits_retain(u64::MAX);

/// Returns the most that any program run from here on may have.
pub fn bounding() -> CapabilitySet {
    bounding_within(EVERY_CAPABILITY)
}

/// Returns which of these the bounding set contains, and asks the kernel only about them.
pub(super) fn bounding_within(wanted: CapabilitySet) -> CapabilitySet {
    let all = (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit)).filter(|bit| wanted.contains(*bit));
    // The first number that is refused is above cap_last_cap.
    let answers = all.map_while(|bit| capability_is_in_bounding_set(bit).ok().map(|is_in| (bit, is_in)));
    answers.filter_map(|(bit, is_in)| is_in.then_some(bit)).collect()
}

fn drop_from_bounding_set(capability: CapabilitySet) -> Result<(), Fault> {
    let name = shown_name(capability);
    let text = format!("prctl(PR_CAPBSET_DROP, {name})");
    call(format!("drop {name}"), text, "no program that is run later can have it; capabilities(7)", || {
        remove_capability_from_bounding_set(capability)
    })
    .map_err(|fault| explain_missing(fault, CapabilitySet::SETPCAP))
}

/// Makes the next change of user keep the permitted set.
pub fn keep_capabilities() -> Result<(), Fault> {
    let why = "a user other than root must keep them, and setresuid(2) would remove them";
    call("keep capabilities", "prctl(PR_SET_KEEPCAPS, 1)", why, || set_keep_capabilities(true))
}

/// Puts every capability that is permitted into effect: a change of user leaves them without effect.
pub fn raise_permitted() -> Result<(), Fault> {
    let CapabilitySets { permitted, inheritable, .. } = held()?;
    set_sets(CapabilitySets { effective: permitted, permitted, inheritable })
}

/// Passes every capability that we hold to the command, whichever user runs it: through the ambient set.
pub fn hand_on_capabilities() -> Result<(), Fault> {
    let permitted = held()?.permitted;
    reduce(CapabilitySets { effective: permitted, permitted, inheritable: permitted })?;
    raise_ambient(permitted)
}

pub(super) fn clear_ambient() -> Result<(), Fault> {
    let text = "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)";
    call("clear the ambient set", text, "nothing is passed on unless it was asked for", clear_ambient_capability_set)
}

/// Sets the three sets, as far as we hold them: what was lost with root cannot come back.
pub(super) fn reduce(wanted: CapabilitySets) -> Result<(), Fault> {
    let held = held()?;
    let permitted = wanted.permitted & held.permitted;
    let sets = CapabilitySets {
        effective: wanted.effective & permitted,
        permitted,
        inheritable: wanted.inheritable & (held.permitted | held.inheritable),
    };
    capset("reduce our capabilities", sets, "the rights of root that the command keeps; capabilities(7)")
}

/// Sets all three, unless they are already as wanted.
pub(super) fn set_sets(sets: CapabilitySets) -> Result<(), Fault> {
    let now = held()?;
    if (now.effective, now.permitted, now.inheritable) == (sets.effective, sets.permitted, sets.inheritable) {
        return Ok(());
    }
    capset(
        "set our capabilities",
        sets,
        "the rights needed until execve(2), and those from which it computes the command's; capabilities(7)",
    )
}

pub(super) fn capset(goal: &str, sets: CapabilitySets, why: &str) -> Result<(), Fault> {
    let text = format!(
        "capset({{version=_LINUX_CAPABILITY_VERSION_3, pid=0}}, {{effective={}, permitted={}, inheritable={}}})",
        shown(sets.effective),
        shown(sets.permitted),
        shown(sets.inheritable)
    );
    call(goal, text, why, || set_capabilities(None, sets))
}

pub(super) fn raise_ambient(ambient: CapabilitySet) -> Result<(), Fault> {
    let bits = (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit));
    for capability in bits.filter(|bit| ambient.contains(*bit)) {
        let name = shown_name(capability);
        call(
            format!("keep {name} across execve(2)"),
            format!("prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, {name}, 0, 0)"),
            "a user other than root keeps it through this set",
            || configure_capability_in_ambient_set(capability, true),
        )?;
    }
    Ok(())
}

/// Returns the set in strace's notation.
fn shown(set: CapabilitySet) -> String {
    if set.is_empty() {
        return "0".to_owned();
    }
    capability_names(set).iter().map(|name| format!("1<<{name}")).collect::<Vec<_>>().join("|")
}

pub(super) fn explain_missing(fault: Fault, right: CapabilitySet) -> Fault {
    match (fault.errno(), capabilities(None)) {
        (Some(Errno::EPERM), Ok(held)) if !held.effective.contains(right) => fault.with_remedy(format!(
            "{} is missing here; a user has it in a user namespace: unshare-rs --map-root-user -- {} ...",
            shown_name(right),
            narrate::tool()
        )),
        _ => fault,
    }
}

fn shown_name(right: CapabilitySet) -> String {
    capability_names(right).concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_set_is_the_one_of_its_containers() {
        assert_eq!(capability_set(&DOCKER_CAPABILITIES).unwrap().bits(), 0xa804_25fb);
        assert_eq!(capability_set(&PODMAN_CAPABILITIES).unwrap().bits(), 0x8004_05fb);
    }

    #[test]
    fn the_default_is_dockers_without_devices_and_raw_sockets() {
        let less = CapabilitySet::MKNOD | CapabilitySet::NET_RAW;
        let docker = capability_set(&DOCKER_CAPABILITIES).unwrap();
        assert_eq!(capability_set(&DEFAULT_CAPABILITIES).unwrap(), docker.difference(less));
        assert_eq!(docker.difference(less).bits(), 0xa004_05fb);
    }

    #[test]
    fn names_and_sets_go_both_ways() {
        let set = capability_set(&["chown", "CAP_BPF"]).unwrap();
        assert_eq!(capability_names(set), ["CAP_CHOWN", "CAP_BPF"]);
        assert_eq!(shown(CapabilitySet::empty()), "0");
        assert_eq!(capability_names(CapabilitySet::from_bits_retain(1 << 41)), ["0x29 /* CAP_??? */"]);
        assert!(capability_set(&["CAP_FLY"]).unwrap_err().to_string().contains("CAP_FLY"));
    }
}
