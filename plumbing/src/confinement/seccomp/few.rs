//! A filter for a process that makes only a few different calls until it ends. `seccomp(2)`.
//!
//! The numbers are those of the machine for which this program was compiled, so no table is read. A call through
//! another architecture ends the process. Any other call fails with EPERM: if the kernel killed an init for one
//! unexpected call of the C library, its container would end with it, and a call that fails gives an attacker no more
//! than a call that kills.

use libc::c_long;

use super::architecture::Architecture;
use super::program::{ARCHITECTURE, IF_EQUAL, Instruction, LOAD, NUMBER, RETURN, half};
use crate::Fault;
use crate::kernel::{call, set_seccomp_filter};

/// A call that stays allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    number: c_long,
    /// The arguments that must have these values in their lower halves, which are the whole of an `int`.
    only: [Option<(u8, u32)>; 2],
}

impl Allowed {
    /// Allows the call with any arguments.
    pub const fn call(number: c_long) -> Allowed {
        Allowed { number, only: [None; 2] }
    }

    /// Allows the call only with this `int` as the argument at this index.
    pub const fn with(number: c_long, argument: u8, value: i32) -> Allowed {
        Allowed { number, only: [Some((argument, value.cast_unsigned())), None] }
    }

    /// Requires also this `int` as the argument at this index.
    pub const fn and(self, argument: u8, value: i32) -> Allowed {
        Allowed { only: [self.only[0], Some((argument, value.cast_unsigned()))], ..self }
    }

    /// Returns the arguments that are compared, with their values.
    fn compared(&self) -> impl Iterator<Item = (u8, u32)> + Clone {
        self.only.into_iter().flatten()
    }
}

/// The calls for waiting, memory and ending, whatever the process waits for.
const ALWAYS: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_ppoll,
    libc::SYS_clock_gettime,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_futex,
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_madvise,
    libc::SYS_exit,
    libc::SYS_exit_group,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_pause,
];

/// Allows only these calls, and those that every process needs to wait and to end; requires no_new_privs or
/// CAP_SYS_ADMIN. The descriptors `kept` can never be closed.
pub fn allow_only(calls: &[Allowed], kept: &[i32]) -> Result<(), Fault> {
    let program: Vec<_> = program(calls, kept)?.into_iter().map(libc::sock_filter::from).collect();
    let text = format!("seccomp(SECCOMP_SET_MODE_FILTER, 0, {{len={}, filter=…}})", program.len());
    let why = "only the few calls that this process still needs; seccomp(2)";
    call("filter system calls", text, why, || set_seccomp_filter(&program, 0))
}

fn program(calls: &[Allowed], kept: &[i32]) -> Result<Vec<Instruction>, Fault> {
    let all: Vec<_> = ALWAYS.iter().map(|number| Allowed::call(*number)).chain(calls.iter().copied()).collect();
    // The number; then each argument is loaded and compared, and the number is loaded for the next test.
    let length = |compared: usize| if compared == 0 { 1 } else { 2 + 2 * compared };
    let tests = all.iter().map(|allowed| length(allowed.compared().count())).sum::<usize>();
    // Comparing the number, and loading the descriptor and the number.
    let tests = tests + if kept.is_empty() { 0 } else { 3 + kept.len() };
    // The refusal follows the tests, and the permission follows the refusal.
    let permission = 4 + tests + 1;
    let mut program = vec![
        load(ARCHITECTURE),
        if_equal(Architecture::NATIVE.audit(), 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
    ];
    if !kept.is_empty() {
        program.push(if_equal(native(libc::SYS_close)?, 0, distance(2 + kept.len(), 0)?));
        program.push(load(half(0, false)));
        for fd in kept {
            let refusal = distance(permission - 1, program.len())?;
            program.push(if_equal(fd.cast_unsigned(), refusal, 0));
        }
        program.push(load(NUMBER));
    }
    for allowed in &all {
        let number = native(allowed.number)?;
        let compared = allowed.compared().count();
        if compared == 0 {
            let distance = distance(permission, program.len())?;
            program.push(if_equal(number, distance, 0));
            continue;
        }
        let next = program.len() + length(compared) - 1;
        program.push(if_equal(number, 0, distance(next + 1, program.len())?));
        for (at, (argument, value)) in allowed.compared().enumerate() {
            program.push(load(half(argument, false)));
            let yes = if at + 1 == compared { distance(permission, program.len())? } else { 0 };
            program.push(if_equal(value, yes, distance(next, program.len())?));
        }
        // The next test needs the number.
        program.push(load(NUMBER));
    }
    program.push(answer(libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned()));
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    Ok(program)
}

fn native(number: c_long) -> Result<u32, Fault> {
    u32::try_from(number).map_err(|_| too_long())
}

fn distance(to: usize, from: usize) -> Result<u8, Fault> {
    u8::try_from(to - from - 1).map_err(|_| too_long())
}

fn too_long() -> Fault {
    Fault::new("a filter for a few calls has too many calls")
}

fn load(offset: u32) -> Instruction {
    Instruction { code: LOAD, yes: 0, no: 0, value: offset }
}

fn if_equal(value: u32, yes: u8, no: u8) -> Instruction {
    Instruction { code: IF_EQUAL, yes, no, value }
}

fn answer(action: u32) -> Instruction {
    Instruction { code: RETURN, yes: 0, no: 0, value: action }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second argument of every call.
    const SECOND: u32 = 1;

    /// Returns the answer of the kernel's BPF machine.
    fn decide(program: &[Instruction], architecture: u32, number: u32, first: u32) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let Instruction { code, yes, no, value } = program[at];
            at += 1;
            match code {
                LOAD if value == ARCHITECTURE => loaded = architecture,
                LOAD if value == NUMBER => loaded = number,
                LOAD if value == half(0, false) => loaded = first,
                LOAD if value == half(1, false) => loaded = SECOND,
                IF_EQUAL => at += usize::from(if loaded == value { yes } else { no }),
                RETURN => return value,
                _ => panic!("no such instruction: {code} {value}"),
            }
        }
    }

    #[test]
    fn only_the_named_calls_are_allowed() {
        let number = |number: c_long| u32::try_from(number).unwrap();
        let (kill, wait) = (number(libc::SYS_kill), number(libc::SYS_wait4));
        let (socket, pair) = (number(libc::SYS_socket), number(libc::SYS_socketpair));
        let calls = [
            Allowed::with(libc::SYS_kill, 0, 7),
            Allowed::call(libc::SYS_wait4),
            Allowed::with(libc::SYS_socket, 0, 2).and(1, 1),
            Allowed::with(libc::SYS_socket, 0, 10).and(1, 1),
            Allowed::with(libc::SYS_socketpair, 0, 2).and(1, 9),
        ];
        let close = number(libc::SYS_close);
        let program = program(&calls, &[3, 7]).unwrap();
        let native = Architecture::NATIVE.audit();
        let refused = libc::SECCOMP_RET_ERRNO | 1;
        let answers = [
            (native, kill, 7, libc::SECCOMP_RET_ALLOW),
            (native, kill, 8, refused),
            (native, kill, u32::MAX, refused),
            (native, wait, 8, libc::SECCOMP_RET_ALLOW),
            (native, socket, 2, libc::SECCOMP_RET_ALLOW),
            (native, socket, 10, libc::SECCOMP_RET_ALLOW),
            (native, socket, 1, refused),
            (native, pair, 2, refused),
            (native, number(libc::SYS_exit_group), 0, libc::SECCOMP_RET_ALLOW),
            (native, close, 3, refused),
            (native, close, 7, refused),
            (native, close, 4, libc::SECCOMP_RET_ALLOW),
            (native, close, u32::MAX, libc::SECCOMP_RET_ALLOW),
            (native, number(libc::SYS_openat), 7, refused),
            (native, number(libc::SYS_execve), 0, refused),
            (native, wait | 0x4000_0000, 0, refused),
            (0x4000_0003, wait, 0, libc::SECCOMP_RET_KILL_PROCESS),
        ];
        for (architecture, number, first, expected) in answers {
            assert_eq!(decide(&program, architecture, number, first), expected, "{number} with {first}");
        }
    }
}
