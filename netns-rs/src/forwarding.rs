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

/// Returns whether the administrator has made the host a router.
pub fn is_on(settings: &Settings) -> Result<bool, Fault> {
    Ok(settings.get("ipv4/ip_forward")?.is_some_and(|value| value != "0"))
}

/// Returns whether what arrives on this interface is forwarded. An interface that does not exist yet forwards nothing.
pub fn is_open(settings: &Settings, interface: &str) -> Result<bool, Fault> {
    Ok(settings.get(&path(interface))?.is_some_and(|value| value != "0"))
}

/// Turns on forwarding of what arrives on this interface.
pub fn open(settings: &Settings, interface: &str) -> Result<(), Fault> {
    settings.set(&path(interface), "1", "packets of containers, or answers to them, arrive here")
}

/// Turns it off again.
pub fn close(settings: &Settings, interface: &str) -> Result<(), Fault> {
    settings.set(&path(interface), "0", "as it was before the first container")
}

fn path(interface: &str) -> String {
    format!("ipv4/conf/{interface}/forwarding")
}

/// Returns the note of which interfaces we opened, by their index: names can change.
pub fn note(opened: &[u32]) -> Option<String> {
    let words: Vec<_> = opened.iter().map(u32::to_string).collect();
    (!words.is_empty()).then(|| format!("{NOTE} {}", words.join(" ")))
}

/// Parses that note.
pub fn opened(note: Option<&str>) -> Vec<u32> {
    let words = note.and_then(|note| note.strip_prefix(NOTE)).unwrap_or_default();
    words.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        assert_eq!(note(&[]), None);
        for indexes in [vec![4], vec![2, 7, 4_000_000_000]] {
            assert_eq!(opened(note(&indexes).as_deref()), indexes);
        }
        assert!(opened(None).is_empty() && opened(Some("a table of 4 rules")).is_empty());
    }
}
