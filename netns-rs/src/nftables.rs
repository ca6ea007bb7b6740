//! A table of nf_tables for one container: its packets leave the host under the host's address. `nft(8)`, `netlink(7)`.
//!
//! The messages are written here by hand, since calling nft(8) costs ten times as much and would make it a dependency.
//! The table is owned by the socket that made it, so the kernel removes it even when its guardian is killed. There is
//! no forward chain: a verdict "accept" ends its own chain only, so it could not overrule anybody's "drop".

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST};
use nix::errno::Errno;
use plumbing::Fault;
use std::net::Ipv4Addr;

use crate::message::{align, attributes};
use crate::netlink::Netlink;

const SUBSYSTEM: u16 = 10; // NFNL_SUBSYS_NFTABLES
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEWTABLE: u16 = SUBSYSTEM << 8;
const GETTABLE: u16 = NEWTABLE | 1;
const DELTABLE: u16 = NEWTABLE | 2;
const NEWCHAIN: u16 = NEWTABLE | 3;
const NEWRULE: u16 = NEWTABLE | 6;
const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const TABLE_USERDATA: u16 = 6;
const F_OWNER: u32 = 2; // since Linux 5.12
const NESTED: u16 = 1 << 15;

/// A table that this process made, and the socket that owns it.
pub struct Table {
    netlink: Netlink,
    name: String,
}

/// What exists of a table that somebody made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// The comment on it.
    pub comment: Option<String>,
}

impl Table {
    /// Opens a socket for a table called `name`, which is not made yet.
    pub fn open(name: String) -> Result<Table, Fault> {
        let netlink = Netlink::open(netlink_sys::protocols::NETLINK_NETFILTER, "NETLINK_NETFILTER")?;
        Ok(Table { netlink, name })
    }

    /// Makes the table: whatever comes from `source` and leaves by another interface than `bridge` gets the address of
    /// that interface.
    pub fn make(&self, source: &[Ipv4Addr], bridge: &str, comment: Option<&str>) -> Result<(), Fault> {
        match self.try_make(F_OWNER, source, bridge, comment) {
            // Before Linux 5.12: the guardian removes the table at the end, though not if it is killed.
            Err(fault) if matches!(fault.errno(), Some(Errno::EINVAL | Errno::EOPNOTSUPP)) => {
                self.try_make(0, source, bridge, comment)
            }
            answer => answer,
        }
    }

    fn try_make(&self, flags: u32, source: &[Ipv4Addr], bridge: &str, comment: Option<&str>) -> Result<(), Fault> {
        let create = NLM_F_REQUEST | NLM_F_CREATE;
        let mut batch = message(BATCH_BEGIN, NLM_F_REQUEST, 0, SUBSYSTEM, &[]);
        batch.extend(message(NEWTABLE, create | NLM_F_EXCL, IPV4, 0, &table(&self.name, flags, comment)));
        batch.extend(message(NEWCHAIN, create, IPV4, 0, &postrouting(&self.name)));
        for (at, ip) in source.iter().enumerate() {
            // The last message of the batch asks for the answer that stands for all of them.
            let ack = if at + 1 == source.len() { NLM_F_ACK } else { 0 };
            batch.extend(message(NEWRULE, create | ack, IPV4, 0, &masquerade(&self.name, *ip, bridge)));
        }
        self.send(
            format!("make the nf_tables table {}", self.name),
            "NFT_MSG_NEWTABLE, NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE",
            "ip saddr CONTAINER oifname != BRIDGE masquerade; nft(8)",
            batch,
        )
    }

    /// Removes the table.
    pub fn remove(&self) -> Result<(), Fault> {
        let mut batch = message(BATCH_BEGIN, NLM_F_REQUEST, 0, SUBSYSTEM, &[]);
        batch.extend(message(DELTABLE, NLM_F_REQUEST | NLM_F_ACK, IPV4, 0, &table(&self.name, 0, None)));
        self.send(
            format!("delete the nf_tables table {}", self.name),
            "NFT_MSG_DELTABLE",
            "no packet of the container is left to rewrite",
            batch,
        )
    }

    fn send(&self, goal: String, text: &str, why: &str, mut batch: Vec<u8>) -> Result<(), Fault> {
        batch.extend(message(BATCH_END, NLM_F_REQUEST, 0, SUBSYSTEM, &[]));
        self.netlink.change_up_to(goal, text, why, batch, 1)
    }

    /// Lists all IPv4 tables of the network namespace.
    pub fn all(&self) -> Result<Vec<Known>, Fault> {
        let request = message(GETTABLE, NLM_F_REQUEST | NLM_F_DUMP, IPV4, 0, &[]);
        let answers = self.netlink.get("list the nf_tables tables", "NFT_MSG_GETTABLE", request)?;
        Ok(answers.iter().filter(|answer| answer.kind == NEWTABLE).map(|answer| known(&answer.payload)).collect())
    }
}

const IPV4: u8 = 2; // NFPROTO_IPV4

fn known(payload: &[u8]) -> Known {
    let mut known = Known { name: String::new(), comment: None };
    for (kind, value) in attributes(payload.get(4..).unwrap_or_default()) {
        match (kind, value) {
            (TABLE_NAME, name) => known.name = text(name),
            // One type byte, 0 for a comment, one length byte.
            (TABLE_USERDATA, [0, length, comment @ ..]) => {
                known.comment = comment.get(..usize::from(*length)).map(text);
            }
            _ => {}
        }
    }
    known
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

/// A netlink message with nfnetlink's own header after the common one; its `resource` is big-endian.
fn message(kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(((20 + attributes.len()) as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]); // The number is given on sending, the port by the kernel.
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(attributes);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len();
    let mut bytes = (length as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(align(length), 0);
    bytes
}

fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NESTED, &parts.concat())
}

fn string(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), b"\0"].concat())
}

/// Numbers in nf_tables are big-endian.
fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn table(name: &str, flags: u32, comment: Option<&str>) -> Vec<u8> {
    let mut bytes = string(TABLE_NAME, name);
    if flags != 0 {
        bytes.extend(number(TABLE_FLAGS, flags));
    }
    if let Some(comment) = comment {
        let length = comment.len() as u8 + 1;
        bytes.extend(attribute(TABLE_USERDATA, &[&[0, length], comment.as_bytes(), b"\0"].concat()));
    }
    bytes
}

const CHAIN: &str = "postrouting";

/// `type nat hook postrouting priority srcnat`.
fn postrouting(table: &str) -> Vec<u8> {
    const NF_INET_POST_ROUTING: u32 = 4;
    const NF_IP_PRI_NAT_SRC: u32 = 100;
    let (chain_table, chain_name, chain_hook, chain_type) = (1, 3, 4, 7);
    [
        string(chain_table, table),
        string(chain_name, CHAIN),
        nested(chain_hook, &[number(1, NF_INET_POST_ROUTING), number(2, NF_IP_PRI_NAT_SRC)]),
        string(chain_type, "nat"),
    ]
    .concat()
}

/// `ip saddr SOURCE oifname != BRIDGE masquerade`.
fn masquerade(table: &str, source: Ipv4Addr, bridge: &str) -> Vec<u8> {
    const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
    const SOURCE_AT: u32 = 12;
    const NFT_META_OIFNAME: u32 = 7;
    const REGISTER: u32 = 1;
    let (equal, unequal) = (0, 1);
    let mut bridge = bridge.as_bytes().to_vec();
    bridge.resize(16, 0); // The kernel compares whole IFNAMSIZ fields.
    let compare = |operator, value: &[u8]| {
        expression("cmp", &[number(1, REGISTER), number(2, operator), nested(3, &[attribute(1, value)])])
    };
    let load_source = [
        number(1, REGISTER),
        number(2, NFT_PAYLOAD_NETWORK_HEADER),
        number(3, SOURCE_AT),
        number(4, size_of::<Ipv4Addr>() as u32),
    ];
    let expressions = [
        expression("payload", &load_source),
        compare(equal, &source.octets()),
        expression("meta", &[number(1, REGISTER), number(2, NFT_META_OIFNAME)]),
        compare(unequal, &bridge),
        expression("masq", &[]),
    ];
    let (rule_table, rule_chain, rule_expressions) = (1, 2, 4);
    [string(rule_table, table), string(rule_chain, CHAIN), nested(rule_expressions, &expressions)].concat()
}

fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    let (element, expression_name, expression_data) = (1, 1, 2);
    nested(element, &[string(expression_name, name), nested(expression_data, data)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_but_their_length_is_not() {
        assert_eq!(string(1, "ab"), [7, 0, 1, 0, b'a', b'b', 0, 0]);
        assert_eq!(number(2, 100), [8, 0, 2, 0, 0, 0, 0, 100]);
    }

    #[test]
    fn a_comment_survives_the_way_into_a_table() {
        let payload = [&[IPV4, 0, 0, 0][..], &table("netns-rs-veth0", 0, Some("ip_forward was 0"))].concat();
        let expected = Known { name: "netns-rs-veth0".into(), comment: Some("ip_forward was 0".into()) };
        assert_eq!(known(&payload), expected);
    }

    #[test]
    fn messages_tell_their_own_length() {
        let bytes = message(NEWTABLE, NLM_F_REQUEST, IPV4, 0, &string(TABLE_NAME, "t"));
        assert_eq!(bytes[..4], (bytes.len() as u32).to_ne_bytes());
        assert_eq!(bytes.len() % 4, 0);
    }
}
