//! The ports of TCP on which a network namespace accepts connections, and the process of each. `proc_pid_net(5)`.
//!
//! The surprise: addresses are printed as 32-bit numbers in the machine's byte order, but ports as plain numbers.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use plumbing::fault::IntoErrno;
use plumbing::process::kernel_text;
use serde::Serialize;

use super::Process;
use super::finding::All;

/// `TCP_LISTEN`.
const LISTEN: &str = "0A";
/// The most lines of one table that are used: a container decides how many sockets it has.
const MOST: usize = 1 << 14;

/// A port that accepts connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listening {
    /// Its address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// A process that has the socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
}

/// Reads the tables through a process of each namespace; returns the inodes of the sockets.
pub fn tables(all: &mut All) -> BTreeSet<u64> {
    let mut inodes = BTreeSet::new();
    for found in &mut all.spaces {
        let Some(pid) = found.space.processes.first().map(|process| process.pid) else { continue };
        for table in ["tcp", "tcp6"] {
            let text = match kernel_text::read(format!("/proc/{pid}/net/{table}")) {
                Ok(text) => text,
                Err(error) => {
                    // The process has ended, or the kernel has no IPv6.
                    let is_gone = matches!(error.into_errno(), Errno::ENOENT | Errno::ESRCH);
                    found.space.unreadable = (!is_gone).then(|| format!("its ports of TCP, in the table {table}"));
                    continue;
                }
            };
            for (listening, inode) in text.lines().take(MOST).filter_map(parse) {
                inodes.insert(inode);
                found.sockets.insert(inode, found.space.listening.len());
                found.space.listening.push(listening);
            }
        }
    }
    inodes
}

/// `   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 …`
fn parse(line: &str) -> Option<(Listening, u64)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
    let [_, local, _, LISTEN, .., inode] = fields.as_slice() else { return None };
    let (address, port) = local.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = match address.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (part, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(part * 8)?);
            }
            IpAddr::from(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some((Listening { address, port: u16::from_str_radix(port, 16).ok()?, process: None }, inode.parse().ok()?))
}

impl Listening {
    /// Returns the port, with its address unless it is every one, and the process.
    pub fn shown(&self) -> String {
        let process = self.process.as_ref().map(|process| format!(" ({}, pid {})", process.name.shown(), process.pid));
        let address = match self.address {
            any if any.is_unspecified() => self.port.to_string(),
            ip => SocketAddr::new(ip, self.port).to_string(),
        };
        format!("{address}{}", process.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_port_is_read_with_its_socket() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100";
        let (listening, inode) = parse(line).unwrap();
        assert_eq!((listening.shown().as_str(), inode), ("127.0.0.1:8080", 4242));
        let six =
            "   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 7 1";
        assert_eq!(parse(six).map(|(listening, _)| listening.shown()).as_deref(), Some("80"));
        for line in
            ["  sl  local_address rem_address   st", "", &line.replace(" 0A ", " 01 "), "0: é:1 2 0A 1 2 3 4 5 6"]
        {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
