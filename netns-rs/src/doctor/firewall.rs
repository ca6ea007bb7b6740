//! What the host's nf_tables do to a container that the host forwards for: a policy that drops, and a missing masquerade.
//! `nft(8)`.
//!
//! Rules are searched for what they compare with, not executed. The surprise: the old iptables has tables of its own, whose
//! policies count as well; a masquerade that is only there is not seen.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use plumbing::Fault;

use super::Report;
use crate::address;
use crate::capability::needs_net_admin;
use crate::legacy;
use crate::link::Link;
use crate::message::attribute;
use crate::netlink::Netlink;
use crate::network::Address;
use crate::nftables::message;
use crate::policies::{self, Chain, chain_of};

const GETRULE: u16 = (10 << 8) | 7;
const NEWRULE: u16 = (10 << 8) | 6;
/// `NFTA_DATA_VALUE`: what a rule compares with.
const DATA_VALUE: u16 = 1;

/// Checks the chains for what `port` forwards, and the masquerade for `own`, the addresses behind it of one family.
pub fn check(port: &Link, uplink: Option<&Link>, own: &[Address], report: &mut Report) -> Result<(), Fault> {
    let Some(family) = own.first().map(|own| if own.ip.is_ipv4() { "ip" } else { "ip6" }) else { return Ok(()) };
    let netlink = Netlink::open(netlink_sys::protocols::NETLINK_NETFILTER, "NETLINK_NETFILTER")?;
    let chains = policies::dropping(&netlink).map_err(needs_net_admin)?;
    let request = message(GETRULE, NLM_F_REQUEST | NLM_F_DUMP, 0, 0, &[]);
    let answers = netlink.get("list the nf_tables rules", "NFT_MSG_GETRULE", request).map_err(needs_net_admin)?;
    let rules: Vec<_> =
        answers.iter().filter(|answer| answer.kind == NEWRULE).map(|answer| &answer.payload[..]).collect();
    let name = port.name.as_str();
    for Chain { table, name: chain } in chains.iter().filter(|chain| chain.is_of(family)) {
        let mut own =
            rules.iter().filter(|rule| chain_of(rule).is_some_and(|of| of.table == *table && of.name == *chain));
        if !own.any(|rule| has(rule, &named(name))) {
            let problem = format!("the chain {chain} of {table} drops what it does not know, and does not name {name}");
            let insert = |by| {
                let place: Vec<_> = table.split(' ').chain([chain.as_str()]).collect();
                [&["nft", "insert", "rule"], &place[..], &[by, name, "accept"]].concat()
            };
            report.add_all("policy", problem, &[insert("iifname"), insert("oifname")]);
        }
    }
    check_old_tables(name, family, report)?;
    let Some(uplink) = uplink else { return Ok(()) };
    for ip in own.iter().map(|own| own.ip).filter(|ip| address::is_private(*ip)) {
        if !rules.iter().any(|rule| masquerades(rule, ip)) {
            let problem = format!("no rule masquerades {ip}: other networks have no way back to it");
            let (from, table) = (ip.to_string(), "outgoing");
            let place = "{ type nat hook postrouting priority 100 ; }";
            let chain =
                [&["nft", "add", "chain", family, table, "out"][..], &place.split(' ').collect::<Vec<_>>()].concat();
            let rule = [
                "nft",
                "add",
                "rule",
                family,
                table,
                "out",
                family,
                "saddr",
                &from,
                "oifname",
                &uplink.name,
                "masquerade",
            ];
            report.add_all("masquerade", problem, &[vec!["nft", "add", "table", family, table], chain, rule.to_vec()]);
        }
    }
    Ok(())
}

/// Checks the policies of the tables of the old iptables.
fn check_old_tables(name: &str, family: &str, report: &mut Report) -> Result<(), Fault> {
    let found = legacy::dropping().map_err(needs_net_admin)?;
    for part in found.unexamined.into_iter().chain(found.unreadable) {
        if !report.unexamined.contains(&part) {
            report.unexamined.push(part);
        }
    }
    for policy in found.policies.iter().filter(|policy| policy.family == family) {
        if !policy.names(name) {
            let (command, table) = (policy.command, policy.table);
            let problem = format!(
                "the chain FORWARD of {table} ({command}) drops what it does not know, and does not name {name}"
            );
            report.add_all("policy", problem, &policy.fixes(name));
        }
    }
    Ok(())
}

/// Returns whether this rule may masquerade what has this source: it does so without looking at the packet's headers, by a
/// set, or for the address or a network with it.
fn masquerades(rule: &[u8], ip: IpAddr) -> bool {
    if ![&b"masq\0"[..], b"MASQUERADE\0", b"SNAT\0"].iter().any(|name| has(rule, name)) {
        return false;
    }
    if has(rule, b"lookup\0") || !has(rule, b"payload\0") {
        return true;
    }
    let bits = if ip.is_ipv4() { 32 } else { 128 };
    (1..=bits).any(|prefix| {
        let network = match (Address { ip, prefix }.network()) {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        // Whole bytes are compared without a mask.
        let bytes = &network[..usize::from(prefix) / 8];
        has(rule, &value(&network)) || (prefix % 8 == 0 && has(rule, &value(bytes)))
    })
}

/// Returns the attribute `NFTA_DATA_VALUE` with these bytes.
fn value(bytes: &[u8]) -> Vec<u8> {
    attribute(DATA_VALUE, bytes)[..4 + bytes.len()].to_vec()
}

/// Returns such an attribute with the name of an interface, without its length: some programs pad names to the longest.
fn named(name: &str) -> Vec<u8> {
    [&DATA_VALUE.to_ne_bytes(), name.as_bytes(), b"\0"].concat()
}

fn has(rule: &[u8], part: &[u8]) -> bool {
    rule.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masquerade_is_for_an_address_or_a_network_with_it() {
        let own = "10.97.8.2".parse().unwrap();
        let rule = |bytes: &[u8]| [b"payload\0", &attribute(DATA_VALUE, bytes)[..], b"masq\0"].concat();
        for from in [&[10][..], &[10, 97, 8], &[10, 97, 8, 2], &[10, 97, 0, 0]] {
            assert!(masquerades(&rule(from), own), "{from:?}");
        }
        assert!(!masquerades(&rule(&[10, 97, 9]), own) && !masquerades(&rule(&[10, 97, 8, 2])[..12], own));
        assert!(masquerades(b"meta\0masq\0", own));
    }

    #[test]
    fn an_interface_is_named_by_its_whole_name() {
        let rule = attribute(DATA_VALUE, b"box0\0\0\0\0");
        assert!(has(&rule, &named("box0")));
        assert!(!has(&rule, &named("box")) && !has(&rule, &named("ox0")));
    }
}
