//! The secure bits: which privileges root has for being root. `capabilities(7)`, "The securebits flags".

use nix::errno::Errno;
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, capabilities_secure_bits, set_capabilities_secure_bits};

use super::capabilities::{explain_missing, holds};
use crate::Fault;
use crate::kernel::{call, look};

/// The names, in the order of their bits.
const NAMES: [&str; 12] = [
    "SECBIT_NOROOT",
    "SECBIT_NOROOT_LOCKED",
    "SECBIT_NO_SETUID_FIXUP",
    "SECBIT_NO_SETUID_FIXUP_LOCKED",
    "SECBIT_KEEP_CAPS",
    "SECBIT_KEEP_CAPS_LOCKED",
    "SECBIT_NO_CAP_AMBIENT_RAISE",
    "SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED",
    "SECBIT_EXEC_RESTRICT_FILE",
    "SECBIT_EXEC_RESTRICT_FILE_LOCKED",
    "SECBIT_EXEC_DENY_INTERACTIVE",
    "SECBIT_EXEC_DENY_INTERACTIVE_LOCKED",
];

/// The last four of them, which older kernels do not know.
const OF_SCRIPTS: CapabilitiesSecureBits = CapabilitiesSecureBits::from_bits_retain(0xf00);

/// The bit that prevents adding anything to the ambient set.
pub(super) const FINAL_AMBIENT: CapabilitiesSecureBits =
    CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE.union(CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED);

/// The bits that make another one final: each follows the bit that it locks.
const LOCKS: u32 = 0b1010_1010_1010;

/// Converts `noroot,noroot_locked` to the kernel's names.
pub fn securebit_names(text: &str) -> Result<Vec<String>, String> {
    let name = |word: &str| {
        let upper = word.to_ascii_uppercase().replace('-', "_");
        let full = format!("SECBIT_{}", upper.strip_prefix("SECBIT_").unwrap_or(&upper));
        let is_known = NAMES.contains(&full.as_str());
        is_known
            .then_some(full)
            .ok_or_else(|| "expected names of capabilities(7), as in noroot,noroot_locked".to_owned())
    };
    text.split(',').map(name).collect()
}

/// Returns the set with these names.
pub(super) fn securebits(names: &[String]) -> Result<CapabilitiesSecureBits, Fault> {
    names.iter().try_fold(CapabilitiesSecureBits::empty(), |set, name| {
        match NAMES.iter().position(|known| known == name) {
            Some(bit) => Ok(set | CapabilitiesSecureBits::from_bits_retain(1 << bit)),
            None => Err(Fault::new(format!("there is no secure bit {name:?}; capabilities(7) names them"))),
        }
    })
}

/// Returns our own secure bits.
pub(super) fn own() -> Result<CapabilitiesSecureBits, Fault> {
    look("read our secure bits", "prctl(PR_GET_SECUREBITS)", capabilities_secure_bits)
}

/// Sets exactly these secure bits.
pub(super) fn set(bits: CapabilitiesSecureBits) -> Result<(), Fault> {
    let text = format!("prctl(PR_SET_SECUREBITS, {})", shown(bits));
    call("set the secure bits", text, "which privileges root has for being root from here on; capabilities(7)", || {
        set_capabilities_secure_bits(bits)
    })
    .map_err(|fault| explain(fault, bits))
}

/// Returns the set in strace's notation.
fn shown(bits: CapabilitiesSecureBits) -> String {
    let one =
        |bit: u32| NAMES.get(bit as usize).map_or_else(|| format!("{:#x}", 1_u32 << bit), |name| (*name).to_owned());
    let set: Vec<_> = (0..u32::BITS).filter(|bit| bits.bits() >> bit & 1 == 1).map(one).collect();
    if set.is_empty() { "0".to_owned() } else { set.join("|") }
}

/// Explains EPERM, for which the kernel has three reasons: no right, a lock, and bits that it does not know.
fn explain(fault: Fault, wanted: CapabilitiesSecureBits) -> Fault {
    let (true, Some(true), Ok(own)) =
        (fault.errno() == Some(Errno::EPERM), holds(CapabilitySet::SETPCAP), capabilities_secure_bits())
    else {
        return explain_missing(fault, CapabilitySet::SETPCAP);
    };
    let (kept, of_scripts) = (locked(own, wanted), wanted & OF_SCRIPTS);
    if !kept.is_empty() {
        let kept = shown(kept);
        fault.with_remedy(format!(
            "{kept} is final for us and every program that we execute: start from a process without it"
        ))
    } else if !of_scripts.is_empty() {
        fault.with_remedy(format!("this kernel does not know {}, which came with Linux 6.14", shown(of_scripts)))
    } else {
        fault
    }
}

/// Returns the locks among our `own` bits that prevent the `wanted` ones: locks cannot be removed, and what they lock
/// cannot change.
fn locked(own: CapabilitiesSecureBits, wanted: CapabilitiesSecureBits) -> CapabilitiesSecureBits {
    let (own, wanted) = (own.bits(), wanted.bits());
    let changed = own ^ wanted;
    CapabilitiesSecureBits::from_bits_retain(own & LOCKS & (changed | changed << 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(text: &str) -> CapabilitiesSecureBits {
        securebits(&securebit_names(text).unwrap()).unwrap()
    }

    #[test]
    fn bits_have_the_names_that_the_kernel_uses() {
        let names = securebit_names("noroot,SECBIT_NOROOT_LOCKED,no-setuid-fixup").unwrap();
        assert_eq!(names, ["SECBIT_NOROOT", "SECBIT_NOROOT_LOCKED", "SECBIT_NO_SETUID_FIXUP"]);
        assert_eq!(securebits(&names).map(|bits| bits.bits()).ok(), Some(0b111));
        assert_eq!(bits("exec_deny_interactive_locked").bits(), 1 << 11);
        assert!(securebit_names("root").is_err() && securebits(&["x".to_owned()]).is_err());
    }

    #[test]
    fn bits_are_shown_in_straces_notation() {
        assert_eq!(shown(bits("noroot,keep_caps")), "SECBIT_NOROOT|SECBIT_KEEP_CAPS");
        assert_eq!(shown(CapabilitiesSecureBits::from_bits_retain(1 << 12)), "0x1000");
        assert_eq!(shown(CapabilitiesSecureBits::empty()), "0");
    }

    #[test]
    fn a_lock_cannot_be_removed_and_what_it_locks_cannot_change() {
        let own = bits("noroot,noroot_locked,no_setuid_fixup");
        assert_eq!(locked(own, bits("noroot,noroot_locked")), CapabilitiesSecureBits::empty());
        assert_eq!(locked(own, bits("noroot_locked")), bits("noroot_locked"));
        assert_eq!(locked(own, bits("noroot")), bits("noroot_locked"));
    }
}
