//! Bandwidth: the rate of what a container gets and sends, by a token bucket on each end of its pair; and, since root
//! inside could remove the one of its own end, by a rule of its port. `tc-tbf(8)`, `nft(8)`.
//!
//! The surprise: the burst decides. A bucket that is smaller than a packet passes nothing, without an error, and one that
//! is small for its rate costs a third of it. And a rule of nf_tables has a credit of one second on top of its burst, so
//! alone it would be no exact limit. Redirecting what arrives to a device with a bucket would be exact, but redirected
//! frames pass no rules, so the container could use any source address.

use std::fmt::{self, Display};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST};
use plumbing::command_line::units;
use plumbing::{Fault, narrate};

use crate::message::{attribute, attributes, nested, plain, string};
use crate::netlink::Netlink;

const NEWQDISC: u16 = 36;
const GETQDISC: u16 = 38;
const KIND: u16 = 1;
const OPTIONS: u16 = 2;
const PARAMETERS: u16 = 1;
const RATE64: u16 = 4;
const BURST: u16 = 6;
const ROOT: u32 = 0xffff_ffff;
/// The smallest bucket.
const LEAST_BURST: u64 = 4096;
/// How long a packet waits in the queue before it is dropped, in milliseconds.
const LATENCY: u64 = 50;
/// The header of a frame, with a VLAN tag.
const FRAME: u64 = 18;
/// The longest packet, if none is set.
const DEFAULT_MTU: u32 = 1500;

/// A rate in bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(u64);

impl Rate {
    /// Parses `10mbit`, `500kbit`, `1gbit`, `10M`; an error says what is valid.
    pub fn parse(text: &str) -> Result<Rate, String> {
        units::bit_rate(text).map(Rate)
    }

    /// Returns it in bytes per second.
    pub fn bytes(self) -> u64 {
        self.0 / 8
    }

    /// Returns the size of the bucket for packets of this length: it has room for one, and for a millisecond.
    pub fn burst(self, mtu: Option<u32>) -> u64 {
        LEAST_BURST.max(u64::from(mtu.unwrap_or(DEFAULT_MTU)) + FRAME).max(self.bytes() / 1000)
    }
}

impl Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&units::bit_rate_text(self.0))
    }
}

/// Limits what leaves by the link, and reads back what the kernel made of it.
pub fn limit(netlink: &Netlink, name: &str, index: u32, rate: Rate, mtu: Option<u32>) -> Result<(), Fault> {
    let burst = rate.burst(mtu);
    let options =
        [parameters(rate, burst), attribute(BURST, &(burst as u32).to_ne_bytes()), over_32_bits(rate)].concat();
    let attributes = [string(KIND, "tbf"), nested(OPTIONS, &[options])].concat();
    netlink.change(
        format!("limit {name} to {rate}"),
        &format!("RTM_NEWQDISC, TCA_KIND \"tbf\", {} bytes/s, burst {burst}", rate.bytes()),
        "what leaves by it; tc-tbf(8)",
        plain(
            NEWQDISC,
            NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
            &[header(index, ROOT), attributes].concat(),
        ),
    )?;
    match read_back(netlink, index)? {
        Some(found) if found != rate.bytes() => {
            Err(Fault::new(format!("cannot limit {name} to {rate}: the kernel limits it to {found} bytes a second")))
        }
        _ => Ok(()),
    }
}

/// `struct tc_tbf_qopt`: the rate, no peak rate, the longest queue in bytes, and what follows from other attributes.
fn parameters(rate: Rate, burst: u64) -> Vec<u8> {
    let (ethernet, queue) = (1u8, rate.bytes() * LATENCY / 1000 + burst);
    let mut bytes = vec![0, ethernet, 0, 0, 0, 0, 0, 0];
    bytes.extend(u32::try_from(rate.bytes()).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend([0; 12]);
    bytes.extend(u32::try_from(queue).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend([0; 8]);
    attribute(PARAMETERS, &bytes)
}

fn over_32_bits(rate: Rate) -> Vec<u8> {
    if u32::try_from(rate.bytes()).is_ok() { Vec::new() } else { attribute(RATE64, &rate.bytes().to_ne_bytes()) }
}

/// `struct tcmsg`.
fn header(index: u32, parent: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(index.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(parent.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes
}

fn read_back(netlink: &Netlink, index: u32) -> Result<Option<u64>, Fault> {
    if narrate::is_dry_run() {
        return Ok(None);
    }
    // A request for a single one is answered on some kernels only.
    let request = plain(GETQDISC, NLM_F_REQUEST | NLM_F_DUMP, &header(index, 0));
    let answers = netlink.get("read back the limit", "RTM_GETQDISC", request)?;
    let is_here = |payload: &[u8]| payload.get(4..8) == Some(&index.to_ne_bytes()[..]);
    let here = answers.iter().filter(|answer| answer.kind == NEWQDISC && is_here(&answer.payload));
    Ok(here.filter_map(|answer| known_rate(&answer.payload)).next())
}

fn known_rate(payload: &[u8]) -> Option<u64> {
    let value = |all: &[u8], wanted| {
        attributes(all).into_iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| value.to_vec())
    };
    let options = value(payload.get(20..)?, OPTIONS)?;
    if let Some(rate) = value(&options, RATE64) {
        return rate.try_into().ok().map(u64::from_ne_bytes);
    }
    let parameters = value(&options, PARAMETERS)?;
    parameters.get(8..12)?.try_into().ok().map(|rate| u64::from(u32::from_ne_bytes(rate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_bits_in_decimal_units() {
        for (text, bits) in
            [("10mbit", 10_000_000), ("10M", 10_000_000), ("2.5Gbit", 2_500_000_000), ("64kbit", 64_000)]
        {
            assert_eq!(Rate::parse(text), Ok(Rate(bits)), "{text}");
        }
        for text in ["", "mbit", "10", "10mb", "10MiB", "-1mbit", "1e9", "200gbit", "inf"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
        assert_eq!(Rate(10_000_000).to_string(), "10mbit");
    }

    #[test]
    fn a_bucket_has_room_for_a_packet_and_for_a_millisecond() {
        assert_eq!(Rate(1_000_000).burst(None), 4096);
        assert_eq!(Rate(1_000_000).burst(Some(9000)), 9018);
        assert_eq!(Rate(1_000_000_000).burst(None), 125_000);
    }
}
