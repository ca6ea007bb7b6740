//! The compiled program is run by a BPF machine of our own, and must give the same answers as reading the policy.

use super::*;
use crate::confinement::seccomp::policy::Rule;

/// A system call, as a filter sees it; `struct seccomp_data`.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u32,
    audit: u32,
    arguments: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            NUMBER => self.number,
            ARCHITECTURE => self.audit,
            _ => {
                let at = offset.checked_sub(ARGUMENTS).expect("no load of the instruction pointer");
                assert!(at.is_multiple_of(4) && at < 48, "load at {offset}");
                (self.arguments[at as usize / 8] >> (8 * (at % 8))) as u32
            }
        }
    }
}

/// Runs a program, checked as the kernel checks it: no jump leads out of it. Also returns the number of steps.
fn run(program: &[Instruction], call: &Call) -> (u32, usize) {
    let (mut at, mut accumulator, mut steps) = (0_usize, 0_u32, 0);
    loop {
        let Instruction { code, yes, no, value } = program[at];
        at += 1;
        steps += 1;
        let jump = |condition: bool| usize::from(if condition { yes } else { no });
        match code {
            LOAD => accumulator = call.word(value),
            AND => accumulator &= value,
            JUMP => at += value as usize,
            IF_EQUAL => at += jump(accumulator == value),
            IF_GREATER => at += jump(accumulator > value),
            IF_GREATER_OR_EQUAL => at += jump(accumulator >= value),
            RETURN => return (value, steps),
            other => panic!("instruction {other:#x}"),
        }
    }
}

/// Returns the answer of the policy, read rule by rule.
fn read(policy: &Policy, call: &Call) -> Action {
    let numbers = Numbers::read();
    let is_x32 = call.audit == Architecture::X86_64.audit() && call.number >= X32 && call.number != u32::MAX;
    let architecture = policy
        .architectures
        .iter()
        .find(|known| known.audit() == call.audit && (**known == Architecture::X32) == is_x32);
    let unnamed =
        if is_x32 && policy.architectures.contains(&Architecture::X86_64) { policy.unnamed_x32 } else { FOREIGN };
    let Some(architecture) = architecture else { return unnamed };
    let holds = |condition: &Condition| {
        let argument = call.arguments[usize::from(condition.argument)];
        let argument = if architecture.is_narrow() { argument & 0xffff_ffff } else { argument };
        let value = condition.value;
        match condition.operator {
            Operator::NotEqual => argument != value,
            Operator::Less => argument < value,
            Operator::LessOrEqual => argument <= value,
            Operator::Equal => argument == value,
            Operator::GreaterOrEqual => argument >= value,
            Operator::Greater => argument > value,
            Operator::MaskedEqual(mask) => argument & mask == value,
        }
    };
    let matches = |rule: &&Rule| {
        let is_direct = numbers.find(&rule.name, *architecture) == Some(call.number);
        is_direct && rule.conditions.iter().all(holds) || is_multiplexed(&numbers, rule, *architecture, call)
    };
    policy
        .rules
        .iter()
        .filter(matches)
        .map(|rule| rule.action)
        .min_by_key(|action| action.leniency())
        .unwrap_or(policy.default)
}

fn is_multiplexed(numbers: &Numbers, rule: &Rule, architecture: Architecture, call: &Call) -> bool {
    let Some((name, number)) = architecture.multiplexed(&rule.name) else { return false };
    let asked = if name == "ipc" { call.arguments[0] & 0xffff } else { call.arguments[0] & 0xffff_ffff };
    numbers.find(name, architecture) == Some(call.number)
        && asked == u64::from(number)
        && (rule.conditions.is_empty() || !matches!(rule.action, Action::Allow | Action::Log))
}

/// Pseudo-random numbers, the same in each run: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit as u64) as usize
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    /// Returns values at which a comparison in halves could go wrong, and neighbors of `near`.
    fn value(&mut self, near: &[u64]) -> u64 {
        let edges = [0, 1, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, 0xffff_ffff_0000_0000, u64::MAX];
        match (self.below(4), near.is_empty()) {
            (0, _) | (_, true) => self.one_of(&edges),
            (1, _) => self.roll(),
            (2, _) => self.one_of(near),
            _ => {
                let value = self.one_of(near);
                let step = self.one_of(&[1, u64::MAX, 1 << 32, (1_u64 << 32).wrapping_neg()]);
                value.wrapping_add(step)
            }
        }
    }

    fn action(&mut self) -> Action {
        self.one_of(&[
            Action::KillProcess,
            Action::KillThread,
            Action::Trap,
            Action::Errno(1),
            Action::Errno(38),
            Action::Trace(7),
            Action::Log,
            Action::Allow,
        ])
    }

    fn condition(&mut self, near: &[u64]) -> Condition {
        let mask = self.value(&[]);
        let value = self.value(near);
        let (operator, value) = self.one_of(&[
            (Operator::NotEqual, value),
            (Operator::Less, value),
            (Operator::LessOrEqual, value),
            (Operator::Equal, value),
            (Operator::GreaterOrEqual, value),
            (Operator::Greater, value),
            (Operator::MaskedEqual(mask), value & mask),
            (Operator::MaskedEqual(mask), value),
        ]);
        Condition { argument: self.below(6) as u8, operator, value, is_narrow: false }
    }

    fn policy(&mut self, length: usize) -> Policy {
        let names: Vec<_> = Numbers::read().names().collect();
        let near = [self.roll(), self.roll() & 0xffff_ffff];
        let few: Vec<_> = (0..length.max(4) / 2).map(|_| self.one_of(&names)).chain(["socket", "semop"]).collect();
        let rules = (0..length)
            .map(|_| {
                let conditions = (0..self.one_of(&[0, 0, 1, 1, 2, 4])).map(|_| self.condition(&near)).collect();
                Rule { name: self.one_of(&few).to_owned(), action: self.action(), conditions }
            })
            .collect();
        let architectures = self.one_of(&[
            vec![Architecture::X86_64],
            vec![Architecture::X86_64, Architecture::I386],
            vec![Architecture::X86_64, Architecture::I386, Architecture::X32],
            vec![Architecture::Aarch64, Architecture::Arm],
        ]);
        let unnamed_x32 = self.one_of(&[Action::KillProcess, Action::Errno(38)]);
        Policy { default: self.action(), rules, architectures, unnamed_x32, flags: 0 }
    }

    fn call(&mut self, policy: &Policy) -> Call {
        let architecture = self.one_of(&[
            Architecture::X86_64,
            Architecture::X86_64,
            Architecture::X32,
            Architecture::I386,
            Architecture::Aarch64,
            Architecture::Arm,
        ]);
        let near: Vec<_> =
            policy.rules.iter().flat_map(|rule| &rule.conditions).map(|condition| condition.value).collect();
        let numbers = Numbers::read();
        let named = policy.rules.get(self.below(policy.rules.len().max(1))).map(|rule| rule.name.clone());
        let number = match self.below(8) {
            0 => self.roll() as u32,
            1 => self.one_of(&[0, X32 - 1, X32, X32 + 521, u32::MAX, u32::MAX - 1, 102, 117]),
            2 => self.below(500) as u32,
            _ => named.and_then(|name| numbers.find(&name, architecture)).unwrap_or(3),
        };
        let mut arguments = [0; 6].map(|_: u64| self.value(&near));
        if number == 102 || number == 117 {
            arguments[0] = self.one_of(&[1, 2, 24, 0x3_0001, 0x1_0000_0001]);
        }
        Call { number, audit: architecture.audit(), arguments }
    }
}

#[test]
fn a_program_gives_the_answers_of_its_policy() {
    let mut dice = Dice(0x5ecc_0000_0000_0001);
    for round in 0..150 {
        let length = dice.one_of(&[0, 1, 3, 10, 40, 120]);
        let policy = dice.policy(length);
        let program = compile(&policy).unwrap();
        for _ in 0..60 {
            let call = dice.call(&policy);
            let (answer, _) = run(&program, &call);
            assert_eq!(answer, read(&policy, &call).code(), "round {round}: {call:x?}\n{policy:#?}");
        }
    }
}

#[test]
fn every_number_of_a_long_policy_gets_the_answer_of_the_policy() {
    // Long enough that jumps do not reach their target in one step.
    let names: Vec<_> = Numbers::read().names().collect();
    let mut dice = Dice(7);
    let rules = names.iter().enumerate().filter(|(at, _)| at % 3 == 1).map(|(at, name)| Rule {
        name: (*name).to_owned(),
        action: Action::Errno(at as u16),
        conditions: (0..at % 4 / 2).map(|_| dice.condition(&[])).collect(),
    });
    let rules = rules.collect();
    let architectures = vec![Architecture::X86_64, Architecture::I386, Architecture::X32];
    let policy = Policy { default: Action::Allow, rules, architectures, unnamed_x32: FOREIGN, flags: 0 };
    let program = compile(&policy).unwrap();
    assert!(program.len() > 1000);
    for audit in [Architecture::X86_64.audit(), Architecture::I386.audit(), 0x4000_0028] {
        for number in (0..600).chain(X32 - 2..X32 + 600).chain(u32::MAX - 2..=u32::MAX) {
            for arguments in [[0; 6], [u64::MAX; 6], [0, 1, 2, 3, 4, 5]] {
                let call = Call { number, audit, arguments };
                assert_eq!(run(&program, &call).0, read(&policy, &call).code(), "{call:x?}");
            }
        }
    }
}

#[test]
fn a_program_that_is_too_long_for_the_kernel_is_refused() {
    let condition = Condition { argument: 0, operator: Operator::Equal, value: 1, is_narrow: false };
    let rule = |at: u64| Rule {
        name: "read".into(),
        action: Action::Errno(1),
        conditions: vec![Condition { value: at, ..condition }],
    };
    let architectures = vec![Architecture::X86_64];
    let policy = Policy {
        default: Action::Allow,
        rules: (0..2000).map(rule).collect(),
        architectures,
        unnamed_x32: FOREIGN,
        flags: 0,
    };
    assert!(compile(&policy).unwrap_err().to_string().contains("too long"));
}

#[test]
fn few_comparisons_find_any_number() {
    let rule = |name: &'static str| Rule { name: name.into(), action: Action::Allow, conditions: Vec::new() };
    let rules = Numbers::read().names().step_by(2).map(rule).collect();
    let policy = Policy {
        default: Action::Errno(1),
        rules,
        architectures: vec![Architecture::X86_64],
        unnamed_x32: FOREIGN,
        flags: 0,
    };
    let program = compile(&policy).unwrap();
    let audit = Architecture::X86_64.audit();
    let longest = (0..500).map(|number| run(&program, &Call { number, audit, arguments: [0; 6] }).1).max();
    assert!(longest <= Some(16), "{longest:?}");
}

/// The default profile, for a command with these capabilities.
struct Default {
    program: Vec<Instruction>,
    numbers: Numbers,
}

impl Default {
    fn with(capabilities: &[&str]) -> Default {
        let capabilities = crate::confinement::privilege::capability_set(capabilities).unwrap();
        let policy = crate::confinement::seccomp::Seccomp::Default.policy(capabilities).unwrap();
        Default { program: compile(&policy).unwrap(), numbers: Numbers::read() }
    }

    fn answers(&self, architecture: Architecture, name: &str, arguments: &[u64]) -> u32 {
        let number = self.numbers.find(name, architecture).unwrap_or_else(|| panic!("{name}"));
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        run(&self.program, &Call { number, audit: architecture.audit(), arguments: all }).0
    }

    fn native(&self, name: &str, arguments: &[u64]) -> u32 {
        self.answers(Architecture::NATIVE, name, arguments)
    }
}

const EPERM: u32 = 0x5_0001;
const ENOSYS: u32 = 0x5_0026;
const EAFNOSUPPORT: u32 = 0x5_0061;
const ALLOWED: u32 = 0x7fff_0000;

#[test]
fn the_default_refuses_what_docker_refuses() {
    let default = Default::with(&crate::confinement::privilege::DOCKER_CAPABILITIES);
    let refused = "mount umount2 pivot_root mount_setattr move_mount open_tree fsopen fsmount fsconfig fspick unshare setns \
        bpf perf_event_open userfaultfd keyctl add_key request_key open_by_handle_at kexec_load kexec_file_load \
        init_module finit_module delete_module reboot swapon swapoff syslog quotactl quotactl_fd acct mbind migrate_pages \
        move_pages set_mempolicy get_mempolicy set_mempolicy_home_node kcmp pidfd_getfd process_madvise settimeofday \
        clock_settime sethostname setdomainname lookup_dcookie fanotify_init vhangup nfsservctl lsm_set_self_attr";
    for name in refused.split_whitespace() {
        assert_eq!(default.native(name, &[]), EPERM, "{name}");
    }
    for name in ["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "listns"] {
        assert_eq!(default.native(name, &[]), ENOSYS, "{name}");
    }
    for name in ["read", "execve", "openat", "wait4", "ptrace", "chroot", "futex", "seccomp"] {
        assert_eq!(default.native(name, &[]), ALLOWED, "{name}");
    }
    assert_eq!(Default::with(&[]).native("chroot", &[]), EPERM);
}

#[test]
fn the_default_looks_at_arguments_where_the_kernel_does() {
    let default = Default::with(&[]);
    for bit in [17, 25, 26, 27, 28, 29, 30] {
        assert_eq!(default.native("clone", &[0x11 | 1 << bit]), EPERM, "bit {bit}");
    }
    assert_eq!(default.native("clone", &[0x011d_0f00 | 0x11]), ALLOWED);
    for family in 0..60 {
        let is_allowed = [1, 2, 10, 16, 17].contains(&family);
        let answer = if is_allowed { ALLOWED } else { EAFNOSUPPORT };
        assert_eq!(default.native("socket", &[family]), answer, "family {family}");
        // The kernel looks only at the lower half.
        assert_eq!(default.native("socket", &[family | 1 << 32]), EAFNOSUPPORT, "family {family}");
    }
    for request in [0x5412, 0x541c, 0x1_0000_5412] {
        assert_eq!(default.native("ioctl", &[0, request]), EPERM, "{request:#x}");
    }
    assert_eq!(default.native("ioctl", &[0, 0x5401]), ALLOWED);
    assert_eq!(default.native("personality", &[0xffff_ffff]), ALLOWED);
    assert_ne!(default.native("personality", &[0x0004_0000]), ALLOWED);
}

#[test]
fn the_default_follows_capabilities() {
    let admin = Default::with(&["CAP_SYS_ADMIN"]);
    for name in ["mount", "unshare", "setns", "clone3", "bpf", "syslog"] {
        assert_eq!(admin.native(name, &[]), ALLOWED, "{name}");
    }
    assert_eq!(admin.native("clone", &[1 << 28]), ALLOWED);
    assert_eq!(admin.native("keyctl", &[]), EPERM);
    assert_eq!(Default::with(&["CAP_BPF"]).native("bpf", &[]), ALLOWED);
    assert_eq!(Default::with(&["CAP_SYS_TIME"]).native("clock_settime", &[]), ALLOWED);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_default_cannot_be_bypassed_through_other_architectures() {
    let default = Default::with(&[]);
    assert_eq!(default.answers(Architecture::I386, "mount", &[]), EPERM);
    assert_eq!(default.answers(Architecture::I386, "read", &[]), ALLOWED);
    assert_eq!(default.answers(Architecture::I386, "socketcall", &[3]), ALLOWED);
    assert_eq!(default.answers(Architecture::I386, "socketcall", &[1]), EAFNOSUPPORT);
    assert_eq!(default.answers(Architecture::I386, "ipc", &[1 << 16 | 23]), ALLOWED);
    for number in (X32..X32 + 600).chain([X32 - 1 + X32, u32::MAX >> 1, 0x8000_0000, u32::MAX - 1]) {
        let call = Call { number, audit: Architecture::X32.audit(), arguments: [0; 6] };
        assert_eq!(run(&default.program, &call).0, ENOSYS, "{number:#x}");
    }
    assert_eq!(default.answers(Architecture::Aarch64, "read", &[]), 0x8000_0000);
}
