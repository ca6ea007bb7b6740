//! The lines of a resolv.conf, as bytes: comments are other people's text, in any encoding. `resolv.conf(5)`. Pure.

use std::net::IpAddr;

/// The name servers that systemd-resolved asks. Its own address, 127.0.0.53, answers only in its network namespace.
pub const UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// Returns the addresses of the name servers.
pub fn servers(text: &[u8]) -> impl Iterator<Item = IpAddr> {
    lines(text).filter_map(server)
}

/// Returns the domains of the last `search` or `domain` line: that one counts.
pub fn search(text: &[u8]) -> Vec<String> {
    let domains = |line| {
        let mut words = words(line);
        matches!(words.next(), Some(b"search" | b"domain")).then(|| words.filter_map(utf8).map(str::to_owned).collect())
    };
    lines(text).filter_map(domains).last().unwrap_or_default()
}

/// Returns the lines, each with its newline; the last one may lack it.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// Returns the address of a `nameserver` line, without the interface that may follow it.
pub fn server(line: &[u8]) -> Option<IpAddr> {
    let mut words = words(line);
    let word = if words.next() == Some(b"nameserver") { utf8(words.next()?)? } else { return None };
    word.split('%').next()?.parse().ok()
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
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
}
