//! The sockets that accept connections or datagrams in the process's network namespace. `proc_pid_net(5)`.
//!
//! The surprise: addresses are printed as 32-bit numbers in the machine's byte order, but ports as plain numbers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use plumbing::Fault;
use plumbing::process::target::Target;
use plumbing::text::Text;
use serde::Serialize;

use super::reading::{List, each_line};

/// `TCP_LISTEN` and, for UDP, `TCP_CLOSE`: bound, but not connected.
const LISTEN: &str = "0A";
const BOUND: &str = "07";
/// `__SO_ACCEPTCON` of a Unix socket.
const ACCEPTS: u32 = 1 << 16;

/// A socket that others can reach.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Socket {
    /// `tcp`, `tcp6`, `udp`, `udp6`, `unix`.
    pub(super) protocol: &'static str,
    /// Address and port; or a path, with `@` in front of an abstract name.
    pub(super) local: Text,
}

/// Lists the sockets of the process's network namespace.
pub(super) fn of(target: &Target) -> Result<List<Socket>, Fault> {
    let mut sockets = List::new();
    for (protocol, state) in [("tcp", LISTEN), ("tcp6", LISTEN), ("udp", BOUND), ("udp6", BOUND)] {
        let read = each_line(target, &format!("net/{protocol}"), |line| {
            if let Some(local) = inet(&String::from_utf8_lossy(line), state) {
                sockets.push(Socket { protocol, local: Text::from(&*local) }, 64);
            }
        });
        match read {
            // A kernel without IPv6.
            Err(fault) if fault.errno() == Some(nix::errno::Errno::ENOENT) && !target.has_ended()? => {}
            read => drop(read?),
        }
    }
    each_line(target, "net/unix", |line| {
        if let Some(local) = unix(line) {
            let bytes = local.len();
            sockets.push(Socket { protocol: "unix", local: Text::from(&*local) }, bytes);
        }
    })?;
    Ok(sockets)
}

/// `   0: 00000000:1F90 00000000:0000 0A …`
fn inet(line: &str, state: &str) -> Option<String> {
    let fields: Vec<&str> = line.split_ascii_whitespace().take(4).collect();
    let [_, local, _, is] = fields.as_slice() else { return None };
    let (address, port) = local.split_once(':').filter(|_| *is == state)?;
    let port = u16::from_str_radix(port, 16).ok()?;
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
    Some(std::net::SocketAddr::new(address, port).to_string())
}

/// `0000000000000000: 00000002 00000000 00010000 0001 01 4242 /run/x.sock`
fn unix(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    let mut fields = line.splitn(4, ' ').skip(3);
    let rest = fields.next()?;
    let flags = u32::from_str_radix(rest.split(' ').next()?, 16).ok()?;
    // Flags, type, state, the inode padded with blanks, and the unescaped name.
    let rest = rest.splitn(4, ' ').nth(3)?.trim_start_matches(' ');
    let path = rest.split_once(' ').map_or("", |(_, path)| path);
    (flags & ACCEPTS != 0).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_shown_with_its_address() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1 0 100 0 0 10 0";
        assert_eq!(inet(line, LISTEN).as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(inet(line, BOUND), None);
        let six = "   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0";
        assert_eq!(inet(six, LISTEN).as_deref(), Some("[::1]:80"));
        for line in ["  sl  local_address rem_address   st", "", "0: é:1 2 0A", "0: 000000é0:1 0:0 0A"] {
            assert_eq!(inet(line, LISTEN), None, "{line}");
        }
    }

    #[test]
    fn a_listening_unix_socket_is_shown_with_its_whole_name() {
        let line = b"0000000000000000: 00000002 00000000 00010000 0001 01  4242 /run/a b.sock";
        assert_eq!(unix(line).as_deref(), Some("/run/a b.sock"));
        assert_eq!(unix(b"0000000000000000: 00000002 00000000 00010000 0001 01 42 @name").as_deref(), Some("@name"));
        assert_eq!(unix(b"0000000000000000: 00000003 00000000 00000000 0001 03 4242 /run/x"), None);
        assert_eq!(unix(b"Num       RefCount Protocol Flags    Type St Inode Path"), None);
    }
}
