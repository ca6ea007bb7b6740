//! Tables of the old iptables that drop what is forwarded unless a rule of theirs accepts it. `iptables(8)`;
//! `struct ipt_replace` in the kernel's `ip_tables.h`.
//!
//! They are not among the tables of nf_tables. The surprise: asking for a table makes it, so only those are asked for that
//! /proc/net lists. The policy of a chain is the verdict of its last entry, to which "underflow" leads.

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::{look, read_socket_option};
use plumbing::process::kernel_text;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

/// `IPT_SO_GET_INFO`, and the same for IPv6.
const GET_INFO: i32 = 64;
/// `IPT_SO_GET_ENTRIES`.
const GET_ENTRIES: i32 = 65;
/// The length of the name of a table, and of what precedes the entries.
const NAME: usize = 32;
const HEADER: usize = 40;
/// `NF_INET_FORWARD`.
const FORWARD: usize = 2;
/// `-NF_DROP - 1`.
const DROP: i32 = -1;
/// The length of `struct xt_entry_target`, which the verdict follows.
const TARGET: usize = 32;
/// The most that a table may have: some hundred thousand rules.
const LONGEST: usize = 64 << 20;
/// The tables with a chain for what is forwarded.
const TABLES: [&str; 3] = ["filter", "mangle", "security"];

/// The differences between the tables of both families.
struct Kind {
    family: &'static str,
    command: &'static str,
    names: &'static str,
    address_family: AddressFamily,
    level: i32,
    /// Where an entry says where its target is.
    target_offset: usize,
}

const KINDS: [Kind; 2] = [
    Kind {
        family: "ip",
        command: "iptables-legacy",
        names: "/proc/net/ip_tables_names",
        address_family: AddressFamily::INET,
        level: 0,
        target_offset: 88,
    },
    Kind {
        family: "ip6",
        command: "ip6tables-legacy",
        names: "/proc/net/ip6_tables_names",
        address_family: AddressFamily::INET6,
        level: 41,
        target_offset: 140,
    },
];

/// A table whose chain FORWARD drops by default.
pub struct Policy {
    /// `ip` or `ip6`.
    pub family: &'static str,
    /// The program that changes it.
    pub command: &'static str,
    /// The table.
    pub table: &'static str,
    entries: Vec<u8>,
}

impl Policy {
    /// Returns whether a rule names this interface.
    pub fn names(&self, interface: &str) -> bool {
        let name = [interface.as_bytes(), b"\0"].concat();
        self.entries.windows(name.len()).any(|window| window == name)
    }

    /// Returns the commands that let through what this interface forwards.
    pub fn fixes<'a>(&'a self, interface: &'a str) -> [Vec<&'a str>; 2] {
        ["-i", "-o"].map(|by| vec![self.command, "-t", self.table, "-I", "FORWARD", by, interface, "-j", "ACCEPT"])
    }
}

/// Returns the tables of the network namespace that we are in which drop what is forwarded by default.
pub fn dropping() -> Result<Vec<Policy>, Fault> {
    let mut found = Vec::new();
    for kind in &KINDS {
        let names = match look(format!("read {}", kind.names), "read()", || kernel_text::read(kind.names)) {
            // The kernel has no such tables.
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => continue,
            names => names?,
        };
        for table in TABLES.into_iter().filter(|table| names.lines().any(|name| name == *table)) {
            found.extend(kind.read(table)?);
        }
    }
    Ok(found)
}

impl Kind {
    /// Reads a table; returns it if it drops.
    fn read(&self, table: &'static str) -> Result<Option<Policy>, Fault> {
        let goal = format!("read the table {table} of {}", self.command);
        let socket = look(&goal, "socket(SOCK_RAW)", || {
            socket_with(self.address_family, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::RAW))
        })?;
        let mut info = vec![0; NAME + 13 * 4];
        info[..table.len()].copy_from_slice(table.as_bytes());
        look(&goal, "getsockopt(IPT_SO_GET_INFO)", || read_socket_option(&socket, self.level, GET_INFO, &mut info))?;
        let number = |at: usize| u32_at(&info, NAME + 4 * at).unwrap_or_default() as usize;
        let (has_forward, underflow, size) = (number(0) & (1 << FORWARD) != 0, number(6 + FORWARD), number(12));
        if !has_forward || size > LONGEST {
            return Ok(None);
        }
        let mut entries = vec![0; HEADER + size];
        entries[..table.len()].copy_from_slice(table.as_bytes());
        entries[NAME..NAME + 4].copy_from_slice(&(size as u32).to_ne_bytes());
        let text = "getsockopt(IPT_SO_GET_ENTRIES)";
        look(&goal, text, || read_socket_option(&socket, self.level, GET_ENTRIES, &mut entries))?;
        let entries = entries.split_off(HEADER);
        let drops = policy(&entries, underflow, self.target_offset) == Some(DROP);
        Ok(drops.then_some(Policy { family: self.family, command: self.command, table, entries }))
    }
}

/// Returns the verdict of the entry at `underflow`.
fn policy(entries: &[u8], underflow: usize, target_offset: usize) -> Option<i32> {
    let at = entries.get(underflow + target_offset..)?.get(..2)?;
    let target = underflow + usize::from(u16::from_ne_bytes([at[0], at[1]]));
    u32_at(entries, target + TARGET).map(u32::cast_signed)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_the_verdict_of_the_last_entry() {
        let mut entries = vec![0; 300];
        entries[100 + 88..100 + 90].copy_from_slice(&112u16.to_ne_bytes());
        entries[100 + 112 + TARGET..100 + 116 + TARGET].copy_from_slice(&DROP.to_ne_bytes());
        assert_eq!(policy(&entries, 100, 88), Some(DROP));
        assert_eq!(policy(&entries, 280, 88), None);
        assert_eq!(policy(&entries[..240], 100, 88), None);
    }
}
