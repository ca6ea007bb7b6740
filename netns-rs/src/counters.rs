//! What has passed an interface, and what was dropped there: its own counters, and those of its queues. `rtnetlink(7)`,
//! `tc(8)`.
//!
//! The surprise: an interface does not count what its queue drops, such as the bucket of `--rate`.

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_packet_route::link::Stats64;
use plumbing::Fault;
use serde::{Deserialize, Serialize};

use crate::link::Link;
use crate::message::{attributes, plain};
use crate::netlink::Netlink;
use crate::qdisc::{GETQDISC, NEWQDISC, ROOT};

/// `TCA_STATS`: a `struct tc_stats`.
const STATS: u16 = 7;
/// The place of the queue for packets that come in (`TC_H_INGRESS`).
const INGRESS: u32 = 0xffff_fff1;

/// The totals of an interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The bytes that came in.
    pub received: u64,
    /// The packets that came in.
    pub received_packets: u64,
    /// The bytes that went out.
    pub sent: u64,
    /// The packets that went out.
    pub sent_packets: u64,
    /// The packets of both directions that were dropped.
    pub dropped: u64,
}

impl Counters {
    /// Returns the interface's own counters.
    pub fn of(stats: &Stats64) -> Counters {
        Counters {
            received: stats.rx_bytes,
            received_packets: stats.rx_packets,
            sent: stats.tx_bytes,
            sent_packets: stats.tx_packets,
            dropped: stats.rx_dropped + stats.tx_dropped,
        }
    }
}

/// Adds what the queues of the socket's namespace have dropped.
pub fn add_queues(netlink: &Netlink, links: &mut [Link]) -> Result<(), Fault> {
    let answers = netlink.get("read the counters of the queues", "RTM_GETQDISC", {
        plain(GETQDISC, NLM_F_REQUEST | NLM_F_DUMP, &[0; 20])
    })?;
    for answer in answers.iter().filter(|answer| answer.kind == NEWQDISC) {
        let Some((index, dropped)) = dropped(&answer.payload) else { continue };
        let link = links.iter_mut().find(|link| link.index == index);
        if let Some(counters) = link.and_then(|link| link.counters.as_mut()) {
            counters.dropped += u64::from(dropped);
        }
    }
    Ok(())
}

/// Returns the index of the interface, and what was dropped. A queue inside another one is left out: the outer one counts
/// its packets, too.
fn dropped(payload: &[u8]) -> Option<(u32, u32)> {
    let number = |bytes: &[u8], at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if ![ROOT, INGRESS].contains(&number(payload, 12)?) {
        return None;
    }
    let all = attributes(payload.get(20..)?);
    let (_, stats) = all.iter().find(|(kind, _)| *kind == STATS)?;
    // After the bytes, of 64 bits, and the packets.
    Some((number(payload, 4)?, number(stats, 12)?))
}
