//! The secure bits of another process, which no file and no system call reports. `capabilities(7)`, `bpf(2)`.
//!
//! So the kernel's iterator over tasks runs a program of a few instructions, which reads them at the offsets that BTF
//! gives. The process is neither stopped nor involved: nothing in it can falsify or notice the reading.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use plumbing::confinement::privilege::holds;
use plumbing::kernel::{Instruction, call, iterate, link_task_iterator, load_iterator_program, look};
use plumbing::process::kernel_text;
use plumbing::process::namespace::Kind;
use plumbing::process::target::{Target, is_in_first_namespace};
use plumbing::{Fault, narrate};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet};

use super::btf::Btf;

/// The kernel shows its structures only to programs that may also be used under the GPL. This one may.
const LICENSE: &CStr = c"Dual MIT/GPL";

const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// Returns the secure bits of the target; `None` under `--dry-run`, which runs no program.
///
/// # Errors
/// EPERM except for root of the first user namespace, ENOENT from a kernel without BTF, E2BIG in a pid namespace before
/// Linux 6.1.
pub(crate) fn of(target: &Target) -> Result<Option<CapabilitiesSecureBits>, Fault> {
    let goal = format!("read the secure bits of process {}", target.pid());
    let link = Program::load(&goal, target.is_thread())?.link(&goal, target)?;
    let text = "bpf(BPF_ITER_CREATE, {link_fd})";
    let tasks = call(&goal, text, "each read(2) of it runs the program; bpf(2)", || iterate(&link.descriptor))?;
    if narrate::is_dry_run() {
        return Ok(None);
    }
    let mut output = Vec::new();
    look(&goal, "read(bpf_iter)", || File::from(tasks).read_to_end(&mut output))?;
    let bits = link.find(&output, target.pid());
    // The bits were found by pid, which cannot be reused until the target has ended.
    match bits {
        Some(_) if !target.has_ended()? => Ok(bits),
        _ => Err(Fault::kernel(goal, "read(bpf_iter)", Errno::ESRCH)),
    }
}

/// The program, loaded into the kernel.
struct Program(OwnedFd);

/// The program, linked to the tasks that it runs for.
struct Link {
    descriptor: OwnedFd,
    /// Whether it runs for all processes instead of only the target.
    is_wide: bool,
}

impl Program {
    fn load(goal: &str, for_threads: bool) -> Result<Program, Fault> {
        let types = look(goal, format!("read({TYPES:?})"), || kernel_text::bytes(TYPES)).map_err(explain_absence)?;
        let (number, offsets) = Btf::parse(&types)
            .and_then(|types| Some((types.function("bpf_iter_task")?, Offsets::of(&types)?)))
            .ok_or_else(|| Fault::new(format!("cannot {goal}: {TYPES} does not describe where they are stored")))?;
        let program = instructions(&offsets, for_threads);
        let text = format!(
            "bpf(BPF_PROG_LOAD, {{prog_type=BPF_PROG_TYPE_TRACING, insn_cnt={}, license={LICENSE:?}, \
             expected_attach_type=BPF_TRACE_ITER, attach_btf_id={number}}})",
            program.len()
        );
        let why = "no system call reports secure bits of others; these instructions read them in the kernel; bpf(2)";
        call(goal, text, why, || load_iterator_program(&program, LICENSE, number)).map(Program).map_err(explain_refusal)
    }

    fn link(&self, goal: &str, target: &Target) -> Result<Link, Fault> {
        if target.is_thread() {
            // The selection by a descriptor or an id finds first threads only.
            let why = "for every thread, because the iterator selects only processes; bpf(2)";
            let inside = "the secure bits of a single thread can be read only from the first pid namespace";
            return self.link_all(goal, why).unwrap_or_else(|| Err(Fault::new(format!("cannot {goal}: {inside}"))));
        }
        let text =
            "bpf(BPF_LINK_CREATE, {link_create={prog_fd, attach_type=BPF_TRACE_ITER, iter_info={task={pid_fd}}}})";
        let linked =
            call(goal, text, "only for the target; bpf(2)", || link_task_iterator(&self.0, Some(target.pidfd())));
        match linked {
            Ok(descriptor) => Ok(Link { descriptor, is_wide: false }),
            // Before Linux 6.1, the iterator cannot be restricted to a process.
            Err(fault) if matches!(fault.errno(), Some(Errno::E2BIG | Errno::EINVAL)) => {
                let why = "for every process, because Linux before 6.1 cannot select; bpf(2)";
                let remedy = "before Linux 6.1, this works only in the first pid namespace";
                self.link_all(goal, why).unwrap_or_else(|| Err(fault.with_remedy(remedy)))
            }
            Err(fault) => Err(fault),
        }
    }

    /// Links the program to all threads. Their ids are then those of the first pid namespace; `None` in another one.
    fn link_all(&self, goal: &str, why: &str) -> Option<Result<Link, Fault>> {
        if is_in_first_namespace(Kind::Pid) != Some(true) {
            return None;
        }
        let text = "bpf(BPF_LINK_CREATE, {link_create={prog_fd, attach_type=BPF_TRACE_ITER}})";
        let linked = call(goal, text, why, || link_task_iterator(&self.0, None));
        Some(linked.map(|descriptor| Link { descriptor, is_wide: true }))
    }
}

impl Link {
    /// Finds the secure bits of a process in the program's output: pid and secure bits of each process.
    fn find(&self, output: &[u8], pid: i32) -> Option<CapabilitiesSecureBits> {
        let number = |bytes: &[u8]| Some(u32::from_ne_bytes(bytes.try_into().ok()?));
        let mut processes = output.chunks_exact(8).filter_map(|line| Some((number(&line[..4])?, number(&line[4..])?)));
        let bits = processes.find(|(found, _)| !self.is_wide || i32::try_from(*found) == Ok(pid)).map(|(_, bits)| bits);
        bits.map(CapabilitiesSecureBits::from_bits_retain)
    }
}

/// The offsets of the members that the program reads.
#[derive(Debug)]
struct Offsets {
    pid: i16,
    tgid: i16,
    real_cred: i16,
    securebits: i16,
}

impl Offsets {
    fn of(types: &Btf<'_>) -> Option<Offsets> {
        Some(Offsets {
            pid: types.offset("task_struct", "pid")?,
            tgid: types.offset("task_struct", "tgid")?,
            // Not `cred`, which changes while the kernel acts on behalf of another user.
            real_cred: types.offset("task_struct", "real_cred")?,
            securebits: types.offset("cred", "securebits")?,
        })
    }
}

/// Returns the program, which writes id and secure bits: of each thread, or once per process, of its first thread.
fn instructions(offsets: &Offsets, for_threads: bool) -> [Instruction; 17] {
    const CONTEXT: u8 = 1;
    const TASK: u8 = 6;
    const STACK: u8 = 10;
    const SEQ_WRITE: i32 = 127;
    let op =
        |code, to: u8, from: u8, offset, immediate| Instruction { code, registers: to | from << 4, offset, immediate };
    let pointer = |to, from, offset| op(0x79, to, from, offset, 0);
    let number = |to, from, offset| op(0x61, to, from, offset, 0);
    let store = |offset, from| op(0x63, STACK, from, offset, 0);
    let set = |to, immediate| op(0xb7, to, 0, 0, immediate);
    [
        // struct bpf_iter__task { struct bpf_iter_meta *meta; struct task_struct *task; }
        pointer(TASK, CONTEXT, 8),
        // The task is NULL after the last one.
        op(0x15, TASK, 0, 13, 0),
        number(2, TASK, offsets.pid),
        number(3, TASK, offsets.tgid),
        op(0x5d, 2, 3, if for_threads { 0 } else { 10 }, 0),
        store(-8, 2),
        pointer(3, TASK, offsets.real_cred),
        number(3, 3, offsets.securebits),
        store(-4, 3),
        // bpf_seq_write(context->meta->seq, stack - 8, 8)
        pointer(1, CONTEXT, 0),
        pointer(1, 1, 0),
        op(0xbf, 2, STACK, 0, 0),
        op(0x07, 2, 0, 0, -8),
        set(3, 8),
        op(0x85, 0, 0, 0, SEQ_WRITE),
        set(0, 0),
        op(0x95, 0, 0, 0, 0),
    ]
}

fn explain_absence(fault: Fault) -> Fault {
    match fault.errno() {
        Some(Errno::ENOENT) if Path::new("/sys/kernel").exists() => {
            fault.with_remedy("this kernel was built without CONFIG_DEBUG_INFO_BTF: use --like-target-try")
        }
        Some(Errno::ENOENT) => fault.with_remedy("no sysfs is mounted on /sys here"),
        _ => fault,
    }
}

fn explain_refusal(fault: Fault) -> Fault {
    let may = |right| holds(right) == Some(true);
    let has_right = may(CapabilitySet::SYS_ADMIN) || (may(CapabilitySet::BPF) && may(CapabilitySet::PERFMON));
    match fault.errno() {
        Some(Errno::EPERM) if !has_right || is_in_first_namespace(Kind::User) == Some(false) => fault.with_remedy(
            "the kernel shows secure bits only to root of the first user namespace: use --like-target-try",
        ),
        _ => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_found_by_its_pid_among_all_processes() {
        let output: Vec<u8> = [7_u32, 1, 8, 2].into_iter().flat_map(u32::to_ne_bytes).collect();
        let link = |is_wide| Link { descriptor: File::open("/").unwrap().into(), is_wide };
        let bits = |is_wide, pid| link(is_wide).find(&output, pid).map(|bits| bits.bits());
        assert_eq!((bits(true, 8), bits(true, 9), bits(false, 1)), (Some(2), None, Some(1)));
        assert_eq!(link(false).find(&output[..7], 7), None);
    }

    #[test]
    fn each_jump_leads_to_the_end() {
        let program = instructions(&Offsets { pid: 0, tgid: 4, real_cred: 8, securebits: 16 }, false);
        for (at, one) in program.iter().enumerate().filter(|(_, one)| one.offset > 0 && matches!(one.code, 0x15 | 0x5d))
        {
            assert_eq!(at + 1 + one.offset as usize, program.len() - 2, "{one:?}");
        }
    }
}
