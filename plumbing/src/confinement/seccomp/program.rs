//! The compiler: a policy becomes a program for the kernel's classic BPF machine. `seccomp(2)`, `bpf(4)` of the BSDs.
//!
//! The program is written from its end to its beginning, so that the distance of every jump is known: classic BPF jumps
//! only forward, and a conditional jump at most 255 instructions. Numbers with the same answer form one range, and the
//! ranges are searched by bisection: some seven comparisons, whatever the number.

use super::action::Action;
use super::architecture::{Architecture, Numbers, X32};
use super::policy::{Condition, Decision, Operator, Policy};
use crate::Fault;

/// One instruction; `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) yes: u8,
    pub(crate) no: u8,
    pub(crate) value: u32,
}

impl From<Instruction> for libc::sock_filter {
    fn from(instruction: Instruction) -> Self {
        let Instruction { code, yes, no, value } = instruction;
        libc::sock_filter { code, jt: yes, jf: no, k: value }
    }
}

/// `BPF_LD|BPF_W|BPF_ABS`: a word of `struct seccomp_data`.
pub(super) const LOAD: u16 = 0x20;
/// `BPF_ALU|BPF_AND|BPF_K`.
pub(super) const AND: u16 = 0x54;
/// `BPF_JMP|BPF_JA`.
pub(super) const JUMP: u16 = 0x05;
/// `BPF_JMP|BPF_JEQ|BPF_K`.
pub(super) const IF_EQUAL: u16 = 0x15;
/// `BPF_JMP|BPF_JGT|BPF_K`, unsigned.
pub(super) const IF_GREATER: u16 = 0x25;
/// `BPF_JMP|BPF_JGE|BPF_K`, unsigned.
pub(super) const IF_GREATER_OR_EQUAL: u16 = 0x35;
/// `BPF_RET|BPF_K`.
pub(super) const RETURN: u16 = 0x06;

/// `offsetof(struct seccomp_data, …)`.
pub(super) const NUMBER: u32 = 0;
pub(super) const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// `BPF_MAXINSNS`.
const LONGEST: usize = 4096;

/// How far back an answer is looked for to be reused: well within a conditional jump's reach.
const RECENT: usize = 128;

/// The answer to a call from an architecture that the profile does not name: the same number means something else
/// there.
pub(super) const FOREIGN: Action = Action::KillProcess;

/// Compiles a policy.
pub(crate) fn compile(policy: &Policy) -> Result<Vec<Instruction>, Fault> {
    let numbers = Numbers::read();
    let mut program = Backward::default();
    let mut next = program.answer(FOREIGN);
    let has = |wanted: Architecture| policy.architectures.contains(&wanted);
    // The section that is written last is compared first: that of the machine's own architecture.
    for architecture in [Architecture::Arm, Architecture::I386, Architecture::Aarch64, Architecture::X86_64] {
        if has(architecture) {
            let ranges = ranges(policy, &numbers, architecture, has(Architecture::X32));
            let section = program.section(&ranges, policy.default);
            next = program.branch(IF_EQUAL, architecture.audit(), section, next);
        }
    }
    program.load(ARCHITECTURE, next);
    let instructions: Vec<_> = program.0.into_iter().rev().collect();
    match instructions.len() {
        ..=LONGEST => Ok(instructions),
        length => Err(Fault::new(format!(
            "the seccomp profile is too long: it compiles to {length} instructions, and the kernel accepts {LONGEST}"
        ))),
    }
}

/// Returns where ranges of numbers begin, and the decision for each of them; the first begins at 0.
fn ranges(policy: &Policy, numbers: &Numbers, architecture: Architecture, with_x32: bool) -> Vec<(u32, Decision)> {
    let mut ranges = vec![(0, Vec::new())];
    let mut add = |start: u32, decision: Decision| {
        if let Some(last) = ranges.last_mut().filter(|(last, _)| *last == start) {
            last.1 = decision;
        } else {
            ranges.push((start, decision));
        }
    };
    let all = policy.decisions(numbers, architecture);
    let add_all = |decisions: std::collections::BTreeMap<u32, Decision>, add: &mut dyn FnMut(u32, Decision)| {
        for (number, decision) in decisions {
            add(number, decision);
            add(number.saturating_add(1), Vec::new());
        }
    };
    add_all(all, &mut add);
    if architecture == Architecture::X86_64 {
        if with_x32 {
            add_all(policy.decisions(numbers, Architecture::X32), &mut add)
        } else {
            add(X32, vec![(Vec::new(), policy.unnamed_x32)])
        }
        // A tracer that cancels a call leaves -1 as its number: there is no call to refuse.
        add(u32::MAX, Vec::new());
    }
    ranges.dedup_by(|later, earlier| later.1 == earlier.1);
    ranges
}

/// A program, its last instruction first.
#[derive(Default)]
struct Backward(Vec<Instruction>);

/// An instruction, counted from the end of the program.
type Place = usize;

impl Backward {
    fn push(&mut self, code: u16, yes: u8, no: u8, value: u32) -> Place {
        self.0.push(Instruction { code, yes, no, value });
        self.0.len() - 1
    }

    /// Writes an answer, or reuses one that was written shortly before.
    fn answer(&mut self, action: Action) -> Place {
        self.return_value(action.code())
    }

    fn return_value(&mut self, value: u32) -> Place {
        let wanted = Instruction { code: RETURN, yes: 0, no: 0, value };
        let recent = self.0.len().saturating_sub(RECENT);
        match self.0[recent..].iter().rposition(|known| *known == wanted) {
            Some(at) => recent + at,
            None => self.push(RETURN, 0, 0, value),
        }
    }

    /// Returns how many instructions a jump skips from the next one that is written.
    fn distance(&self, to: Place) -> usize {
        self.0.len() - to - 1
    }

    /// Returns the same place, or one that leads to it, within a conditional jump's reach.
    fn near(&mut self, place: Place) -> Place {
        // One instruction is reserved for the jump's other target, which may get a place of its own meanwhile.
        if self.distance(place) < usize::from(u8::MAX) {
            return place;
        }
        match self.0[place] {
            Instruction { code: RETURN, value, .. } => self.return_value(value),
            _ => self.push(JUMP, 0, 0, self.distance(place) as u32),
        }
    }

    fn branch(&mut self, code: u16, value: u32, yes: Place, no: Place) -> Place {
        if yes == no {
            return yes;
        }
        let (yes, no) = (self.near(yes), self.near(no));
        // A jump for `no` may have moved `yes` out of reach by one: near() left room for it.
        self.push(code, self.distance(yes) as u8, self.distance(no) as u8, value)
    }

    /// Continues after a failed comparison with the instruction that was written last.
    fn fall_through(&mut self, next: Place) {
        if self.distance(next) != 0 {
            let distance = self.distance(next) as u32;
            self.push(JUMP, 0, 0, distance);
        }
    }

    fn load(&mut self, offset: u32, next: Place) -> Place {
        self.fall_through(next);
        self.push(LOAD, 0, 0, offset)
    }

    /// Writes the section of one architecture.
    fn section(&mut self, ranges: &[(u32, Decision)], default: Action) -> Place {
        let mut known: Vec<(&Decision, Place)> = Vec::new();
        let mut places = Vec::new();
        for (start, decision) in ranges {
            let place = match known.iter().find(|(known, _)| *known == decision) {
                Some((_, place)) => *place,
                None => self.decide(decision, default),
            };
            known.push((decision, place));
            places.push((*start, place));
        }
        let tree = self.search(&places);
        self.load(NUMBER, tree)
    }

    /// Searches by bisection; the number is already loaded.
    fn search(&mut self, places: &[(u32, Place)]) -> Place {
        if let [(_, place)] = places {
            return *place;
        }
        let (low, high) = places.split_at(places.len() / 2);
        let start = high[0].0;
        let high = self.search(high);
        let low = self.search(low);
        self.branch(IF_GREATER_OR_EQUAL, start, high, low)
    }

    fn decide(&mut self, decision: &Decision, default: Action) -> Place {
        let mut next = self.answer(default);
        for (conditions, action) in decision.iter().rev() {
            let mut place = self.answer(*action);
            for condition in conditions.iter().rev() {
                place = self.compare(condition, place, next);
            }
            next = place;
        }
        next
    }

    /// Compares an argument. The machine has 32 bits, an argument 64: first the upper half, then the lower.
    fn compare(&mut self, condition: &Condition, yes: Place, no: Place) -> Place {
        let value = condition.value;
        match condition.operator {
            Operator::Equal => self.equal(condition, u64::MAX, yes, no),
            Operator::NotEqual => self.equal(condition, u64::MAX, no, yes),
            Operator::MaskedEqual(mask) => self.equal(condition, mask, yes, no),
            // No 32-bit value is as large as that.
            Operator::Greater | Operator::GreaterOrEqual if condition.is_narrow && value >> 32 != 0 => no,
            Operator::Less | Operator::LessOrEqual if condition.is_narrow && value >> 32 != 0 => yes,
            Operator::Greater => self.order(IF_GREATER, condition, yes, no),
            Operator::GreaterOrEqual => self.order(IF_GREATER_OR_EQUAL, condition, yes, no),
            Operator::Less => self.order(IF_GREATER_OR_EQUAL, condition, no, yes),
            Operator::LessOrEqual => self.order(IF_GREATER, condition, no, yes),
        }
    }

    fn equal(&mut self, condition: &Condition, mask: u64, yes: Place, no: Place) -> Place {
        let Condition { argument, value, is_narrow, .. } = *condition;
        if is_narrow && value >> 32 != 0 {
            return no;
        }
        let mut place = yes;
        for (upper, mask, value) in [(false, mask, value), (true, mask >> 32, value >> 32)] {
            if upper && is_narrow {
                continue;
            }
            let (mask, value) = (mask as u32, value as u32);
            place = self.branch(IF_EQUAL, value, place, no);
            if mask != u32::MAX {
                self.fall_through(place);
                place = self.push(AND, 0, 0, mask);
            }
            place = self.load(half(argument, upper), place);
        }
        place
    }

    fn order(&mut self, code: u16, condition: &Condition, yes: Place, no: Place) -> Place {
        let Condition { argument, value, is_narrow, .. } = *condition;
        let (low, high) = (value as u32, (value >> 32) as u32);
        let lower = self.branch(code, low, yes, no);
        let lower = self.load(half(argument, false), lower);
        if is_narrow {
            return lower;
        }
        let same = self.branch(IF_EQUAL, high, lower, no);
        let upper = self.branch(IF_GREATER, high, yes, same);
        self.load(half(argument, true), upper)
    }
}

/// Returns the offset of a half of an argument; both architectures are little-endian.
pub(super) fn half(argument: u8, upper: bool) -> u32 {
    ARGUMENTS + 8 * u32::from(argument) + if upper { 4 } else { 0 }
}

#[cfg(test)]
mod tests;
