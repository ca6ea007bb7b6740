//! Forwarding, one interface at a time: `net.ipv4.conf.INTERFACE.forwarding`. `ip-sysctl` in the kernel's documentation.
//!
//! What arrives on an interface is forwarded if that interface's own setting is 1; where it leaves does not matter. So
//! the bridge needs the setting, and the interfaces on which answers arrive. `ip_forward` would turn on forwarding on
//! every interface: it is left alone. Therefore it also shows whether the administrator wants a router: writing it sets
//! all of them.

use plumbing::Fault;

use crate::settings::Settings;

/// The prefix of a comment that contains our note.
const NOTE: &str = "forwarding was 0:";
/// The prefix of an interface in the note that was opened for IPv6.
const IPV6: &str = "6:";

/// A family of addresses, each with settings of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// An interface that we opened, and the family for which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opened {
    /// Its index: names can change.
    pub index: u32,
    /// The family.
    pub family: Family,
}

/// Returns whether the administrator has made the host a router.
pub fn is_on(settings: &Settings, family: Family) -> Result<bool, Fault> {
    let path = match family {
        Family::V4 => "ipv4/ip_forward",
        Family::V6 => "ipv6/conf/all/forwarding",
    };
    Ok(settings.get(path)?.is_some_and(|value| value != "0"))
}

/// Returns whether what arrives on this interface is forwarded. An interface that does not exist yet forwards nothing.
pub fn is_open(settings: &Settings, interface: &str, family: Family) -> Result<bool, Fault> {
    Ok(settings.get(&path(interface, family))?.is_some_and(|value| value != "0"))
}

/// Refuses if the kernel cannot forward for single interfaces of this family: for IPv6 it can since Linux 6.17.
pub fn require_single(settings: &Settings, family: Family) -> Result<(), Fault> {
    if family == Family::V4 || settings.get(&path("all", family))?.is_some() {
        return Ok(());
    }
    let fault =
        Fault::new("cannot forward IPv6 for the container: this kernel forwards for all interfaces or for none");
    Err(fault.with_remedy(
        "make the host a router yourself: sysctl net.ipv6.conf.all.forwarding=1, and accept_ra=2 for an interface that \
         gets its own route from router advertisements",
    ))
}

/// Turns on forwarding of what arrives on this interface.
pub fn open(settings: &Settings, interface: &str, family: Family) -> Result<(), Fault> {
    settings.set(&path(interface, family), "1", "packets of containers, or answers to them, arrive here")
}

/// Turns it off again.
pub fn close(settings: &Settings, interface: &str, family: Family) -> Result<(), Fault> {
    settings.set(&path(interface, family), "0", "as it was before the first container")
}

/// Returns the path of the setting below /proc/sys/net.
pub fn path(interface: &str, family: Family) -> String {
    match family {
        Family::V4 => format!("ipv4/conf/{interface}/forwarding"),
        Family::V6 => format!("ipv6/conf/{interface}/force_forwarding"),
    }
}

/// Returns the note of what we opened.
pub fn note(opened: &[Opened]) -> Option<String> {
    let word = |opened: &Opened| match opened.family {
        Family::V4 => opened.index.to_string(),
        Family::V6 => format!("{IPV6}{}", opened.index),
    };
    let words: Vec<_> = opened.iter().map(word).collect();
    (!words.is_empty()).then(|| format!("{NOTE} {}", words.join(" ")))
}

/// Parses that note.
pub fn opened(note: Option<&str>) -> Vec<Opened> {
    let words = note.and_then(|note| note.strip_prefix(NOTE)).unwrap_or_default();
    let read = |word: &str| {
        let (family, number) = word.strip_prefix(IPV6).map_or((Family::V4, word), |number| (Family::V6, number));
        number.parse().ok().map(|index| Opened { index, family })
    };
    words.split_whitespace().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        assert_eq!(note(&[]), None);
        let of = |index, family| Opened { index, family };
        for all in [vec![of(4, Family::V4)], vec![of(2, Family::V4), of(2, Family::V6), of(4_000_000_000, Family::V6)]]
        {
            assert_eq!(opened(note(&all).as_deref()), all);
        }
        assert!(opened(None).is_empty() && opened(Some("a table of 4 rules")).is_empty());
    }
}
