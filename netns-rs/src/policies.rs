//! Chains of others that drop what is forwarded unless a rule of theirs accepts it. `nft(8)`.
//!
//! The surprise: no rule of ours can overrule such a chain, since "accept" ends only the chain that it is in. Docker sets
//! such a policy, and so do firewalls; the container is cut off in silence. So a warning names the chain.

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use plumbing::{Fault, narrate};

use crate::fence::FENCE;
use crate::message::attributes;
use crate::netlink::Netlink;
use crate::nftables::message;

const GETCHAIN: u16 = (10 << 8) | 4;
const NEWCHAIN: u16 = (10 << 8) | 3;
const FORWARD: u32 = 2;
const DROP: u32 = 0;

/// Warns about chains that drop what is forwarded by default.
pub fn warn(bridge: &str) -> Result<(), Fault> {
    if narrate::is_dry_run() {
        return Ok(());
    }
    let netlink = Netlink::open(netlink_sys::protocols::NETLINK_NETFILTER, "NETLINK_NETFILTER")?;
    let request = message(GETCHAIN, NLM_F_REQUEST | NLM_F_DUMP, 0, 0, &[]);
    let answers = netlink.get("list the nf_tables chains", "NFT_MSG_GETCHAIN", request)?;
    for answer in answers.iter().filter(|answer| answer.kind == NEWCHAIN) {
        if let Some((table, chain)) = dropping(&answer.payload).filter(|(table, _)| table != &format!("inet {FENCE}")) {
            narrate::warn(format_args!(
                "the chain {chain} of the nf_tables table {table} drops what it does not know, which may cut the container \
                 off; allow it: nft insert rule {table} {chain} iifname {bridge} accept; nft insert rule {table} {chain} \
                 oifname {bridge} accept"
            ));
        }
    }
    Ok(())
}

/// Returns the table and the name of a chain that drops what is forwarded.
fn dropping(payload: &[u8]) -> Option<(String, String)> {
    let (chain_table, chain_name, chain_hook, chain_policy, hook_number) = (1, 3, 4, 5, 1);
    let all = attributes(payload.get(4..)?);
    let value = |wanted: u16| all.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_be_bytes);
    let family = match payload.first()? {
        1 => "inet",
        2 => "ip",
        10 => "ip6",
        _ => return None,
    };
    let hook = attributes(value(chain_hook)?);
    let hook = hook.iter().find(|(kind, _)| *kind == hook_number).and_then(|(_, value)| number(value))?;
    let drops = hook == FORWARD && number(value(chain_policy)?)? == DROP;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').escape_debug().to_string();
    drops.then_some((format!("{family} {}", text(value(chain_table)?)), text(value(chain_name)?)))
}
