//! Rules for devices as a program for a group of v2, `BPF_CGROUP_DEVICE`. `bpf(2)`.

use plumbing::kernel::Instruction;

use super::{Devices, Kind};
use crate::assembler::{Assembler, Do, If, Size};

impl Devices {
    /// Returns the program for a group of v2, which decides about one access to one device. The kernel passes type,
    /// access, major and minor number.
    pub(crate) fn program(&self) -> Vec<Instruction> {
        const CONTEXT: u8 = 1;
        const NUMBER: u8 = 2;
        /// The kinds of access about which no rule has decided yet.
        const LEFT: u8 = 3;
        /// Offsets in `struct bpf_cgroup_dev_ctx`.
        const KIND: i16 = 0;
        const MAJOR: i16 = 4;
        const MINOR: i16 = 8;
        let mut program = Assembler::default();
        program.load(Size::Word, LEFT, CONTEXT, KIND);
        program.calculate(Do::ShiftRight, LEFT, 16);
        for rule in self.rules.iter().rev() {
            let mut others = Vec::new();
            for (offset, number) in [(KIND, Some(rule.kind.number())), (MAJOR, rule.major), (MINOR, rule.minor)] {
                let Some(number) = number else { continue };
                // Loaded again for each rule: what the kernel learns about a register from a comparison, it would follow
                // through all rules after it, until it gives up.
                program.load(Size::Word, NUMBER, CONTEXT, offset);
                if offset == KIND {
                    program.calculate(Do::And, NUMBER, 0xffff);
                }
                others.push(program.jump_if(If::NotEqual, NUMBER, number.cast_signed()));
            }
            let access = i32::from(rule.access.0);
            if rule.allow {
                program.calculate(Do::And, LEFT, !access);
                others.push(program.jump_if(If::NotEqual, LEFT, 0));
                program.answer(1);
            } else {
                let is_denied = program.jump_if(If::AnyBit, LEFT, access);
                others.push(program.jump());
                program.land(is_denied);
                program.answer(0);
            }
            others.into_iter().for_each(|other| program.land(other));
        }
        program.answer(i32::from(self.otherwise));
        program.finish()
    }
}

impl Kind {
    /// Returns the kernel's number: `BPF_DEVCG_DEV_BLOCK`, `BPF_DEVCG_DEV_CHAR`.
    fn number(self) -> u32 {
        match self {
            Kind::Block => 1,
            Kind::Character => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Access, Rule};
    use super::*;
    use crate::assembler::run;

    /// Decides by the definition: for each kind of access, the last rule that matches.
    fn decide(devices: &Devices, (kind, major, minor): (Kind, u32, u32), access: u8) -> bool {
        let matches = |rule: &&Rule| {
            rule.kind == kind && rule.major.is_none_or(|it| it == major) && rule.minor.is_none_or(|it| it == minor)
        };
        [1, 2, 4].into_iter().filter(|bit| access & bit != 0).all(|bit| {
            let last = devices.rules.iter().rev().filter(matches).find(|rule| rule.access.0 & bit != 0);
            last.map_or(devices.otherwise, |rule| rule.allow)
        })
    }

    /// Numbers that look random, the same in each run.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, most: u32) -> u32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as u32 % most
        }
    }

    #[test]
    fn the_program_decides_as_the_rules_say() {
        let mut numbers = Numbers(14);
        let kinds = [Kind::Block, Kind::Character];
        for _ in 0..300 {
            let mut devices = Devices::of_word(if numbers.below(2) == 0 { "none" } else { "all" }).unwrap();
            for _ in 0..numbers.below(12) {
                let mut number = || Some(numbers.below(4)).filter(|number| *number > 0);
                let (major, minor) = (number(), number());
                let kind = kinds[numbers.below(2) as usize];
                let access = Access(numbers.below(7) as u8 + 1);
                devices.push(Rule { allow: numbers.below(2) == 0, kind, major, minor, access });
            }
            let program = devices.program();
            for at in 0..2 * 4 * 4 * 7 {
                let (kind, major, minor, access) = (kinds[at % 2], at as u32 / 2 % 4, at as u32 / 8 % 4, at / 32 + 1);
                let context = [(access as u32) << 16 | kind.number(), major, minor];
                let expected = decide(&devices, (kind, major, minor), access as u8);
                assert_eq!(run(&program, &context) == 1, expected, "{devices:?} {kind:?} {major}:{minor} {access}");
            }
        }
    }
}
