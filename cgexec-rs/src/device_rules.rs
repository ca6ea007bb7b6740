//! Which devices a group may open and make: `--devices`, `--device-allow`. The kernel's
//! `Documentation/admin-guide/cgroup-v1/devices.rst`, `mknod(2)`.
//!
//! Rules are a list, in which the last one that matches decides, separately for reading, writing and making. The
//! surprise: v1 has no such list, only one of exceptions: it forgets an exception only if a rule names exactly the same
//! devices, and ignores all other rules that would take something back. Such lists are refused there.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use plumbing::Fault;
use plumbing::kernel::Instruction;

use crate::assembler::{Assembler, Do, If, Size};
use crate::setting::{Reads, Setting};

/// The devices of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Devices {
    /// Whether a device is allowed that no rule matches.
    otherwise: bool,
    rules: Vec<Rule>,
    /// Devices to allow by the path of their node, which is looked up later.
    nodes: Vec<(PathBuf, Access)>,
}

/// What may be done with some devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) allow: bool,
    pub(crate) kind: Kind,
    /// `None`: any.
    pub(crate) major: Option<u32>,
    /// `None`: any.
    pub(crate) minor: Option<u32>,
    pub(crate) access: Access,
}

/// The two kinds of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Block,
    Character,
}

/// A set of the kernel's `BPF_DEVCG_ACC_…`: making is 1, reading 2, writing 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access(u8);

const MKNOD: Access = Access(1);

const FORMS: &str =
    "expected TYPE:MAJOR:MINOR such as c:1:3, b:8:*:r or c:136:*:rw, or the path of a device such as /dev/fuse:rw";

/// The devices that Docker allows to each container: making any, and using these.
const DOCKER: [(u32, Option<u32>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

impl Access {
    /// Reading, writing and making.
    pub(crate) const ALL: Access = Access(7);

    /// Reads `rwm`, or a part of it.
    pub(crate) fn parse(text: &str) -> Option<Access> {
        let bit = |letter| match letter {
            'm' => Some(1),
            'r' => Some(2),
            'w' => Some(4),
            _ => None,
        };
        let bits = text.chars().map(bit).collect::<Option<Vec<u8>>>()?;
        (!bits.is_empty()).then(|| Access(bits.into_iter().fold(0, |all, bit| all | bit)))
    }

    fn text(self) -> String {
        [(2, 'r'), (4, 'w'), (1, 'm')].iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, letter)| *letter).collect()
    }
}

impl Devices {
    /// Returns what `--devices WORD` allows.
    pub(crate) fn of_word(word: &str) -> Option<Devices> {
        match word {
            "none" => Some(Devices::none()),
            "all" => Some(Devices::all()),
            "docker" => {
                let mut devices = Devices::none();
                devices.push_usual();
                Some(devices)
            }
            _ => None,
        }
    }

    /// Allows no device.
    pub(crate) fn none() -> Devices {
        Devices { otherwise: false, rules: Vec::new(), nodes: Vec::new() }
    }

    /// Allows every device.
    pub(crate) fn all() -> Devices {
        Devices { otherwise: true, ..Devices::none() }
    }

    /// Allows what Docker allows.
    pub(crate) fn push_usual(&mut self) {
        let allow = |kind, major, minor, access| Rule { allow: true, kind, major, minor, access };
        self.rules.extend([Kind::Character, Kind::Block].map(|kind| allow(kind, None, None, MKNOD)));
        let listed = DOCKER.iter().map(|(major, minor)| allow(Kind::Character, Some(*major), *minor, Access::ALL));
        self.rules.extend(listed);
    }

    /// Reads the two options; `None` without any of them. `--device-allow` alone allows only what it names.
    pub(crate) fn parse(word: Option<&str>, allowed: &[String]) -> Result<Option<Devices>, Fault> {
        if word.is_none() && allowed.is_empty() {
            return Ok(None);
        }
        let word = word.unwrap_or("none");
        let mut devices = Devices::of_word(word).ok_or_else(|| {
            Fault::usage(format!("invalid value '{word}' for '--devices': expected none, docker and all"))
        })?;
        if devices.allows_all() && !allowed.is_empty() {
            return Err(Fault::usage("--device-allow cannot be used with --devices all: it allows every device"));
        }
        for text in allowed {
            devices
                .allow(text)
                .ok_or_else(|| Fault::usage(format!("invalid value '{text}' for '--device-allow': {FORMS}")))?;
        }
        Ok(Some(devices))
    }

    fn allow(&mut self, text: &str) -> Option<()> {
        if text.starts_with('/') {
            let of_suffix = text.rsplit_once(':').and_then(|(path, access)| Some((path, Access::parse(access)?)));
            let (path, access) = of_suffix.unwrap_or((text, Access::ALL));
            self.nodes.push((PathBuf::from(path), access));
            return Some(());
        }
        let words: Vec<_> = text.split(':').collect();
        let (kind, major, minor, access) = match words[..] {
            [kind, major, minor] => (kind, major, minor, Access::ALL),
            [kind, major, minor, access] => (kind, major, minor, Access::parse(access)?),
            _ => return None,
        };
        let (major, minor) = (number(major, MOST_MAJOR)?, number(minor, MOST_MINOR)?);
        let kind = match kind {
            "c" => Kind::Character,
            "b" => Kind::Block,
            _ => return None,
        };
        self.push(Rule { allow: true, kind, major, minor, access });
        Some(())
    }

    /// Adds a rule, which decides before all earlier ones.
    pub(crate) fn push(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Returns whether every device is allowed.
    pub(crate) fn allows_all(&self) -> bool {
        self.otherwise && self.rules.is_empty()
    }

    /// Finds the devices that paths mean.
    pub(crate) fn resolve(&mut self) -> Result<(), Fault> {
        for (path, access) in std::mem::take(&mut self.nodes) {
            let goal = format!("allow the device {} (--device-allow)", path.display());
            let metadata = plumbing::kernel::look(&goal, format!("stat({path:?})"), || fs::metadata(&path))?;
            let kind = match metadata.file_type() {
                kind if kind.is_block_device() => Kind::Block,
                kind if kind.is_char_device() => Kind::Character,
                _ => return Err(Fault::new(format!("cannot {goal}: it is no device"))),
            };
            let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
            self.push(Rule { allow: true, kind, major: Some(major), minor: Some(minor), access });
        }
        Ok(())
    }

    /// Returns the writes for a group of v1.
    pub(crate) fn settings_v1(&self) -> Result<Vec<Setting>, Fault> {
        let set = |file: &str, value: String, why| Setting { reads: Reads::Unknown, ..Setting::new(file, value, why) };
        let mut settings = Vec::new();
        if !self.otherwise {
            settings.push(set(
                "devices.deny",
                "a".to_owned(),
                "no device, except those that are allowed next; mknod(2)",
            ));
        }
        for (at, rule) in self.rules.iter().enumerate() {
            let takes_back = rule.allow == self.otherwise;
            let differs =
                |earlier: &&Rule| earlier.allow != rule.allow && earlier.overlaps(rule) && !earlier.is_same(rule);
            if takes_back && let Some(earlier) = self.rules[..at].iter().find(differs) {
                return Err(Fault::new(format!(
                    "cannot apply the rule {} for devices: cgroup v1 cannot take back a part of the earlier rule {}",
                    rule.text(),
                    earlier.text()
                )));
            }
            let file = if rule.allow { "devices.allow" } else { "devices.deny" };
            settings.push(set(file, rule.text(), "opening and making such devices; r: read, w: write, m: mknod(2)"));
        }
        Ok(settings)
    }

    /// Returns the write that takes back earlier rules of a group of v1 that exists.
    pub(crate) fn reset_v1(&self) -> Option<Setting> {
        let all = Setting::new("devices.allow", "a", "every device, except those that are denied next");
        self.otherwise.then_some(Setting { reads: Reads::Unknown, ..all })
    }

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

/// The largest numbers that the kernel has for a device.
const MOST_MAJOR: u32 = (1 << 12) - 1;
const MOST_MINOR: u32 = (1 << 20) - 1;

/// Reads a number, or `*` for any.
fn number(text: &str, most: u32) -> Option<Option<u32>> {
    match text {
        "*" => Some(None),
        text => text.parse().ok().filter(|number| *number <= most).map(Some),
    }
}

impl Rule {
    fn text(&self) -> String {
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        let kind = if self.kind == Kind::Block { 'b' } else { 'c' };
        format!("{kind} {}:{} {}", number(self.major), number(self.minor), self.access.text())
    }

    fn is_same(&self, other: &Rule) -> bool {
        (self.kind, self.major, self.minor) == (other.kind, other.major, other.minor)
    }

    /// Returns whether both match the same access to some device.
    fn overlaps(&self, other: &Rule) -> bool {
        let meet = |one: Option<u32>, other: Option<u32>| one.is_none() || other.is_none() || one == other;
        self.kind == other.kind
            && meet(self.major, other.major)
            && meet(self.minor, other.minor)
            && self.access.0 & other.access.0 != 0
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn devices_are_read_as_people_write_them() {
        let parse = |word, allowed: &[&str]| {
            let allowed: Vec<_> = allowed.iter().map(|text| (*text).to_owned()).collect();
            Devices::parse(word, &allowed).map_err(|fault| fault.to_string())
        };
        let texts = |devices: Devices| devices.rules.iter().map(Rule::text).collect::<Vec<_>>();
        let found = parse(None, &["c:1:3", "b:8:*:r", "c:136:*:wr"]).unwrap().unwrap();
        assert!(!found.otherwise);
        assert_eq!(texts(found), ["c 1:3 rwm", "b 8:* r", "c 136:* rw"]);
        let nodes = parse(Some("docker"), &["/dev/a:b", "/dev/fuse:rw"]).unwrap().unwrap().nodes;
        assert_eq!(nodes, [("/dev/a:b".into(), Access::ALL), ("/dev/fuse".into(), Access(6))]);
        assert_eq!(parse(None, &[]), Ok(None));
        for (word, allowed) in [
            (Some("some"), &[][..]),
            (Some("all"), &["c:1:3"]),
            (None, &["c:1"]),
            (None, &["x:1:3"]),
            (None, &["c:1:3:x"]),
            (None, &["c:4096:3"]),
            (None, &["c:-1:3"]),
            (None, &["c:1:3:"]),
        ] {
            let error = parse(word, allowed).unwrap_err();
            assert!(error.contains("expected") || error.contains("--devices all"), "{error}");
        }
    }

    #[test]
    fn v1_is_not_asked_for_what_it_would_ignore() {
        let rule =
            |allow, minor, access| Rule { allow, kind: Kind::Character, major: Some(1), minor, access: Access(access) };
        let with = |otherwise, rules: &[Rule]| Devices { otherwise, rules: rules.to_vec(), nodes: Vec::new() };
        let hole = with(false, &[rule(true, None, 7), rule(false, Some(3), 7)]);
        assert!(hole.settings_v1().unwrap_err().to_string().contains("cgroup v1 cannot take back"));
        let same = with(false, &[rule(true, Some(3), 7), rule(false, Some(3), 4)]).settings_v1().unwrap();
        assert_eq!(same.iter().map(|set| set.value.as_str()).collect::<Vec<_>>(), ["a", "c 1:3 rwm", "c 1:3 w"]);
        assert!(with(true, &[rule(false, None, 7), rule(true, Some(3), 7)]).settings_v1().is_err());
        assert!(with(true, &[rule(false, None, 7)]).settings_v1().is_ok());
    }
}
