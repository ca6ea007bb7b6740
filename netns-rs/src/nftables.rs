//! Tables of nf_tables: replacing one as a whole, listing and deleting. `nft(8)`, `netlink(7)`.
//!
//! The messages are written here by hand, since calling nft(8) takes ten times as long and would make it a dependency.
//! A batch is applied as a whole or not at all. So a table is never changed: it is deleted and made again in one batch,
//! and no packet ever sees half of it.

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST};
use nix::errno::Errno;
use plumbing::Fault;

use crate::message::{attribute, attributes, nested, number, string};
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
const TABLE_USERDATA: u16 = 6;
/// `NFT_USERDATA_MAXLEN`, minus type, length and NUL.
pub const LONGEST_COMMENT: usize = 253;

/// The packets that a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet = 1,
    /// Frames of one device.
    Netdev = 5,
}

/// A table to be made.
pub struct Table {
    /// The packets that it sees.
    pub family: Family,
    /// Its name.
    pub name: String,
    /// The comment on it.
    pub comment: Option<String>,
    /// Its chains.
    pub chains: Vec<Chain>,
}

/// A chain of rules.
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where the kernel calls it; without, other chains jump to it, and are made after it.
    pub place: Option<Place>,
    /// Its rules, each as its expressions.
    pub rules: Vec<Vec<Vec<u8>>>,
}

/// The place at which the kernel calls a chain.
pub struct Place {
    /// `filter` or `nat`.
    pub kind: &'static str,
    /// The number of the hook, such as `NF_INET_FORWARD`.
    pub hook: u32,
    /// The order among the chains of that hook.
    pub priority: i32,
    /// The device, in family netdev.
    pub device: Option<String>,
}

impl Place {
    /// Returns the place of a chain that filters what arrives on a device.
    pub fn ingress(device: &str) -> Place {
        const NF_NETDEV_INGRESS: u32 = 0;
        Place { kind: "filter", hook: NF_NETDEV_INGRESS, priority: 0, device: Some(device.to_owned()) }
    }
}

/// The facts about an existing table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its family; `None` for a family that we never use.
    pub family: Option<Family>,
    /// Its name.
    pub name: String,
    /// The comment on it.
    pub comment: Option<String>,
}

/// The tables of the network namespace in which it was opened.
pub struct Nftables {
    netlink: Netlink,
}

impl Nftables {
    /// Opens a socket.
    pub fn open() -> Result<Nftables, Fault> {
        let netlink = Netlink::open(netlink_sys::protocols::NETLINK_NETFILTER, "NETLINK_NETFILTER")?;
        Ok(Nftables { netlink })
    }

    /// Opens a socket; `None` if the kernel does not support nf_tables, and so has no table.
    pub fn open_if_there() -> Result<Option<Nftables>, Fault> {
        match Nftables::open() {
            Err(fault) if fault.errno() == Some(Errno::EPROTONOSUPPORT) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Makes the tables, and replaces those with the same names.
    pub fn replace(&self, tables: &[Table], why: &str) -> Result<(), Fault> {
        let create = NLM_F_REQUEST | NLM_F_CREATE;
        let mut messages = Vec::new();
        for table in tables {
            let name = string(TABLE_NAME, &table.name);
            // Only an existing table can be deleted; making one that exists leaves it unchanged.
            messages.push((NEWTABLE, create, table.family, name.clone()));
            messages.push((DELTABLE, NLM_F_REQUEST, table.family, name.clone()));
            let comment = table.comment.as_deref().map(comment).unwrap_or_default();
            messages.push((NEWTABLE, create, table.family, [name.clone(), comment].concat()));
            for chain in &table.chains {
                messages.push((NEWCHAIN, create, table.family, base(&table.name, chain)));
                for rule in &chain.rules {
                    let place = [string(1, &table.name), string(2, &chain.name), nested(4, rule)].concat();
                    messages.push((NEWRULE, create | netlink_packet_core::NLM_F_APPEND, table.family, place));
                }
            }
        }
        let names: Vec<_> = tables.iter().map(|table| table.name.as_str()).collect();
        self.send(
            format!("make the nf_tables table {}", names.join(" and ")),
            "NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE, NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE",
            why,
            messages,
        )
    }

    /// Deletes a table.
    pub fn delete(&self, family: Family, name: &str, why: &str) -> Result<(), Fault> {
        let message = (DELTABLE, NLM_F_REQUEST, family, string(TABLE_NAME, name));
        match self.send(format!("delete the nf_tables table {name}"), "NFT_MSG_DELTABLE", why, vec![message]) {
            // Another process has already deleted it.
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => Ok(()),
            outcome => outcome,
        }
    }

    fn send(
        &self,
        goal: String,
        text: &str,
        why: &str,
        messages: Vec<(u16, u16, Family, Vec<u8>)>,
    ) -> Result<(), Fault> {
        let mut batch = message(BATCH_BEGIN, NLM_F_REQUEST, 0, SUBSYSTEM, &[]);
        let last = messages.len().saturating_sub(1);
        for (at, (kind, flags, family, attributes)) in messages.into_iter().enumerate() {
            // The last message of the batch requests the answer, which is valid for all of them.
            let ack = if at == last { NLM_F_ACK } else { 0 };
            batch.extend(message(kind, flags | ack, family as u8, 0, &attributes));
        }
        batch.extend(message(BATCH_END, NLM_F_REQUEST, 0, SUBSYSTEM, &[]));
        self.netlink.change_up_to(goal, text, why, batch, 1)
    }

    /// Lists the tables of all families; none if the kernel does not support nf_tables.
    pub fn tables(&self) -> Result<Vec<Known>, Fault> {
        const ALL_FAMILIES: u8 = 0;
        let request = message(GETTABLE, NLM_F_REQUEST | NLM_F_DUMP, ALL_FAMILIES, 0, &[]);
        let answers = match self.netlink.get("list the nf_tables tables", "NFT_MSG_GETTABLE", request) {
            // The subsystem is missing.
            Err(fault) if fault.errno() == Some(Errno::EINVAL) => return Ok(Vec::new()),
            answers => answers.map_err(crate::capability::needs_net_admin)?,
        };
        Ok(answers.iter().filter(|answer| answer.kind == NEWTABLE).map(|answer| known(&answer.payload)).collect())
    }
}

fn known(payload: &[u8]) -> Known {
    let family = [Family::Inet, Family::Netdev].into_iter().find(|family| payload.first() == Some(&(*family as u8)));
    let mut known = Known { family, name: String::new(), comment: None };
    for (kind, value) in attributes(payload.get(4..).unwrap_or_default()) {
        match (kind, value) {
            (TABLE_NAME, name) => known.name = text(name),
            // One byte for the type (0 is a comment), one for the length.
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

/// Makes a netlink message with nfnetlink's own header after the common one; its `resource` is big-endian.
pub fn message(kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
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

fn comment(text: &str) -> Vec<u8> {
    let length = text.len().min(LONGEST_COMMENT) as u8 + 1;
    attribute(TABLE_USERDATA, &[&[0, length], text.as_bytes(), b"\0"].concat())
}

/// Describes `type KIND hook HOOK priority PRIORITY`, with `device DEVICE` in family netdev.
fn base(table: &str, chain: &Chain) -> Vec<u8> {
    let (chain_table, chain_name, chain_hook, chain_type) = (1, 3, 4, 7);
    let mut parts = vec![string(chain_table, table), string(chain_name, &chain.name)];
    if let Some(Place { kind, hook, priority, device }) = &chain.place {
        let mut hook = vec![number(1, *hook), number(2, *priority as u32)];
        hook.extend(device.as_deref().map(|device| string(3, device)));
        parts.extend([nested(chain_hook, &hook), string(chain_type, kind)]);
    }
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_read_as_it_was_written() {
        let attributes = [string(TABLE_NAME, "netns-rs"), comment("forwarding was 0: 4")].concat();
        let payload = [&[Family::Inet as u8, 0, 0, 0][..], &attributes].concat();
        let comment = Some("forwarding was 0: 4".into());
        assert_eq!(known(&payload), Known { family: Some(Family::Inet), name: "netns-rs".into(), comment });
    }

    #[test]
    fn messages_contain_their_own_length() {
        let bytes = message(NEWTABLE, NLM_F_REQUEST, 2, 0, &string(TABLE_NAME, "t"));
        assert_eq!(bytes[..4], (bytes.len() as u32).to_ne_bytes());
        assert_eq!(bytes.len() % 4, 0);
    }
}
