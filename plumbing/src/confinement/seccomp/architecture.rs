//! Architectures and their system call numbers. `syscall(2)`, `seccomp(2)`.
//!
//! One machine runs programs of several architectures: a filter that knows only one of them can be bypassed through the
//! others, where the same number means another call. x32 has the same architecture value as x86_64, and is
//! distinguished from it only by bit 30 of the number.

/// The first number of x32, whose numbers have bit 30 set.
pub(super) const X32: u32 = 0x4000_0000;

/// A numbering of the system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Architecture {
    X86_64,
    X32,
    I386,
    Aarch64,
    Arm,
}

use Architecture::{Aarch64, Arm, I386, X32 as OfX32, X86_64};

/// The architectures: name in profiles, name in `includes` and `excludes`, `AUDIT_ARCH_*`.
const ALL: [(Architecture, &str, &str, u32); 5] = [
    (X86_64, "SCMP_ARCH_X86_64", "amd64", 0xc000_003e),
    (OfX32, "SCMP_ARCH_X32", "x32", 0xc000_003e),
    (I386, "SCMP_ARCH_X86", "x86", 0x4000_0003),
    (Aarch64, "SCMP_ARCH_AARCH64", "arm64", 0xc000_00b7),
    (Arm, "SCMP_ARCH_ARM", "arm", 0x4000_0028),
];

/// Architectures that profiles name and this program cannot run on: there are no calls through them here.
const ELSEWHERE: [&str; 18] = [
    "LOONGARCH64",
    "M68K",
    "MIPS",
    "MIPS64",
    "MIPS64N32",
    "MIPSEL",
    "MIPSEL64",
    "MIPSEL64N32",
    "PARISC",
    "PARISC64",
    "PPC",
    "PPC64",
    "PPC64LE",
    "RISCV64",
    "S390",
    "S390X",
    "SH",
    "SHEB",
];

/// Calls that profiles name and only other machines have: nothing here can make them.
const CALLS_ELSEWHERE: [&str; 22] = [
    "atomic_barrier",
    "atomic_cmpxchg_32",
    "cachectl",
    "getpagesize",
    "multiplexer",
    "riscv_flush_icache",
    "riscv_hwprobe",
    "rtas",
    "s390_guarded_storage",
    "s390_pci_mmio_read",
    "s390_pci_mmio_write",
    "s390_runtime_instr",
    "s390_sthyi",
    "spu_create",
    "spu_run",
    "subpage_prot",
    "swapcontext",
    "switch_endian",
    "sys_debug_setcontext",
    "syscall",
    "sysmips",
    "timerfd",
];

const TABLE: &str = include_str!("syscalls.txt");

impl Architecture {
    /// The architecture for which this program was compiled.
    pub(super) const NATIVE: Architecture = if cfg!(target_arch = "aarch64") { Aarch64 } else { X86_64 };

    /// Parses a profile's name; `None` if it is an architecture of another machine.
    pub(super) fn parse(name: &str) -> Result<Option<Architecture>, String> {
        let known = ALL.iter().find(|(_, known, ..)| *known == name).map(|(architecture, ..)| *architecture);
        let is_elsewhere = name.strip_prefix("SCMP_ARCH_").is_some_and(|rest| ELSEWHERE.contains(&rest));
        match known {
            None if !is_elsewhere => Err(format!("there is no architecture {name:?}")),
            known => Ok(known.filter(|known| known.is_on(Architecture::NATIVE))),
        }
    }

    /// Returns whether `includes` and `excludes` may have this name: that of any machine.
    pub(super) fn is_short_name(name: &str) -> bool {
        let is_elsewhere = || ELSEWHERE.iter().any(|known| known.to_ascii_lowercase() == name);
        ALL.iter().any(|(_, _, known, _)| *known == name) || is_elsewhere()
    }

    fn is_on(self, native: Architecture) -> bool {
        matches!(self, X86_64 | OfX32 | I386) == matches!(native, X86_64)
    }

    fn row(self) -> &'static (Architecture, &'static str, &'static str, u32) {
        &ALL[self as usize]
    }

    /// Returns the name in `includes` and `excludes`.
    pub(super) fn short_name(self) -> &'static str {
        self.row().2
    }

    /// Returns `AUDIT_ARCH_*`: the kernel's value for the architecture of a call.
    pub(super) fn audit(self) -> u32 {
        self.row().3
    }

    /// Returns whether its arguments have 32 bits: the kernel ignores the upper half of a register, but a filter sees
    /// it.
    pub(super) fn is_narrow(self) -> bool {
        matches!(self, OfX32 | I386 | Arm)
    }

    /// Returns the call of socketcall(2) or ipc(2) that is equivalent to `name`, as its name and its first argument.
    pub(super) fn multiplexed(self, name: &str) -> Option<(&'static str, u32)> {
        let found = |calls: &[(&str, u32)]| calls.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        match self {
            I386 => found(SOCKETCALL).map(|number| ("socketcall", number)).or(found(IPC).map(|call| ("ipc", call))),
            _ => None,
        }
    }
}

/// The numbers of <linux/net.h>.
const SOCKETCALL: &[(&str, u32)] = &[
    ("socket", 1),
    ("bind", 2),
    ("connect", 3),
    ("listen", 4),
    ("accept", 5),
    ("getsockname", 6),
    ("getpeername", 7),
    ("socketpair", 8),
    ("send", 9),
    ("recv", 10),
    ("sendto", 11),
    ("recvfrom", 12),
    ("shutdown", 13),
    ("setsockopt", 14),
    ("getsockopt", 15),
    ("sendmsg", 16),
    ("recvmsg", 17),
    ("accept4", 18),
    ("recvmmsg", 19),
    ("sendmmsg", 20),
];

/// The numbers of <linux/ipc.h>.
const IPC: &[(&str, u32)] = &[
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// The table of numbers, by name.
pub(super) struct Numbers(Vec<&'static str>);

impl Numbers {
    pub(super) fn read() -> Numbers {
        Numbers(TABLE.lines().filter(|line| !line.starts_with('#')).collect())
    }

    /// Returns whether any machine has a call of this name.
    pub(super) fn know(&self, name: &str) -> bool {
        self.row(name).is_some() || CALLS_ELSEWHERE.contains(&name)
    }

    fn row(&self, name: &str) -> Option<&'static str> {
        let at = self.0.binary_search_by(|line| line.split(' ').next().unwrap_or_default().cmp(name)).ok()?;
        Some(self.0[at])
    }

    /// Returns the number of a call, if this architecture has it.
    pub(super) fn find(&self, name: &str, architecture: Architecture) -> Option<u32> {
        let column = match architecture {
            X86_64 => 1,
            OfX32 => 2,
            I386 => 3,
            Aarch64 => 4,
            Arm => 5,
        };
        let number: u32 = self.row(name)?.split(' ').nth(column)?.parse().ok()?;
        Some(if architecture == OfX32 { number | X32 } else { number })
    }

    /// Returns the name of a call that the kernel reports by an `AUDIT_ARCH_*` and its number.
    pub(super) fn name(&self, audit_architecture: u32, number: u32) -> Option<&'static str> {
        let is_x32 = number & X32 != 0;
        let of = |it: &&(Architecture, _, _, u32)| it.3 == audit_architecture && (it.0 == OfX32) == is_x32;
        let architecture = ALL.iter().find(of)?.0;
        self.0
            .iter()
            .filter_map(|line| line.split(' ').next())
            .find(|name| self.find(name, architecture) == Some(number))
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().filter_map(|line| line.split(' ').next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_a_name_in_each_architecture() {
        let numbers = Numbers::read();
        for (architecture, number, name) in [
            (0xc000_003e, 170, Some("sethostname")),
            (0x4000_0003, 74, Some("sethostname")),
            (0xc000_00b7, 161, Some("sethostname")),
            (0xc000_003e, 4000, None),
            (7, 1, None),
        ] {
            assert_eq!(numbers.name(architecture, number), name);
        }
    }

    #[test]
    fn the_table_is_sorted_complete_and_correct_for_our_own_machine() {
        let numbers = Numbers::read();
        assert!(numbers.0.is_sorted_by_key(|line| line.split(' ').next()));
        assert!(numbers.0.iter().all(|line| line.split(' ').count() == 6));
        for (name, number) in [
            ("read", libc::SYS_read),
            ("clone3", libc::SYS_clone3),
            ("mount_setattr", libc::SYS_mount_setattr),
            ("seccomp", libc::SYS_seccomp),
            ("keyctl", libc::SYS_keyctl),
            ("unshare", libc::SYS_unshare),
            ("pivot_root", libc::SYS_pivot_root),
            ("futex_waitv", libc::SYS_futex_waitv),
        ] {
            assert_eq!(numbers.find(name, Architecture::NATIVE).map(i64::from), Some(number), "{name}");
        }
    }

    #[test]
    fn each_architecture_has_numbers_of_its_own() {
        let numbers = Numbers::read();
        // What x86_64 has had since rseq(2), x32 has, too.
        let newer = |name: &&str| numbers.find(name, X86_64).is_some_and(|number| number >= 334);
        for name in numbers.names().filter(newer) {
            let of_x32 = numbers.find(name, OfX32).map(|number| number & !X32);
            assert_eq!(of_x32, numbers.find(name, X86_64), "{name}");
        }
        let all = ALL.map(|(architecture, ..)| numbers.find("ptrace", architecture));
        assert_eq!(all, [Some(101), Some(X32 | 521), Some(26), Some(117), Some(26)]);
        assert_eq!(numbers.find("no_such_call", X86_64), None);
        assert!(numbers.know("ptrace") && numbers.know("swapcontext") && !numbers.know("no_such_call"));
        assert_eq!(numbers.find("open", Aarch64), None);
        assert_eq!(I386.multiplexed("socket"), Some(("socketcall", 1)));
        assert_eq!(X86_64.multiplexed("socket"), None);
    }

    #[test]
    fn architectures_of_other_machines_are_ignored_and_unknown_names_are_refused() {
        assert_eq!(Architecture::parse("SCMP_ARCH_S390X"), Ok(None));
        assert!(Architecture::parse("SCMP_ARCH_X86_64").is_ok());
        assert!(Architecture::parse("SCMP_ARCH_PDP11").is_err());
    }
}
