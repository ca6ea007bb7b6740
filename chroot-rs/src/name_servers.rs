//! The name servers of a container: those of the host, without servers that its network cannot reach. `resolv.conf(5)`.
//!
//! The surprise: a server on the loopback, such as systemd-resolved's 127.0.0.53, answers only in its own network namespace.
//! There a socket is bound to the address. As in other engines, the servers that systemd-resolved asks take its place.

use std::net::IpAddr;

use plumbing::pipeline::record::CHOSEN;
use plumbing::process::procfs;
use plumbing::process::resolv_conf::{UPSTREAM, lines, server, servers};
use plumbing::process::target::Target;
use plumbing::{Fault, narrate};

use crate::facts::host_file;

/// Returns the text for a container, in the network namespace of `target` or else in ours. What `netns-rs exec --dns`
/// wrote is kept: its servers were chosen, also those on the loopback.
pub(crate) fn choose(own: Vec<u8>, target: Option<&Target>) -> Result<Vec<u8>, Fault> {
    if own.starts_with(CHOSEN.as_bytes()) {
        return Ok(own);
    }
    let reachable = without_loopback(&own);
    let addresses: Vec<IpAddr> = servers(&own).collect();
    if addresses.is_empty() || addresses.iter().any(|address| !address.is_loopback()) {
        return Ok(reachable);
    }
    let tables = ["net/udp", "net/udp6"].map(|file| match target {
        Some(target) => target.read(file).unwrap_or_default(),
        None => procfs::read_text(&format!("self/{file}")).unwrap_or_default(),
    });
    if addresses.iter().any(|address| tables.iter().any(|table| is_bound(table, *address))) {
        return Ok(own);
    }
    let upstream = if std::fs::symlink_metadata(UPSTREAM).is_ok() { host_file(UPSTREAM)? } else { Vec::new() };
    if servers(&upstream).any(|address| !address.is_loopback()) {
        return Ok(without_loopback(&upstream));
    }
    let listed = addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    narrate::caution(
        Fault::new(format!(
            "cannot give the container a name server: /etc/resolv.conf names only {listed}, and nothing answers there in the \
             container's network"
        ))
        .with_remedy("bind a file with other servers over it: --bind FILE:/etc/resolv.conf"),
    )?;
    Ok(own)
}

/// Returns the text without servers on the loopback; unchanged if there are no other servers.
fn without_loopback(text: &[u8]) -> Vec<u8> {
    if !servers(text).any(|address| !address.is_loopback()) {
        return text.to_owned();
    }
    lines(text).filter(|line| !server(line).is_some_and(|address| address.is_loopback())).collect::<Vec<_>>().concat()
}

/// Reports whether a table of UDP sockets has one that is bound to the address, or to port 53 of all addresses;
/// `proc_pid_net(5)`. Docker's own server has another port, to which the packets are redirected.
fn is_bound(table: &str, address: IpAddr) -> bool {
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
        ] {
            assert_eq!(without_loopback(text), left, "{text:?}");
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
        assert!(at(six, "::1") && !at(six, "127.0.0.1") && !at("", "::1"));
    }

    proptest! {
        #[test]
        fn any_text_keeps_a_server_that_it_has(text in prop::collection::vec(any::<u8>(), 0..60)) {
            let whole = [&b"nameserver 192.0.2.1\n"[..], &text].concat();
            prop_assert!(without_loopback(&whole).starts_with(b"nameserver 192.0.2.1\n"));
            prop_assert!(servers(&whole).count() >= 1);
        }
    }
}
