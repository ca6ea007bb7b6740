//! Which devices a group may open and make: `--devices`, `--device-allow`. The kernel's
//! `Documentation/admin-guide/cgroup-v1/devices.rst`, `mknod(2)`.
//!
//! Rules are a list, in which the last one that matches decides, separately for reading, writing and making.

mod program;
mod v1;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use plumbing::Fault;

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
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
