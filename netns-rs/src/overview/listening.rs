//! The ports of TCP on which a network namespace accepts connections, and the process of each. `proc_pid_net(5)`.
//!
//! The surprise: a table is that of the namespace of the process through which it is read.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use plumbing::fault::IntoErrno;
use plumbing::process::kernel_text;
use plumbing::process::socket_table::{Entry, LISTEN, parse};
use serde::Serialize;

use super::Process;
use super::finding::All;

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
            for Entry { local, inode } in text.lines().take(MOST).filter_map(|line| parse(line, LISTEN)) {
                let listening = Listening { address: local.ip(), port: local.port(), process: None };
                inodes.insert(inode);
                found.sockets.insert(inode, found.space.listening.len());
                found.space.listening.push(listening);
            }
        }
    }
    inodes
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
    fn a_port_of_every_address_is_shown_without_address() {
        let shown = |address: &str| Listening { address: address.parse().unwrap(), port: 80, process: None }.shown();
        assert_eq!(
            (shown("127.0.0.1"), shown("::"), shown("::1")),
            ("127.0.0.1:80".into(), "80".into(), "[::1]:80".into())
        );
    }
}
