//! The program of the default profile, compiled in advance for the default capabilities: compiling takes longer than the
//! kernel takes to install the program.
//!
//! The text is made by the compiler, an instruction a line, and parsed when this program is built. A test compares the
//! two; after a change of the profile, `WRITE_DEFAULT_PROGRAM=1 cargo test -p plumbing` writes the text again.

use rustix::thread::CapabilitySet;

/// The capabilities that the profile mentions: no other one changes the program.
const MENTIONED: [CapabilitySet; 14] = [
    CapabilitySet::BPF,
    CapabilitySet::DAC_READ_SEARCH,
    CapabilitySet::PERFMON,
    CapabilitySet::SYSLOG,
    CapabilitySet::SYS_ADMIN,
    CapabilitySet::SYS_BOOT,
    CapabilitySet::SYS_CHROOT,
    CapabilitySet::SYS_MODULE,
    CapabilitySet::SYS_NICE,
    CapabilitySet::SYS_PACCT,
    CapabilitySet::SYS_PTRACE,
    CapabilitySet::SYS_RAWIO,
    CapabilitySet::SYS_TIME,
    CapabilitySet::SYS_TTY_CONFIG,
];

/// Returns the program for a command that may have at most the capabilities that `most` returns of those it is asked about,
/// if it is the program for the default ones. The profile has an entry that depends on the kernel's version, which every
/// kernel with openat2(2) meets.
pub(super) fn default_program(most: impl Fn(CapabilitySet) -> CapabilitySet) -> Option<&'static [libc::sock_filter]> {
    (most(MENTIONED.into_iter().collect()) == CapabilitySet::SYS_CHROOT).then_some(&PROGRAM)
}

const TEXT: &[u8] = include_bytes!("default.x86_64.txt");

/// The bytes of a line: `code yes no value` and a line feed, in hexadecimal digits.
const LINE: usize = "0000 00 00 00000000\n".len();

static PROGRAM: [libc::sock_filter; TEXT.len() / LINE] = parse();

const fn parse() -> [libc::sock_filter; TEXT.len() / LINE] {
    assert!(TEXT.len().is_multiple_of(LINE));
    let mut program = [libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; TEXT.len() / LINE];
    let mut at = 0;
    while at < program.len() {
        let line = at * LINE;
        let (code, k) = (hexadecimal(line, 4) as u16, hexadecimal(line + 11, 8));
        let (jt, jf) = (hexadecimal(line + 5, 2) as u8, hexadecimal(line + 8, 2) as u8);
        program[at] = libc::sock_filter { code, jt, jf, k };
        at += 1;
    }
    program
}

const fn hexadecimal(from: usize, digits: usize) -> u32 {
    let (mut at, mut value) = (from, 0);
    while at < from + digits {
        let digit = match TEXT[at] {
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'f' => digit - b'a' + 10,
            _ => panic!("not a hexadecimal digit"),
        };
        value = value << 4 | digit as u32;
        at += 1;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confinement::privilege::{DEFAULT_CAPABILITIES, DOCKER_CAPABILITIES, capability_set};
    use crate::confinement::seccomp::{DEFAULT, Seccomp};

    fn text() -> String {
        let (program, flags) = Seccomp::Default.compile(capability_set(&DEFAULT_CAPABILITIES).unwrap()).unwrap();
        assert_eq!(flags, 0);
        let line =
            |each: &libc::sock_filter| format!("{:04x} {:02x} {:02x} {:08x}\n", each.code, each.jt, each.jf, each.k);
        program.iter().map(line).collect()
    }

    #[test]
    fn the_default_program_is_what_the_compiler_makes() {
        if std::env::var_os("WRITE_DEFAULT_PROGRAM").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/confinement/seccomp/default.x86_64.txt");
            std::fs::write(path, text()).unwrap();
            return;
        }
        assert!(text().as_bytes() == TEXT, "the profile or the compiler has changed: see the head of this file");
        let (program, _) = Seccomp::Default.compile(capability_set(&DEFAULT_CAPABILITIES).unwrap()).unwrap();
        let words = |program: &[libc::sock_filter]| {
            program.iter().map(|each| (each.code, each.jt, each.jf, each.k)).collect::<Vec<_>>()
        };
        assert_eq!(words(&PROGRAM), words(&program));
    }

    #[test]
    fn the_program_is_for_those_capabilities_that_the_profile_does_not_mention_and_chroot() {
        let usual = capability_set(&DEFAULT_CAPABILITIES).unwrap();
        let is_ready = |set: CapabilitySet| default_program(|asked| asked & set).is_some();
        assert!(is_ready(usual) && is_ready(capability_set(&DOCKER_CAPABILITIES).unwrap()));
        assert!(!is_ready(CapabilitySet::empty()) && !is_ready(usual | CapabilitySet::SYS_ADMIN));
        let words = |set: CapabilitySet| {
            let (program, _) = Seccomp::Default.compile(set).unwrap();
            program.iter().map(|each| (each.code, each.jt, each.jf, each.k)).collect::<Vec<_>>()
        };
        let mentioned: CapabilitySet = MENTIONED.into_iter().collect();
        assert_eq!(words(usual), words(CapabilitySet::SYS_CHROOT));
        assert_eq!(words(CapabilitySet::all()), words(mentioned));
        let names = DEFAULT.split('"').filter_map(|word| word.strip_prefix("CAP_"));
        assert_eq!(names.filter_map(CapabilitySet::from_name).collect::<CapabilitySet>(), mentioned);
    }
}
