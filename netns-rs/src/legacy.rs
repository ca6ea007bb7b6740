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
/// The length of the name of an interface in an entry.
const INTERFACE: usize = 16;
/// How often a table that changes while it is read is read again.
const ATTEMPTS: u32 = 8;
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
    /// Where an entry says where its target is, and then where the next entry is.
    target_offset: usize,
    /// Where an entry has the name of the incoming interface, that of the outgoing one, and their masks.
    interfaces: usize,
}

const KINDS: [Kind; 2] = [
    Kind {
        family: "ip",
        command: "iptables-legacy",
        names: "/proc/net/ip_tables_names",
        address_family: AddressFamily::INET,
        level: 0,
        target_offset: 88,
        interfaces: 16,
    },
    Kind {
        family: "ip6",
        command: "ip6tables-legacy",
        names: "/proc/net/ip6_tables_names",
        address_family: AddressFamily::INET6,
        level: 41,
        target_offset: 140,
        interfaces: 64,
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
    kind: &'static Kind,
}

impl Policy {
    /// Returns whether a rule names this interface, or the beginning of its name (`eth+`).
    pub fn names(&self, interface: &str) -> bool {
        self.kind.entries(&self.entries).any(|entry| self.kind.names(entry, interface))
    }

    /// Returns the commands that let through what this interface forwards.
    pub fn fixes<'a>(&'a self, interface: &'a str) -> [Vec<&'a str>; 2] {
        ["-i", "-o"].map(|by| vec![self.command, "-t", self.table, "-I", "FORWARD", by, interface, "-j", "ACCEPT"])
    }
}

/// What was found.
#[derive(Default)]
pub struct Found {
    /// The tables that drop.
    pub policies: Vec<Policy>,
    /// What could not be examined, as a text.
    pub unexamined: Vec<String>,
    /// Lists of tables that we may not read: only root of the first user namespace may.
    pub unreadable: Vec<String>,
}

/// What a table does with what its rules do not name.
enum Table {
    Drops(Policy),
    Accepts,
    /// It was not read.
    TooLong,
}

/// Returns the tables of the network namespace that we are in which drop what is forwarded by default.
pub fn dropping() -> Result<Found, Fault> {
    let mut found = Found::default();
    for kind in &KINDS {
        let names = match look(format!("read {}", kind.names), "read()", || kernel_text::read(kind.names)) {
            // The kernel has no such tables.
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => continue,
            Err(fault) if fault.errno() == Some(Errno::EACCES) => {
                found.unreadable.push(format!("the tables of {}: {fault}", kind.command));
                continue;
            }
            names => names?,
        };
        for table in TABLES.into_iter().filter(|table| names.lines().any(|name| name == *table)) {
            match kind.read(table)? {
                Table::Drops(policy) => found.policies.push(policy),
                Table::Accepts => {}
                Table::TooLong => found.unexamined.push(format!(
                    "the table {table} of {}: it is longer than {} MiB",
                    kind.command,
                    LONGEST >> 20
                )),
            }
        }
    }
    Ok(found)
}

impl Kind {
    /// Reads a table.
    fn read(&'static self, table: &'static str) -> Result<Table, Fault> {
        let mut attempts = 1..ATTEMPTS;
        loop {
            match self.read_once(table) {
                // It has changed between both calls.
                Err(fault) if fault.errno() == Some(Errno::EAGAIN) && attempts.next().is_some() => {}
                outcome => return outcome,
            }
        }
    }

    fn read_once(&'static self, table: &'static str) -> Result<Table, Fault> {
        let goal = format!("read the table {table} of {}", self.command);
        let socket = look(&goal, "socket(SOCK_RAW)", || {
            socket_with(self.address_family, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::RAW))
        })?;
        let mut info = vec![0; NAME + 13 * 4];
        info[..table.len()].copy_from_slice(table.as_bytes());
        look(&goal, "getsockopt(IPT_SO_GET_INFO)", || read_socket_option(&socket, self.level, GET_INFO, &mut info))?;
        let number = |at: usize| u32_at(&info, NAME + 4 * at).unwrap_or_default() as usize;
        let (has_forward, underflow, size) = (number(0) & (1 << FORWARD) != 0, number(6 + FORWARD), number(12));
        if !has_forward {
            return Ok(Table::Accepts);
        }
        if size > LONGEST {
            return Ok(Table::TooLong);
        }
        let mut entries = vec![0; HEADER + size];
        entries[..table.len()].copy_from_slice(table.as_bytes());
        entries[NAME..NAME + 4].copy_from_slice(&(size as u32).to_ne_bytes());
        let text = "getsockopt(IPT_SO_GET_ENTRIES)";
        look(&goal, text, || read_socket_option(&socket, self.level, GET_ENTRIES, &mut entries))?;
        let entries = entries.split_off(HEADER);
        let drops = policy(&entries, underflow, self.target_offset) == Some(DROP);
        let policy = || Policy { family: self.family, command: self.command, table, entries, kind: self };
        Ok(if drops { Table::Drops(policy()) } else { Table::Accepts })
    }

    fn entries<'a>(&self, entries: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let next_offset = self.target_offset + 2;
        let mut rest = entries;
        std::iter::from_fn(move || {
            let length = rest.get(next_offset..)?.first_chunk().copied().map(u16::from_ne_bytes)?;
            let (entry, further) = rest.split_at_checked(usize::from(length)).filter(|_| length > 0)?;
            rest = further;
            Some(entry)
        })
    }

    /// Returns whether an entry is about this interface: in the bytes of its mask, of which there is at least one.
    fn names(&self, entry: &[u8], interface: &str) -> bool {
        let mut own = [0; INTERFACE];
        own.iter_mut().zip(interface.bytes()).for_each(|(to, from)| *to = from);
        let field = |at: usize| entry.get(self.interfaces + at * INTERFACE..)?.first_chunk::<INTERFACE>();
        [0, 1].into_iter().any(|which| match (field(which), field(which + 2)) {
            (Some(name), Some(mask)) => mask[0] != 0 && (0..INTERFACE).all(|at| (own[at] ^ name[at]) & mask[at] == 0),
            _ => false,
        })
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
    fn an_interface_is_named_by_its_whole_name_or_by_the_beginning_that_the_mask_covers() {
        for kind in &KINDS {
            // The name of the interface is in an entry's match, or in its fields, with a mask of so many bytes.
            let entry = |which: usize, name: &str, mask: usize| {
                let mut entry = vec![0; kind.target_offset + 60];
                let length = entry.len() as u16;
                entry[kind.target_offset + 2..][..2].copy_from_slice(&length.to_ne_bytes());
                entry[kind.interfaces + which * INTERFACE..][..name.len()].copy_from_slice(name.as_bytes());
                entry[kind.interfaces + (which + 2) * INTERFACE..][..mask].fill(0xff);
                entry
            };
            let names = |entries: &[Vec<u8>]| {
                let entries = entries.concat();
                kind.entries(&entries).any(|entry| kind.names(entry, "eth0"))
            };
            assert!(names(&[entry(0, "lo", 3), entry(0, "eth0", 5)]));
            assert!(names(&[entry(1, "eth0", 5), entry(0, "lo", 3)]));
            assert!(names(&[entry(1, "eth", 3)]), "eth+");
            assert!(!names(&[entry(0, "veth0", 6), entry(1, "eth01", 6), entry(0, "", 0)]));
            assert!(!names(&[vec![0; 300]]), "it ends");
        }
    }

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
