//! IPv4 forwarding of the host: `net.ipv4.ip_forward`. `ip-sysctl` in the kernel's documentation.
//!
//! A host that does not forward drops what its containers send elsewhere, and says nothing. The setting is one for the
//! whole network namespace: so who finds it off says so on its table, and the last table to go sets it back.

use std::io::Write;

use plumbing::Fault;
use plumbing::kernel::{call, look};

use crate::nftables::Known;

const PATH: &str = "/proc/sys/net/ipv4/ip_forward";
/// The comment on a table that lives because somebody switched forwarding on.
const WAS_OFF: &str = "ip_forward was 0";
/// What the names of our tables start with.
pub const TABLE_PREFIX: &str = "netns-rs-";

/// What a new table has to say: the word of the tables before it, or what is found now.
pub fn comment(tables: &[Known]) -> Result<Option<&'static str>, Fault> {
    let was_off = ours(tables).any(|table| table.comment.as_deref() == Some(WAS_OFF));
    Ok(if was_off || !is_on()? { Some(WAS_OFF) } else { None })
}

/// Switches forwarding on, unless it is.
pub fn switch_on() -> Result<(), Fault> {
    if is_on()? {
        return Ok(());
    }
    set("1", "a host that does not forward drops what its containers send elsewhere")
}

/// Sets forwarding back when the table with this comment is gone and was the last one.
pub fn restore(comment: Option<&str>, remaining: &[Known]) -> Result<(), Fault> {
    if comment == Some(WAS_OFF) && ours(remaining).next().is_none() && is_on()? {
        set("0", "as it was before the first container")?;
    }
    Ok(())
}

fn ours(tables: &[Known]) -> impl Iterator<Item = &Known> {
    tables.iter().filter(|table| table.name.starts_with(TABLE_PREFIX))
}

fn is_on() -> Result<bool, Fault> {
    let value = look("read ip_forward", format!("read({PATH:?})"), || std::fs::read_to_string(PATH))?;
    Ok(value.trim_end() != "0")
}

fn set(value: &str, why: &str) -> Result<(), Fault> {
    call(format!("set net.ipv4.ip_forward to {value}"), format!("write({PATH:?}, {value:?})"), why, || {
        std::fs::OpenOptions::new().write(true).open(PATH)?.write_all(value.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_it_was_off_is_handed_on() {
        let table = |name: &str, comment: &str| Known { name: name.into(), comment: Some(comment.into()) };
        assert_eq!(comment(&[table("netns-rs-veth0", WAS_OFF)]).unwrap(), Some(WAS_OFF));
        assert_eq!(ours(&[table("filter", WAS_OFF)]).count(), 0);
    }
}
