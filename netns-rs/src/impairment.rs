//! `--delay`, `--jitter`, `--loss`: what a bad network does to packets. `tc-netem(8)`. Pure.
//!
//! The surprise: with jitter a packet can overtake an earlier one, as packets on the internet do; TCP takes that for loss.

use std::fmt::{self, Display};

use crate::message::{attribute, attributes};

const LATENCY64: u16 = 10;
const JITTER64: u16 = 11;
/// The length of `struct tc_netem_qopt`, which the attributes follow.
const PARAMETERS: usize = 24;
/// The longest delay, in nanoseconds: a minute.
const LONGEST: u64 = 60 * 1_000_000_000;

/// What happens to the packets of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Impairment {
    /// How late a packet is.
    pub delay: Duration,
    /// How much more or less.
    pub jitter: Duration,
    /// How many are lost.
    pub loss: Loss,
}

/// A time in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(u64);

/// A probability, in parts of `u32::MAX`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss(u32);

impl Duration {
    /// Parses `50ms`, `1.5ms`, `200us` or `1s`; an error says what is valid.
    pub fn parse(text: &str) -> Result<Duration, String> {
        let valid = || "expected a time up to 60s, such as 50ms, 1.5ms, 200us or 1s".to_owned();
        let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(valid)?;
        let (number, unit) = text.split_at(at);
        let factor = match unit {
            "us" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            _ => return Err(valid()),
        };
        let number: f64 = number.parse().map_err(|_| valid())?;
        let nanoseconds = (number * factor).round();
        if nanoseconds <= LONGEST as f64 { Ok(Duration(nanoseconds as u64)) } else { Err(valid()) }
    }
}

impl Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n % 1_000_000 == 0 => write!(f, "{}ms", n / 1_000_000),
            n => write!(f, "{}us", n / 1000),
        }
    }
}

impl Loss {
    /// Parses `1%`, `0.5%`; an error says what is valid.
    pub fn parse(text: &str) -> Result<Loss, String> {
        let valid = || "expected a share of the packets from 0% to 100%, such as 1% or 0.5%".to_owned();
        let number = text.strip_suffix('%').ok_or_else(valid)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(valid());
        }
        let percent: f64 = number.parse().map_err(|_| valid())?;
        if percent > 100.0 {
            return Err(valid());
        }
        Ok(Loss((percent / 100.0 * f64::from(u32::MAX)).round() as u32))
    }
}

impl Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = f64::from(self.0) / f64::from(u32::MAX) * 100.0;
        write!(f, "{}%", (percent * 1e4).round() / 1e4)
    }
}

impl Impairment {
    /// Returns whether nothing happens to packets.
    pub fn is_none(&self) -> bool {
        *self == Impairment::default()
    }

    /// Returns the options of a netem queue: `struct tc_netem_qopt`, then attributes with times in nanoseconds.
    pub fn options(&self) -> Vec<u8> {
        /// Packets in the queue: what a gigabit sends in the delay, roughly. The kernel's 1000 would lose packets.
        const PER_MILLISECOND: u64 = 100;
        let queue = (1000 + (self.delay.0 + self.jitter.0) / 1_000_000 * PER_MILLISECOND).min(100_000);
        let mut bytes = vec![0; 4];
        bytes.extend((queue as u32).to_ne_bytes());
        bytes.extend(self.loss.0.to_ne_bytes());
        bytes.resize(PARAMETERS, 0);
        bytes.extend(attribute(LATENCY64, &self.delay.0.to_ne_bytes()));
        bytes.extend(attribute(JITTER64, &self.jitter.0.to_ne_bytes()));
        bytes
    }

    /// Reads the options of a netem queue.
    pub fn read(options: &[u8]) -> Option<Impairment> {
        let loss = u32::from_ne_bytes(options.get(8..12)?.try_into().ok()?);
        let all = attributes(options.get(PARAMETERS..)?);
        let time = |wanted| {
            let (_, value) = all.iter().find(|(kind, _)| *kind == wanted)?;
            Some(Duration(u64::from_ne_bytes((*value).try_into().ok()?)))
        };
        Some(Impairment { delay: time(LATENCY64)?, jitter: time(JITTER64)?, loss: Loss(loss) })
    }
}

impl Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delay {}, jitter {}, loss {}", self.delay, self.jitter, self.loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_shares_are_read_as_they_are_written() {
        for (text, nanoseconds) in [("50ms", 50_000_000), ("1.5ms", 1_500_000), ("200us", 200_000), ("60s", LONGEST)] {
            assert_eq!(Duration::parse(text), Ok(Duration(nanoseconds)), "{text}");
        }
        for text in ["", "50", "ms", "-1ms", "61s", "1e3ms", "1.2.3ms", "50 ms", "5m"] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
        for (text, loss) in [("0%", 0), ("100%", u32::MAX), ("1%", 42_949_673)] {
            assert_eq!(Loss::parse(text), Ok(Loss(loss)), "{text}");
        }
        for text in ["", "1", "%", "101%", "-1%", "1e1%", "inf%", "nan%"] {
            assert!(Loss::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_kernel_is_asked_for_what_is_read_back() {
        let (delay, jitter) = (Duration::parse("50ms").unwrap(), Duration::parse("1.5ms").unwrap());
        let asked = Impairment { delay, jitter, loss: Loss::parse("0.5%").unwrap() };
        assert_eq!(Impairment::read(&asked.options()), Some(asked));
        assert_eq!(asked.to_string(), "delay 50ms, jitter 1500us, loss 0.5%");
        assert_eq!(Impairment::read(&[0; 24]), None);
    }
}
