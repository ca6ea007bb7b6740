//! `--net-rate`: how fast the sockets of a group may send, by a program of the kernel. `bpf(2)`, `tc-fq(8)`.
//!
//! Each packet moves a clock forward by the time that it takes at this rate. A packet that comes before its time gets
//! that time as its time stamp, which the packet scheduler `fq` keeps exactly. The surprise: without `fq` nobody looks at
//! the time stamp, and packets leave at once; so a packet is dropped if the clock is too far ahead, which is the burst.

use std::os::fd::BorrowedFd;

use plumbing::command_line::units::{self, Limit};
use plumbing::kernel::Instruction;

use crate::assembler::{Assembler, Do, If, Jump, Size};

/// A rate, and how many bytes may be sent before their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NetRate {
    /// In bits per second; `None`: no limit.
    bits: Option<u64>,
    burst: u64,
}

/// The numbers that the program keeps in its map.
pub(crate) const NUMBERS: usize = 7;

/// The offsets of the numbers in the map.
const CLOCK: i16 = 0;
const BYTES: i16 = 8;
const PACKETS: i16 = 16;
const DROPPED_BYTES: i16 = 24;
const DROPPED_PACKETS: i16 = 32;
const LIMITED: i16 = 40;
const RATE: i16 = 48;

const NANOSECONDS: u64 = 1_000_000_000;

/// The burst without a given one, as a part of a second.
const USUAL_BURST: u64 = 4;

/// A burst has room for the largest packet of a socket, which the network card or the receiver divides.
const LEAST_BURST: u64 = 64 << 10;

impl NetRate {
    /// Reads `10mbit`, `10mbit,burst=64K` or `max`.
    pub(crate) fn parse(text: &str) -> Result<NetRate, String> {
        if matches!(text, "max" | "none") {
            return Ok(NetRate { bits: None, burst: 0 });
        }
        let (rate, burst) = match text.split_once(',') {
            None => (text, None),
            Some((rate, rest)) => (rate, Some(rest.strip_prefix("burst=").ok_or("expected RATE,burst=SIZE")?)),
        };
        let bits = units::bit_rate(rate)?;
        let usual = (bits / 8 / USUAL_BURST).max(LEAST_BURST);
        let burst = match burst.map(units::size).transpose()? {
            None => usual,
            Some(Limit::Amount(burst)) if (1500..=bits).contains(&burst) => burst,
            Some(_) => return Err("expected a burst from 1500 bytes to 8 seconds of the rate".to_owned()),
        };
        Ok(NetRate { bits: Some(bits), burst })
    }

    /// Returns whether it is a limit.
    pub(crate) fn is_limit(self) -> bool {
        self.bits.is_some()
    }

    /// Returns the program, which keeps its numbers in `map`. The kernel passes a `struct __sk_buff`.
    pub(crate) fn program(self, map: BorrowedFd<'_>) -> Vec<Instruction> {
        const KTIME_GET_NS: i32 = 5;
        let rate = self.bits.unwrap_or(u64::MAX) / 8;
        let ahead = (u128::from(self.burst) * u128::from(NANOSECONDS) / u128::from(rate)) as u64;
        let mut program = Assembler::default();
        program.calculate_with(Do::Move, PACKET, 1);
        program.address(MAP, map);
        program.load(Size::Word, LENGTH, PACKET, LEN);
        program.call(KTIME_GET_NS);
        program.calculate_with(Do::Move, NOW, 0);
        program.calculate_with(Do::Move, COST, LENGTH);
        program.calculate(Do::Multiply, COST, NANOSECONDS as i32);
        program.set(NUMBER, rate);
        program.calculate_with(Do::Divide, COST, NUMBER);
        program.set(NUMBER, rate * 8);
        program.store(Size::Double, MAP, RATE, NUMBER);
        program.set(NUMBER, ahead);
        let too_early = move_clock(&mut program);
        pass(&mut program);
        too_early.into_iter().for_each(|jump| program.land(jump));
        count(&mut program, DROPPED_BYTES, DROPPED_PACKETS);
        program.answer(DROP);
        program.finish()
    }
}

// Registers. A call keeps those from 6 on.
const PACKET: u8 = 6;
const MAP: u8 = 7;
const LENGTH: u8 = 8;
const NOW: u8 = 9;
/// The number that an exchange in memory has found there.
const FOUND: u8 = 0;
const BEFORE: u8 = 1;
/// When the packet may leave.
const START: u8 = 2;
const SPARE: u8 = 3;
/// The time that the packet takes.
const COST: u8 = 4;
/// The rate, then how far the clock may be ahead.
const NUMBER: u8 = 5;

// Offsets in `struct __sk_buff`.
const LEN: i16 = 0;
const TSTAMP: i16 = 152;

/// Moves the clock by the cost of the packet, from now on if it is behind. Returns the jumps that are taken if it is too
/// far ahead.
fn move_clock(program: &mut Assembler) -> Vec<Jump> {
    /// How often this is tried while other CPUs move it, too.
    const TRIES: usize = 4;
    let (mut too_early, mut moved) = (Vec::new(), Vec::new());
    for _ in 0..TRIES {
        program.load(Size::Double, FOUND, MAP, CLOCK);
        program.calculate_with(Do::Move, START, FOUND);
        let is_ahead = program.jump_if_with(If::Greater, START, NOW);
        program.calculate_with(Do::Move, START, NOW);
        program.land(is_ahead);
        program.calculate_with(Do::Move, SPARE, START);
        program.calculate_with(Do::Subtract, SPARE, NOW);
        too_early.push(program.jump_if_with(If::Greater, SPARE, NUMBER));
        program.calculate_with(Do::Move, SPARE, START);
        program.calculate_with(Do::Add, SPARE, COST);
        program.calculate_with(Do::Move, BEFORE, FOUND);
        program.compare_and_exchange(MAP, CLOCK, SPARE);
        moved.push(program.jump_if_with(If::Equal, FOUND, BEFORE));
    }
    program.add_in_memory(MAP, CLOCK, COST);
    moved.into_iter().for_each(|jump| program.land(jump));
    too_early
}

/// Lets the packet pass, with the time at which it may leave.
fn pass(program: &mut Assembler) {
    count(program, BYTES, PACKETS);
    let waits = program.jump_if_with(If::Greater, START, NOW);
    program.answer(PASS);
    program.land(waits);
    program.add_in_memory(MAP, LIMITED, COST);
    program.load(Size::Double, SPARE, PACKET, TSTAMP);
    // TCP may have a later time for it.
    let is_later = program.jump_if_with(If::Greater, SPARE, START);
    program.store(Size::Double, PACKET, TSTAMP, START);
    program.land(is_later);
    program.answer(PASS);
}

fn count(program: &mut Assembler, bytes: i16, packets: i16) {
    program.add_in_memory(MAP, bytes, LENGTH);
    program.calculate(Do::Move, SPARE, 1);
    program.add_in_memory(MAP, packets, SPARE);
}

const PASS: i32 = 1;
/// Drop, and report congestion to the sender: as if the packet had been lost on its way.
const DROP: i32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_with_its_burst() {
        let rate = |text| NetRate::parse(text).map(|rate| (rate.bits, rate.burst));
        assert_eq!(rate("10mbit"), Ok((Some(10_000_000), 312_500)));
        assert_eq!(rate("64kbit"), Ok((Some(64_000), LEAST_BURST)));
        assert_eq!(rate("10mbit,burst=64K"), Ok((Some(10_000_000), 65_536)));
        assert_eq!(rate("max"), Ok((None, 0)));
        for text in ["", "10", "10mbit,64K", "10mbit,burst=1", "10mbit,burst=max", "10mbit,burst=1G"] {
            assert!(rate(text).is_err_and(|valid| valid.contains("expected")), "{text}");
        }
    }
}
