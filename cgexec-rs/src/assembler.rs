//! Writing programs for the kernel's BPF machine: the few instructions that the programs for devices and packets need.
//! The kernel's `Documentation/bpf/standardization/instruction-set.rst`.
//!
//! The surprise: the kernel refuses a program with an instruction that can never be reached, so nothing may follow a
//! rule that decides everything.

use std::os::fd::{AsFd, AsRawFd};

use plumbing::kernel::Instruction;

/// A register; 0 has results, 1 to 5 arguments, which a call loses.
pub(crate) type Register = u8;

/// A comparison of a register with another operand, without a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum If {
    Equal = 0x10,
    Greater = 0x20,
    /// Some of the bits are set in both.
    AnyBit = 0x40,
    NotEqual = 0x50,
}

/// Arithmetic on a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Do {
    Add = 0x00,
    Subtract = 0x10,
    Multiply = 0x20,
    Divide = 0x30,
    And = 0x50,
    ShiftRight = 0x70,
    Move = 0xb0,
}

/// The size of a value in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// 32 bits.
    Word = 0x00,
    /// 64 bits.
    Double = 0x18,
}

/// A jump forward whose destination is not known yet.
#[derive(Debug)]
#[must_use = "a jump without a destination leads nowhere"]
pub(crate) struct Jump(usize);

/// A program that is being written.
#[derive(Debug, Default)]
pub(crate) struct Assembler(Vec<Instruction>);

const ALU64: u8 = 0x07;
const JMP: u8 = 0x05;
/// The other operand is a register.
const REGISTER: u8 = 0x08;

impl Assembler {
    fn add(&mut self, code: u8, to: Register, from: Register, offset: i16, immediate: i32) -> usize {
        self.0.push(Instruction { code, registers: to | from << 4, offset, immediate });
        self.0.len() - 1
    }

    /// Loads a value from memory: `to = *(from + offset)`.
    pub(crate) fn load(&mut self, size: Size, to: Register, from: Register, offset: i16) {
        self.add(0x61 | size as u8, to, from, offset, 0);
    }

    /// Stores a register in memory: `*(to + offset) = from`.
    pub(crate) fn store(&mut self, size: Size, to: Register, offset: i16, from: Register) {
        self.add(0x63 | size as u8, to, from, offset, 0);
    }

    /// Applies an operation with a number.
    pub(crate) fn calculate(&mut self, what: Do, to: Register, number: i32) {
        self.add(ALU64 | what as u8, to, 0, 0, number);
    }

    /// Applies an operation with another register.
    pub(crate) fn calculate_with(&mut self, what: Do, to: Register, from: Register) {
        self.add(ALU64 | REGISTER | what as u8, to, from, 0, 0);
    }

    /// Sets a register to any 64-bit number.
    pub(crate) fn set(&mut self, to: Register, number: u64) {
        self.wide(to, 0, number);
    }

    /// Sets a register to the address of the only value of a map.
    pub(crate) fn address(&mut self, to: Register, map: impl AsFd) {
        const MAP_VALUE: u8 = 2;
        self.wide(to, MAP_VALUE, u64::from(map.as_fd().as_raw_fd().cast_unsigned()));
    }

    fn wide(&mut self, to: Register, kind: u8, number: u64) {
        let (low, high) = (number as u32, (number >> 32) as u32);
        self.add(0x18, to, kind, 0, low.cast_signed());
        self.add(0, 0, 0, 0, high.cast_signed());
    }

    /// Adds a register to a number in memory, in one step.
    pub(crate) fn add_in_memory(&mut self, to: Register, offset: i16, from: Register) {
        self.add(0xdb, to, from, offset, 0x00);
    }

    /// Replaces a number in memory by `from` if it is that of register 0, in one step; register 0 then has what was
    /// there.
    pub(crate) fn compare_and_exchange(&mut self, to: Register, offset: i16, from: Register) {
        self.add(0xdb, to, from, offset, 0xf1);
    }

    /// Calls a function of the kernel, by its number.
    pub(crate) fn call(&mut self, function: i32) {
        self.add(0x85, 0, 0, 0, function);
    }

    /// Jumps if the comparison with a number is true.
    pub(crate) fn jump_if(&mut self, what: If, register: Register, number: i32) -> Jump {
        Jump(self.add(JMP | what as u8, register, 0, 0, number))
    }

    /// Jumps if the comparison with another register is true.
    pub(crate) fn jump_if_with(&mut self, what: If, register: Register, other: Register) -> Jump {
        Jump(self.add(JMP | REGISTER | what as u8, register, other, 0, 0))
    }

    /// Jumps.
    pub(crate) fn jump(&mut self) -> Jump {
        Jump(self.add(JMP, 0, 0, 0, 0))
    }

    /// Makes a jump lead to the next instruction.
    pub(crate) fn land(&mut self, jump: Jump) {
        let distance = self.0.len() - jump.0 - 1;
        if let Ok(distance) = i16::try_from(distance) {
            self.0[jump.0].offset = distance;
        }
    }

    /// Ends the program with this answer.
    pub(crate) fn answer(&mut self, answer: i32) {
        self.calculate(Do::Move, 0, answer);
        self.add(0x95, 0, 0, 0, 0);
    }

    /// Returns the program.
    pub(crate) fn finish(self) -> Vec<Instruction> {
        self.0
    }
}

/// Runs a program as the kernel does, as far as programs for devices need it.
#[cfg(test)]
pub(crate) fn run(program: &[Instruction], context: &[u32]) -> u64 {
    let mut registers = [0_u64; 11];
    let mut at = 0;
    loop {
        let Instruction { code, registers: pair, offset, immediate } = program[at];
        let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
        let other = if code & REGISTER == 0 { i64::from(immediate).cast_unsigned() } else { registers[from] };
        let is_true = match code & 0xf7 {
            0x05 => true,
            0x15 => registers[to] == other,
            0x25 => registers[to] > other,
            0x45 => registers[to] & other != 0,
            0x55 => registers[to] != other,
            _ => false,
        };
        match code & 0xf7 {
            0x61 => registers[to] = u64::from(context[usize::try_from(offset).unwrap() / 4]),
            0x57 => registers[to] &= other,
            0x77 => registers[to] >>= other,
            0xb7 => registers[to] = other,
            0x95 => return registers[0],
            0x05 | 0x15 | 0x25 | 0x45 | 0x55 => {}
            code => panic!("unknown instruction {code:#x}"),
        }
        at += 1 + if is_true { usize::try_from(offset).unwrap() } else { 0 };
    }
}
