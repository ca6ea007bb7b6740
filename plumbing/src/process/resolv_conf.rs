//! The lines of a resolv.conf, as bytes: comments are other people's text, in any encoding. `resolv.conf(5)`. Pure.
//!
//! The surprise: a keyword counts only at the beginning of its line, and an address may be written as inet_aton(3) reads it
//! (`127.1`), since the C libraries read it so.

use std::net::{IpAddr, Ipv4Addr};

/// The name servers that systemd-resolved asks. Its own address, 127.0.0.53, answers only in its network namespace.
pub const UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// Returns the addresses of the name servers.
pub fn servers(text: &[u8]) -> impl Iterator<Item = IpAddr> {
    lines(text).filter_map(server)
}

/// Returns the domains of the last `search` or `domain` line: that one counts.
pub fn search(text: &[u8]) -> Vec<String> {
    let domains = |line| {
        let values = values(line, b"search").or(values(line, b"domain"))?;
        Some(values.filter_map(utf8).map(str::to_owned).collect())
    };
    lines(text).filter_map(domains).last().unwrap_or_default()
}

/// Returns the lines, each with its newline; the last one may lack it.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// Returns the address of a `nameserver` line, without the interface that may follow it.
pub fn server(line: &[u8]) -> Option<IpAddr> {
    let word = utf8(values(line, b"nameserver")?.next()?)?.split('%').next()?;
    word.parse().ok().or_else(|| inet_aton(word).map(IpAddr::V4))
}

/// Returns the interface that follows a link-local address, as in `fe80::1%eth0`.
pub fn interface(line: &[u8]) -> Option<&str> {
    utf8(values(line, b"nameserver")?.next()?)?.split_once('%').map(|(_, interface)| interface)
}

/// Reports whether an address leads to the network namespace in which it is used: the loopback, or no address at all.
pub fn is_own(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified()
}

/// Parses the short and the other forms of an IPv4 address: the last number fills what the others leave.
fn inet_aton(word: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| match (part.strip_prefix("0x").or(part.strip_prefix("0X")), part.strip_prefix('0')) {
        (Some(digits), _) => u32::from_str_radix(digits, 16),
        (None, Some(digits)) if !digits.is_empty() => u32::from_str_radix(digits, 8),
        (None, _) => part.parse(),
    };
    let parts: Vec<u32> = word.split('.').map(number).collect::<Result<_, _>>().ok()?;
    let (last, leading) = parts.split_last()?;
    let room = 8 * 4_u32.checked_sub(u32::try_from(leading.len()).ok()?)?;
    if room == 0 || leading.iter().any(|part| *part > 255) || (room < 32 && *last >> room != 0) {
        return None;
    }
    let high = leading.iter().zip([24, 16, 8]).map(|(part, shift)| part << shift).sum::<u32>();
    Some((high | last).into())
}

/// Returns the words behind a keyword, with which the line has to begin.
fn values<'a>(line: &'a [u8], keyword: &[u8]) -> Option<impl Iterator<Item = &'a [u8]> + use<'a>> {
    let rest = line.strip_prefix(keyword).filter(|rest| rest.starts_with(b" ") || rest.starts_with(b"\t"))?;
    Some(rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()))
}

fn utf8(word: &[u8]) -> Option<&str> {
    std::str::from_utf8(word).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_search_line_counts_and_odd_lines_are_skipped() {
        let text =
            b"domain a\n# \xfc\0\nsearch b.example  c\r\nnameserver fe80::1%eth0\nnameserver x\nnameserver 192.0.2.1";
        assert_eq!(search(text), ["b.example", "c"]);
        assert_eq!(servers(text).map(|ip| ip.to_string()).collect::<Vec<_>>(), ["fe80::1", "192.0.2.1"]);
        assert_eq!(search(b"nameserver 192.0.2.1\n"), [""; 0]);
    }

    #[test]
    fn an_address_is_read_as_the_c_libraries_read_it() {
        for (line, address) in [
            (&b"nameserver 127.1\n"[..], Some("127.0.0.1")),
            (b"nameserver 0x7f000001", Some("127.0.0.1")),
            (b"nameserver\t0177.0.0.1 # here", Some("127.0.0.1")),
            (b"nameserver 10.257", Some("10.0.1.1")),
            (b"nameserver ::ffff:127.0.0.53", Some("::ffff:127.0.0.53")),
            (b" nameserver 192.0.2.1", None),
            (b"NAMESERVER 192.0.2.1", None),
            (b"nameservers 192.0.2.1", None),
            (b"\xef\xbb\xbfnameserver 192.0.2.1", None),
            (b"nameserver 1.2.3.256", None),
            (b"nameserver 1.2.3.4.5", None),
            (b"nameserver 256.1", None),
            (b"nameserver", None),
            (b"nameserver \xff", None),
        ] {
            assert_eq!(server(line), address.map(|address| address.parse().unwrap()), "{}", line.escape_ascii());
        }
        for (address, own) in [("0.0.0.0", true), ("::", true), ("::ffff:127.0.0.53", true), ("fe80::1", false)] {
            assert_eq!(is_own(address.parse().unwrap()), own, "{address}");
        }
        assert_eq!((interface(b"nameserver fe80::1%br-lan\n"), interface(b"nameserver ::1")), (Some("br-lan"), None));
    }
}
