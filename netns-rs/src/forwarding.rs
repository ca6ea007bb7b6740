//! Forwarding, one interface at a time: `net.ipv4.conf.INTERFACE.forwarding`. `ip-sysctl` in the kernel's documentation.
//!
//! What comes in by an interface is forwarded if that interface's own setting is 1; where it leaves does not matter. So
//! the bridge needs it, and the interfaces by which answers come. `ip_forward` would make every interface a router's: it
//! is left alone. Therefore it also tells whether somebody else wants a router: who writes it sets all of them.

use plumbing::Fault;

use crate::settings::Settings;

/// What a comment that holds our note begins with.
const NOTE: &str = "forwarding was 0:";

/// Whether the host is a router by its administrator's will.
pub fn is_on(settings: &Settings) -> Result<bool, Fault> {
    Ok(settings.get("ipv4/ip_forward")?.is_some_and(|value| value != "0"))
}

/// Whether what comes in by this interface is forwarded. One that is not made yet forwards nothing.
pub fn is_open(settings: &Settings, interface: &str) -> Result<bool, Fault> {
    Ok(settings.get(&path(interface))?.is_some_and(|value| value != "0"))
}

/// Forwards what comes in by this interface.
pub fn open(settings: &Settings, interface: &str) -> Result<(), Fault> {
    settings.set(&path(interface), "1", "containers' packets, or answers to them, come in here")
}

/// Forwards it no more.
pub fn close(settings: &Settings, interface: &str) -> Result<(), Fault> {
    settings.set(&path(interface), "0", "as it was before the first container")
}

fn path(interface: &str) -> String {
    format!("ipv4/conf/{interface}/forwarding")
}

/// The note of which interfaces we opened, by their index: names can change.
pub fn note(opened: &[u32]) -> Option<String> {
    let words: Vec<_> = opened.iter().map(u32::to_string).collect();
    (!words.is_empty()).then(|| format!("{NOTE} {}", words.join(" ")))
}

/// Reads that note.
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
