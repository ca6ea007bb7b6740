//! Programs that the kernel runs for us, and queries about programs of others. `bpf(2)`.
//!
//! Each command of the call has a structure of its own. Only the part that the command had from the beginning has to be
//! passed: the kernel assumes 0 for the rest.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::adopt;

/// One instruction; `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// The operation.
    pub code: u8,
    /// The registers: in the lower half the destination, in the upper half the source.
    pub registers: u8,
    /// A distance in memory, or to the next instruction.
    pub offset: i16,
    /// An immediate operand.
    pub immediate: i32,
}

/// What `BPF_PROG_LOAD` reads: all members up to the last one that this crate needs.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// The kind of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProgramKind {
    /// A value of `enum bpf_prog_type`.
    pub(crate) program: u32,
    /// A value of `enum bpf_attach_type`.
    pub(crate) attach: u32,
    /// The id of the kernel's function in the kernel's type information, or 0.
    pub(crate) function: u32,
}

/// Loads a program; `BPF_PROG_LOAD`. Of the name, the kernel gets at most 15 bytes.
pub(crate) fn load(kind: ProgramKind, name: &str, license: &CStr, program: &[Instruction]) -> Result<OwnedFd, Errno> {
    const PROG_LOAD: libc::c_int = 5;
    let mut load = Load {
        prog_type: kind.program,
        insn_cnt: u32::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        insns: program.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        prog_name: object_name(name),
        expected_attach_type: kind.attach,
        attach_btf_id: kind.function,
        ..Load::default()
    };
    // SAFETY: a whole Load with its size, as many instructions as it specifies and a NUL-terminated text; without a log
    // the kernel writes nothing.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw mut load, size_of::<Load>()) };
    Errno::result(answer).map(|fd| adopt(fd as RawFd))
}

/// Returns the name of a program or map as the kernel takes it.
pub(crate) fn object_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let length = name.len().min(15);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}

/// Loads a program that an iterator of the kernel calls for each object. `iterator` is the id of the iterator's function in
/// the kernel's type information.
pub fn load_iterator_program(program: &[Instruction], license: &CStr, iterator: u32) -> Result<OwnedFd, Errno> {
    const TRACING: u32 = 26;
    load(ProgramKind { program: TRACING, attach: TRACE_ITER, function: iterator }, "", license, program)
}

/// Attaches such a program to the tasks of the machine: those of the process behind this pidfd, or all;
/// `BPF_LINK_CREATE`.
pub fn link_task_iterator(program: impl AsFd, of: Option<BorrowedFd<'_>>) -> Result<OwnedFd, Errno> {
    /// The part of `union bpf_iter_link_info` about tasks.
    #[repr(C)]
    struct Tasks {
        tid: u32,
        pid: u32,
        pid_fd: u32,
    }
    #[repr(C)]
    struct Link {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        flags: u32,
        iter_info: u64,
        iter_info_len: u32,
        padding: u32,
    }
    const LINK_CREATE: libc::c_int = 28;
    let tasks = of.map(|pidfd| Tasks { tid: 0, pid: 0, pid_fd: pidfd.as_raw_fd().cast_unsigned() });
    let mut link = Link {
        prog_fd: program.as_fd().as_raw_fd().cast_unsigned(),
        target_fd: 0,
        attach_type: TRACE_ITER,
        flags: 0,
        iter_info: tasks.as_ref().map_or(0, |tasks| std::ptr::from_ref(tasks).expose_provenance() as u64),
        iter_info_len: tasks.as_ref().map_or(0, |_| size_of::<Tasks>() as u32),
        padding: 0,
    };
    // SAFETY: a whole Link with its size, and a whole Tasks with its size, or none; the kernel only reads them.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, LINK_CREATE, &raw mut link, size_of::<Link>()) };
    Errno::result(answer).map(|fd| adopt(fd as RawFd))
}

/// Returns a descriptor from which each read(2) runs the program and returns what it wrote; `BPF_ITER_CREATE`.
pub fn iterate(link: impl AsFd) -> Result<OwnedFd, Errno> {
    const ITER_CREATE: libc::c_int = 33;
    // The link's descriptor, and no flags.
    let mut iterate = [link.as_fd().as_raw_fd().cast_unsigned(), 0];
    // SAFETY: both numbers that this command has, with their size; the kernel only reads them.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, ITER_CREATE, iterate.as_mut_ptr(), size_of_val(&iterate)) };
    Errno::result(answer).map(|fd| adopt(fd as RawFd))
}

/// A value of `enum bpf_attach_type`.
const TRACE_ITER: u32 = 28;
