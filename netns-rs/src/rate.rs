//! Bandwidth: the rate of what a container gets and sends, by a token bucket on each end of its pair; and, since root
//! inside could remove the one of its own end, by a rule of its port. `tc-tbf(8)`, `nft(8)`.
//!
//! The surprise: the burst decides. A bucket that is smaller than a packet passes nothing, without an error, and one that
//! is small for its rate costs a third of it. And a rule of nf_tables has a credit of one second on top of its burst, so
//! alone it would be no exact limit. Redirecting what arrives to a device with a bucket would be exact, but redirected
//! frames pass no rules, so the container could use any source address.

use std::fmt::{self, Display};

use plumbing::command_line::units;

use crate::message::{attribute, attributes};

const PARAMETERS: u16 = 1;
const RATE64: u16 = 4;
const BURST: u16 = 6;
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

    /// Parses a rate or `none`.
    pub fn parse_limit(text: &str) -> Result<Limit, String> {
        if text == "none" { Ok(Limit(None)) } else { Rate::parse(text).map(|rate| Limit(Some(rate))) }
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

/// A value of `--rate`: a rate, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub Option<Rate>);

impl Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&units::bit_rate_text(self.0))
    }
}

/// Returns the options of a token bucket for packets of this length.
pub fn options(rate: Rate, mtu: Option<u32>) -> Vec<u8> {
    let burst = rate.burst(mtu);
    let over_32_bits = u32::try_from(rate.bytes()).is_err();
    let long = if over_32_bits { attribute(RATE64, &rate.bytes().to_ne_bytes()) } else { Vec::new() };
    [parameters(rate, burst), attribute(BURST, &(burst as u32).to_ne_bytes()), long].concat()
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

/// Reads the rate of a token bucket from its options.
pub fn read(options: &[u8]) -> Option<Rate> {
    let all = attributes(options);
    let value = |wanted| all.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
    let bytes = match value(RATE64) {
        Some(rate) => u64::from_ne_bytes(rate.try_into().ok()?),
        None => u64::from(u32::from_ne_bytes(value(PARAMETERS)?.get(8..12)?.try_into().ok()?)),
    };
    bytes.checked_mul(8).map(Rate)
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
    fn the_kernel_is_asked_for_what_is_read_back() {
        for bits in [64_000, 10_000_000, 40_000_000_000] {
            assert_eq!(read(&options(Rate(bits), None)), Some(Rate(bits)), "{bits}");
        }
        assert_eq!(read(&[1, 2, 3]), None);
        assert_eq!(Rate::parse_limit("none"), Ok(Limit(None)));
    }

    #[test]
    fn a_bucket_has_room_for_a_packet_and_for_a_millisecond() {
        assert_eq!(Rate(1_000_000).burst(None), 4096);
        assert_eq!(Rate(1_000_000).burst(Some(9000)), 9018);
        assert_eq!(Rate(1_000_000_000).burst(None), 125_000);
    }
}
