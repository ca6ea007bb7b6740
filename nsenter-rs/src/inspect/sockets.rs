//! The sockets that accept connections or datagrams in the process's network namespace. `proc_pid_net(5)`.
//!
//! The surprise: names of Unix sockets are printed unescaped, and may contain blanks.

use plumbing::Fault;
use plumbing::process::socket_table::{BOUND, LISTEN, parse};
use plumbing::process::target::Target;
use plumbing::text::Text;
use serde::Serialize;

use super::reading::{List, each_line};

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
            if let Some(entry) = parse(&String::from_utf8_lossy(line), state) {
                sockets.push(Socket { protocol, local: Text::from(&*entry.local.to_string()) }, 64);
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
    fn a_listening_unix_socket_is_shown_with_its_whole_name() {
        let line = b"0000000000000000: 00000002 00000000 00010000 0001 01  4242 /run/a b.sock";
        assert_eq!(unix(line).as_deref(), Some("/run/a b.sock"));
        assert_eq!(unix(b"0000000000000000: 00000002 00000000 00010000 0001 01 42 @name").as_deref(), Some("@name"));
        assert_eq!(unix(b"0000000000000000: 00000003 00000000 00000000 0001 03 4242 /run/x"), None);
        assert_eq!(unix(b"Num       RefCount Protocol Flags    Type St Inode Path"), None);
    }
}
