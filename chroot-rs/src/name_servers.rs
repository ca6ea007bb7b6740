//! The name servers of a container: those of the host, without servers that its network cannot reach. `resolv.conf(5)`.
//!
//! The surprise: a server on the loopback, such as systemd-resolved's 127.0.0.53, answers only in its own network namespace.
//! There a socket is bound to the address. As in other engines, the servers that systemd-resolved asks take its place.

use std::net::IpAddr;

use plumbing::pipeline::record::CHOSEN;
use plumbing::process::procfs;
use plumbing::process::resolv_conf::{UPSTREAM, interface, is_own, lines, server, servers};
use plumbing::process::target::Target;
use plumbing::{Fault, narrate};

use crate::facts::host_file;

/// Returns the text for a container, in the network namespace of `target` or else in ours. What `netns-rs exec --dns`
/// wrote is kept: its servers were chosen, also those on the loopback.
pub(crate) fn choose(own: Vec<u8>, target: Option<&Target>) -> Result<Vec<u8>, Fault> {
    if own.starts_with(CHOSEN.as_bytes()) {
        return Ok(own);
    }
    let table = |file: &str| match target {
        Some(target) => target.read(file).unwrap_or_default(),
        None => procfs::read_text(&format!("self/{file}")).unwrap_or_default(),
    };
    let links = if lines(&own).any(|line| interface(line).is_some()) { table("net/dev") } else { String::new() };
    let leads_out = |line: &[u8]| leads_out(line, &links);
    if servers(&own).next().is_none() || lines(&own).any(|line| leads_out(line) == Some(true)) {
        return Ok(only(&own, leads_out));
    }
    let tables = ["net/udp", "net/udp6"].map(table);
    if servers(&own).any(|address| is_own(address) && tables.iter().any(|table| is_bound(table, address))) {
        return Ok(own);
    }
    let upstream = if std::fs::symlink_metadata(UPSTREAM).is_ok() { host_file(UPSTREAM)? } else { Vec::new() };
    if lines(&upstream).any(|line| leads_out(line) == Some(true)) {
        return Ok(only(&upstream, leads_out));
    }
    let listed = servers(&own).map(|address| address.to_string()).collect::<Vec<_>>().join(", ");
    narrate::caution(
        Fault::new(format!(
            "cannot give the container a name server: /etc/resolv.conf names only {listed}, and nothing answers there in the \
             container's network"
        ))
        .with_remedy("bind a file with other servers over it: --bind FILE:/etc/resolv.conf"),
    )?;
    Ok(own)
}

/// Reports whether the server of a line may be outside of the container's network namespace, whose interfaces `links` lists;
/// `None` if the line names none.
fn leads_out(line: &[u8], links: &str) -> Option<bool> {
    let address = server(line)?;
    let is_here = |name: &str| links.lines().any(|line| line.trim_start().split(':').next() == Some(name));
    Some(!is_own(address) && interface(line).is_none_or(is_here))
}

/// Returns the text without servers that are not outside; unchanged if there are no others.
fn only(text: &[u8], leads_out: impl Fn(&[u8]) -> Option<bool>) -> Vec<u8> {
    if !lines(text).any(|line| leads_out(line) == Some(true)) {
        return text.to_owned();
    }
    lines(text).filter(|line| leads_out(line) != Some(false)).collect::<Vec<_>>().concat()
}

/// Reports whether a table of UDP sockets has one that is bound to the address, or to port 53 of all addresses;
/// `proc_pid_net(5)`. Docker's own server has another port, to which the packets are redirected.
fn is_bound(table: &str, address: IpAddr) -> bool {
    let address = address.to_canonical();
    let local = table.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().nth(1)?.split_once(':'));
    let wanted = match address {
        IpAddr::V4(address) => format!("{:08X}", u32::from_ne_bytes(address.octets())),
        IpAddr::V6(address) => {
            let words = address.octets();
            words
                .chunks_exact(4)
                .map(|word| word.try_into().map_or(0, u32::from_ne_bytes))
                .map(|word| format!("{word:08X}"))
                .collect()
        }
    };
    local.into_iter().any(|(at, port)| at == wanted || (port == "0035" && at.bytes().all(|digit| digit == b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINKS: &str = "Inter-|   Receive\n face |bytes\n    lo:  0 0\n  eth0: 12 0\n";

    #[test]
    fn name_servers_on_the_hosts_loopback_are_left_out() {
        for (text, left) in [
            (
                &b"search lan\nnameserver 127.0.0.53\nnameserver 192.0.2.1\n"[..],
                &b"search lan\nnameserver 192.0.2.1\n"[..],
            ),
            (b"nameserver ::1\n", b"nameserver ::1\n"),
            (b"# nameserver \xfc\nnameserver 127.0.0.1", b"# nameserver \xfc\nnameserver 127.0.0.1"),
            (b"# \xfc\0\r\nnameserver\t127.0.0.1\r\nnameserver 192.0.2.1", b"# \xfc\0\r\nnameserver 192.0.2.1"),
            (b"nameserver ::1\nnameserver fe80::1%eth0\n", b"nameserver fe80::1%eth0\n"),
            (b"nameserver fe80::1%eth01\nnameserver 192.0.2.1\n", b"nameserver 192.0.2.1\n"),
            (b"nameserver 0.0.0.0\nnameserver 127.1\nnameserver 192.0.2.1\n", b"nameserver 192.0.2.1\n"),
            (b"nameserver ::ffff:127.0.0.53\nnameserver 192.0.2.1", b"nameserver 192.0.2.1"),
            // A keyword that does not begin its line is none, so that this server is the only one.
            (b"nameserver 127.0.0.53\n nameserver 192.0.2.1\n", b"nameserver 127.0.0.53\n nameserver 192.0.2.1\n"),
        ] {
            assert_eq!(only(text, |line| leads_out(line, LINKS)), left, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_socket_on_the_address_answers() {
        let table = "  sl  local_address rem_address   st\n  1: 3500007F:0035 00000000:0000 07\n";
        let at = |table: &str, address: &str| is_bound(table, address.parse().unwrap());
        assert!(at(table, "127.0.0.53") && !at(table, "127.0.0.1"));
        let all = "heading\n  1: 00000000:0035 00000000:0000 07\n  2: 00000000:0044 00000000:0000 07\n";
        assert!(at(all, "127.0.0.1") && !at("heading\n 2: 00000000:0044 x\n", "127.0.0.1"));
        let six = "heading\n  1: 00000000000000000000000001000000:0035 0:0 07\n";
        assert!(at(table, "::ffff:127.0.0.53") && at(six, "::1") && !at(six, "127.0.0.1") && !at("", "::1"));
    }

    proptest! {
        #[test]
        fn any_text_keeps_a_server_that_it_has(text in prop::collection::vec(any::<u8>(), 0..60)) {
            let whole = [&b"nameserver 192.0.2.1\n"[..], &text].concat();
            prop_assert!(only(&whole, |line| leads_out(line, LINKS)).starts_with(b"nameserver 192.0.2.1\n"));
            prop_assert!(servers(&whole).count() >= 1);
        }
    }
}
