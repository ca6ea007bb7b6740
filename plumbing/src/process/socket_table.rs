//! Lines of the kernel's tables of sockets: /proc/PID/net/tcp, tcp6, udp and udp6. `proc_pid_net(5)`. Pure.
//!
//! The surprise: addresses are printed as 32-bit numbers in the machine's byte order, but ports as plain numbers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `TCP_LISTEN`: a socket that accepts connections.
pub const LISTEN: &str = "0A";
/// `TCP_CLOSE`, for UDP: a socket that is bound, but not connected.
pub const BOUND: &str = "07";

/// A socket in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its own address and port.
    pub local: SocketAddr,
    /// Its inode; 0 if the line does not have it, and if no process has the socket any more.
    pub inode: u64,
}

/// Parses a line; `None` if the socket is in another state, and for the title.
///
/// `   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 …`
pub fn parse(line: &str, state: &str) -> Option<Entry> {
    let mut fields = line.split_ascii_whitespace();
    let (local, is) = (fields.nth(1)?, fields.nth(1)?);
    let (address, port) = local.split_once(':').filter(|_| is == state)?;
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
    let inode = fields.nth(5).and_then(|inode| inode.parse().ok()).unwrap_or_default();
    Some(Entry { local: SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?), inode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_the_byte_order_of_the_machine_and_a_port_is_not() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100";
        let found = |line: &str| parse(line, LISTEN).map(|entry| (entry.local.to_string(), entry.inode));
        assert_eq!(found(line), Some(("127.0.0.1:8080".to_owned(), 4242)));
        assert_eq!(parse(line, BOUND), None);
        let six = "   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0";
        assert_eq!(found(six), Some(("[::1]:80".to_owned(), 0)));
        for line in ["  sl  local_address rem_address   st", "", "0: é:1 2 0A", "0: 000000é0:1 0:0 0A"] {
            assert_eq!(parse(line, LISTEN), None, "{line}");
        }
    }
}
