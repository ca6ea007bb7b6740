//! Chains of others that drop what is forwarded unless a rule of theirs accepts it. `nft(8)`.
//!
//! The surprise: no rule of ours can overrule such a chain, since "accept" ends only the chain that it is in. Docker sets
//! such a policy, and so do firewalls; the container is cut off in silence. So a warning names the chain.

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use plumbing::{Fault, narrate};

use crate::fence::FENCE;
use crate::legacy;
use crate::message::attributes;
use crate::netlink::Netlink;
use crate::nftables::message;

const GETCHAIN: u16 = (10 << 8) | 4;
const NEWCHAIN: u16 = (10 << 8) | 3;
const FORWARD: u32 = 2;
const DROP: u32 = 0;

/// A chain.
pub struct Chain {
    /// The family and the name of its table, as nft(8) writes them.
    pub table: String,
    /// Its name.
    pub name: String,
}

impl Chain {
    /// Returns whether packets of the family `ip` or `ip6` pass it.
    pub fn is_of(&self, family: &str) -> bool {
        self.table.split(' ').next().is_some_and(|own| own == family || own == "inet")
    }
}

/// Warns about chains that drop what is forwarded by default.
pub fn warn(bridge: &str) -> Result<(), Fault> {
    if narrate::is_dry_run() {
        return Ok(());
    }
    let netlink = Netlink::open(netlink_sys::protocols::NETLINK_NETFILTER, "NETLINK_NETFILTER")?;
    for Chain { table, name: chain } in dropping(&netlink)? {
        narrate::warn(format_args!(
            "the chain {chain} of the nf_tables table {table} drops what it does not know, which may cut the container \
             off; allow it: nft insert rule {table} {chain} iifname {bridge} accept; nft insert rule {table} {chain} \
             oifname {bridge} accept"
        ));
    }
    // In a user namespace the lists cannot be read: its root has no tables of the old kind, or has made them itself.
    let found = legacy::dropping()?;
    for part in &found.unexamined {
        narrate::warn(format_args!("not examined: {part}"));
    }
    for policy in found.policies {
        let [incoming, outgoing] = policy.fixes(bridge).map(|words| words.join(" "));
        narrate::warn(format_args!(
            "the chain FORWARD of the {} table {} drops what it does not know, which may cut the container off; allow \
             it: {incoming}; {outgoing}",
            policy.command, policy.table
        ));
    }
    Ok(())
}

/// Lists the chains of others that drop what is forwarded by default.
pub fn dropping(netlink: &Netlink) -> Result<Vec<Chain>, Fault> {
    let request = message(GETCHAIN, NLM_F_REQUEST | NLM_F_DUMP, 0, 0, &[]);
    let answers = netlink.get("list the nf_tables chains", "NFT_MSG_GETCHAIN", request)?;
    let chains = answers.iter().filter(|answer| answer.kind == NEWCHAIN && drops(&answer.payload) == Some(true));
    let chains = chains.filter_map(|answer| place(&answer.payload, 3));
    Ok(chains.filter(|chain| chain.table != format!("inet {FENCE}")).collect())
}

/// Returns whether a chain drops what is forwarded.
fn drops(payload: &[u8]) -> Option<bool> {
    let (chain_hook, chain_policy, hook_number) = (4, 5, 1);
    let all = attributes(payload.get(4..)?);
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_be_bytes);
    let hook = attributes(value(&all, chain_hook)?);
    let hook = value(&hook, hook_number).and_then(number)?;
    Some(hook == FORWARD && number(value(&all, chain_policy)?)? == DROP)
}

/// Returns the chain of a rule.
pub fn chain_of(payload: &[u8]) -> Option<Chain> {
    place(payload, 2)
}

/// Returns the table and the chain of a message, in which `chain` is the attribute with the name of the chain.
fn place(payload: &[u8], chain: u16) -> Option<Chain> {
    let family = match payload.first()? {
        1 => "inet",
        2 => "ip",
        10 => "ip6",
        _ => return None,
    };
    let all = attributes(payload.get(4..)?);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').escape_debug().to_string();
    Some(Chain { table: format!("{family} {}", text(value(&all, 1)?)), name: text(value(&all, chain)?) })
}

fn value<'a>(all: &[(u16, &'a [u8])], wanted: u16) -> Option<&'a [u8]> {
    all.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value)
}
