//! The secure bits: what being root means to the kernel. `capabilities(7)`, "The securebits flags".

use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, set_capabilities_secure_bits};

use super::capabilities::explain_missing;
use crate::Fault;
use crate::kernel::call;

const BITS: [(&str, CapabilitiesSecureBits); 8] = [
    ("SECBIT_NOROOT", CapabilitiesSecureBits::NO_ROOT),
    ("SECBIT_NOROOT_LOCKED", CapabilitiesSecureBits::NO_ROOT_LOCKED),
    ("SECBIT_NO_SETUID_FIXUP", CapabilitiesSecureBits::NO_SETUID_FIXUP),
    ("SECBIT_NO_SETUID_FIXUP_LOCKED", CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED),
    ("SECBIT_KEEP_CAPS", CapabilitiesSecureBits::KEEP_CAPS),
    ("SECBIT_KEEP_CAPS_LOCKED", CapabilitiesSecureBits::KEEP_CAPS_LOCKED),
    ("SECBIT_NO_CAP_AMBIENT_RAISE", CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE),
    ("SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED", CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED),
];

/// Reads `noroot,noroot_locked` into the kernel's names.
pub fn securebit_names(text: &str) -> Result<Vec<String>, String> {
    let name = |word: &str| {
        let upper = word.to_ascii_uppercase().replace('-', "_");
        let full = format!("SECBIT_{}", upper.strip_prefix("SECBIT_").unwrap_or(&upper));
        let is_known = BITS.iter().any(|(known, _)| *known == full);
        is_known
            .then_some(full)
            .ok_or_else(|| "valid are names of capabilities(7), as in noroot,noroot_locked".to_owned())
    };
    text.split(',').map(name).collect()
}

/// The set that these names make.
pub(super) fn securebits(names: &[String]) -> Result<CapabilitiesSecureBits, Fault> {
    names.iter().try_fold(CapabilitiesSecureBits::empty(), |set, name| {
        match BITS.iter().find(|(known, _)| known == name) {
            Some((_, bit)) => Ok(set | *bit),
            None => Err(Fault::new(format!("there is no secure bit {name:?}; capabilities(7) names them"))),
        }
    })
}

/// Sets exactly these.
pub(super) fn set(bits: CapabilitiesSecureBits) -> Result<(), Fault> {
    let names: Vec<_> = BITS.iter().filter(|(_, bit)| bits.contains(*bit)).map(|(name, _)| *name).collect();
    let text = format!("prctl(PR_SET_SECUREBITS, {})", names.join("|"));
    call("set the secure bits", text, "what being root means from here on; capabilities(7)", || {
        set_capabilities_secure_bits(bits)
    })
    .map_err(|fault| explain_missing(fault, CapabilitySet::SETPCAP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_named_as_the_kernel_does() {
        let names = securebit_names("noroot,SECBIT_NOROOT_LOCKED,no-setuid-fixup").unwrap();
        assert_eq!(names, ["SECBIT_NOROOT", "SECBIT_NOROOT_LOCKED", "SECBIT_NO_SETUID_FIXUP"]);
        assert_eq!(securebits(&names).map(|bits| bits.bits()).ok(), Some(0b111));
        assert!(securebit_names("root").is_err() && securebits(&["x".to_owned()]).is_err());
    }
}
