//! The kernel's door: [`call`] tells, makes and checks every state-changing call; [`look`] does the same for reads,
//! silently. Below them stand the few raw calls that no library wraps, the only unsafe code of the project.

use std::ffi::{CStr, OsStr, OsString};
use std::fmt::Display;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

pub(crate) use executable::run_from;
pub(crate) use landlock::{landlock_add_path, landlock_create_ruleset, landlock_restrict_self, landlock_version};
pub use mounts::{mount_idmap, mount_setattr};
pub use nsfs::{namespace_by_id, namespace_id, namespace_owner, socket_namespace};
pub use tracing::{seccomp_filter_of, seccomp_flags_of};

use crate::fault::IntoErrno;
use crate::namespace::{Kind, KindSet};
use crate::startup::Argv;
use crate::trial::{Argument, Trial};
use crate::{Fault, narrate};

mod executable;
mod landlock;
mod mounts;
pub mod nsfs;
mod tracing;

/// Makes a state-changing call, told beforehand under `--explain` and only told under `--dry-run`.
///
/// `goal` completes "cannot …" in the error; `text` is the call in strace's notation; `why` gives the reason and the
/// manual page. Under `--dry-run` the answer is a [`Pretend`] one, so that the same path narrates the whole plan.
pub fn call<T: Pretend, E: IntoErrno>(
    goal: impl Display,
    text: impl Display,
    why: &str,
    act: impl FnOnce() -> Result<T, E>,
) -> Result<T, Fault> {
    narrate::before(&text, why);
    if narrate::is_dry_run() {
        return T::pretend();
    }
    act().map_err(|error| Fault::kernel(goal, text, error.into_errno()))
}

/// Makes a call that only reads, in every mode; the error text has the same form as [`call`]'s.
pub fn look<T, E: IntoErrno>(
    goal: impl Display,
    text: impl Display,
    act: impl FnOnce() -> Result<T, E>,
) -> Result<T, Fault> {
    act().map_err(|error| Fault::kernel(goal, text, error.into_errno()))
}

/// What a call answers when it is only told: harmless stand-ins that later calls can carry, but never use.
pub trait Pretend: Sized {
    /// The stand-in.
    fn pretend() -> Result<Self, Fault>;
}

impl Pretend for () {
    fn pretend() -> Result<Self, Fault> {
        Ok(())
    }
}

impl Pretend for u32 {
    fn pretend() -> Result<Self, Fault> {
        Ok(0)
    }
}

impl Pretend for usize {
    fn pretend() -> Result<Self, Fault> {
        Ok(0)
    }
}

impl Pretend for OwnedFd {
    fn pretend() -> Result<Self, Fault> {
        use rustix::fs::{CWD, Mode, OFlags, openat};
        look("open /", "openat(AT_FDCWD, \"/\", O_PATH)", || {
            openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        })
    }
}

impl<A> Pretend for Option<A> {
    fn pretend() -> Result<Self, Fault> {
        Ok(None)
    }
}

impl<A: Pretend, B: Pretend> Pretend for (A, B) {
    fn pretend() -> Result<Self, Fault> {
        Ok((A::pretend()?, B::pretend()?))
    }
}

/// Which of the two processes goes on after [`clone3`].
#[derive(Debug)]
pub enum Cloned {
    /// The new process.
    Child,
    /// The old one, with the child's pid and a pidfd of it.
    Parent {
        /// The child's pid, as seen by the parent.
        pid: i32,
        /// A descriptor of the child that no pid reuse can mislead; `pidfd_open(2)`.
        pidfd: OwnedFd,
    },
}

/// A dry run goes on as the child: that is the process whose further steps there are to tell.
impl Pretend for Cloned {
    fn pretend() -> Result<Self, Fault> {
        Ok(Cloned::Child)
    }
}

/// `clone3(2)` in the manner of fork: no shared memory, the child goes on from here, SIGCHLD at its end.
///
/// `namespaces` are `CLONE_NEW*` flags; the type keeps out the flags that would share memory or a stack.
pub fn clone3(namespaces: KindSet) -> Result<Cloned, Errno> {
    clone3_with(namespaces, Parent::Us)
}

/// As [`clone3`], but the child is our parent's child, who waits for it (`CLONE_PARENT`); in the pid namespace that we
/// joined for our children.
pub fn clone3_sibling() -> Result<Cloned, Errno> {
    clone3_with(KindSet::EMPTY, Parent::Ours)
}

/// Whose child the new process is.
#[derive(Clone, Copy, PartialEq)]
enum Parent {
    Us,
    Ours,
}

fn clone3_with(namespaces: KindSet, parent: Parent) -> Result<Cloned, Errno> {
    // As a sibling, its exit signal is ours; the kernel refuses to be told one.
    let (flag, exit_signal) = match parent {
        Parent::Us => (0, libc::SIGCHLD as u64),
        Parent::Ours => (libc::CLONE_PARENT as u64, 0),
    };
    let mut pidfd: RawFd = -1;
    let args = libc::clone_args {
        flags: namespaces.clone_flags() as u64 | flag | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: `args` is a whole clone_args of the size given; its flags are CLONE_NEW* (a KindSet holds no others) and
    // CLONE_PARENT, so without CLONE_VM the child runs on its own copy of this memory, and the process is single-threaded by
    // invariant.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    let pid = match Errno::result(pid) {
        // Older container engines hide clone3(2) from their containers: a filter cannot look into its arguments.
        Err(Errno::ENOSYS) => clone_without_3(namespaces, parent, args.flags | exit_signal, &raw mut pidfd)?,
        answer => answer?,
    };
    match pid {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent { pid: pid as i32, pidfd: adopt(pidfd) }),
    }
}

/// The same by `clone(2)`, which takes the exit signal where clone3(2) has CLONE_NEWTIME.
fn clone_without_3(kinds: KindSet, parent: Parent, flags: u64, pidfd: *mut RawFd) -> Result<libc::c_long, Errno> {
    if kinds.contains(Kind::Time) {
        return Err(Errno::ENOSYS);
    }
    let ends = if parent == Parent::Us { "SIGCHLD" } else { "CLONE_PARENT" };
    let names = kinds.iter().map(|kind| KindSet::from_iter([kind]).flag_names() + "|").collect::<String>();
    narrate::before(
        &format!("clone(child_stack=NULL, flags=CLONE_PIDFD|{names}{ends})"),
        "there is no clone3(2) here, as behind the seccomp filters of older container engines; clone(2)",
    );
    let nothing: *const libc::c_void = std::ptr::null();
    // SAFETY: as for clone3(2): without CLONE_VM no stack is shared. `pidfd` points to a live integer of the caller's,
    // which CLONE_PIDFD has filled; the last two arguments belong to flags that are not set.
    Errno::result(unsafe { libc::syscall(libc::SYS_clone, flags, nothing, pidfd, nothing, nothing) })
}

/// `clone(2)` in the manner of fork, for where a filter refuses `clone3(2)`, as Docker's does: the child's pid, and
/// nothing in the child.
pub fn fork() -> Result<Option<i32>, Errno> {
    // SAFETY: SIGCHLD and no flag: the child runs on its own copy of this memory, and the process is single-threaded by
    // invariant.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0_usize, 0_usize, 0_usize, 0_usize) };
    Errno::result(pid).map(|pid| (pid != 0).then_some(pid as i32))
}

/// Makes a call of which nothing can come; in a child, since what it answers may be a descriptor.
pub fn attempt(trial: &Trial) -> Result<(), Errno> {
    let [a, b, c, d, e] = trial.arguments.map(|argument| match argument {
        Argument::Is(number) => number as usize,
        Argument::Reads(bytes) => bytes.as_ptr().expose_provenance(),
    });
    // SAFETY: one of the closed table in trial.rs: none of its calls writes to memory or maps any, and what they read
    // are NUL-terminated texts and a whole file_handle, for ever alive.
    Errno::result(unsafe { libc::syscall(trial.number, a, b, c, d, e) }).map(drop)
}

/// Takes ownership of a descriptor that a call or the process before us left open for us.
///
/// Not for descriptors that something else in this process owns: the kernel's answers and fixed numbers across
/// `execve(2)` only.
pub fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass a number that the kernel has just handed out, or one reserved by protocol across execve;
    // nothing else in this process owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Makes `fd` stand at `number` too, across `execve(2)`; `dup2(2)`. What stood there is closed.
///
/// For numbers that are agreed upon (0 to 2, a held init's), which no owner in this process stands for.
pub fn place(fd: impl AsFd, number: RawFd) -> Result<(), Errno> {
    // SAFETY: two integers; what stood at `number` is an inherited descriptor that nothing here owns.
    Errno::result(unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) }).map(drop)
}

/// `close_range(2)` over `first..=last`; with `on_exec`, only marks them close-on-exec.
pub fn close_range(first: u32, last: u32, on_exec: bool) -> Result<(), Errno> {
    let flags: u32 = if on_exec { libc::CLOSE_RANGE_CLOEXEC } else { 0 };
    // SAFETY: three integers, no memory. Closing numbers that an OwnedFd still names is prevented by use: either the
    // process is about to exec, or it is a guardian or init that has just shed everything it inherited.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    Errno::result(answer).map(drop)
}

/// `seccomp(2)`: from here on `program` decides about every system call; `SECCOMP_FILTER_FLAG_*`.
pub fn set_seccomp_filter(program: &[libc::sock_filter], flags: u32) -> Result<(), Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: a whole sock_fprog, whose filter is as long as it says; the kernel copies it and writes nothing.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    Errno::result(answer).map(drop)
}

/// `bpf(2)`: how many programs decide about devices for the v2 cgroup `group`, its own and those of groups above it.
pub fn device_programs(group: impl AsFd) -> Result<u32, Errno> {
    /// The part of `union bpf_attr` that `BPF_PROG_QUERY` knows from the beginning.
    #[repr(C)]
    struct Query {
        target_fd: u32,
        attach_type: u32,
        query_flags: u32,
        attach_flags: u32,
        prog_ids: u64,
        prog_cnt: u32,
        padding: u32,
    }
    const PROG_QUERY: libc::c_int = 16;
    const CGROUP_DEVICE: u32 = 6;
    const EFFECTIVE: u32 = 1;
    let mut query = Query {
        target_fd: group.as_fd().as_raw_fd().cast_unsigned(),
        attach_type: CGROUP_DEVICE,
        query_flags: EFFECTIVE,
        attach_flags: 0,
        prog_ids: 0,
        prog_cnt: 0,
        padding: 0,
    };
    // SAFETY: a whole Query with its size, which the kernel writes the count into; with no array it writes nothing else.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, &raw mut query, size_of::<Query>()) };
    Errno::result(answer).map(|_| query.prog_cnt)
}

/// `keyctl(2)`: leaves the session keyring for a new one without a name.
pub(crate) fn join_new_session_keyring() -> Result<(), Errno> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    let no_name = std::ptr::null::<libc::c_char>();
    // SAFETY: an integer and a null pointer, which the kernel takes for "no name".
    Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, no_name) }).map(drop)
}

/// `keyctl(2)`: whether a session keyring can be named at all.
pub(crate) fn has_session_keyring() -> Result<(), Errno> {
    const GET_KEYRING_ID: libc::c_int = 0;
    const SESSION_KEYRING: libc::c_int = -3;
    // SAFETY: three integers.
    Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, GET_KEYRING_ID, SESSION_KEYRING, 0) }).map(drop)
}

/// Gives back the pages of our own program text; those that are needed again come back from the file. For a process
/// that has done its work and only waits from here on.
pub fn forget_text() -> Result<(), Errno> {
    unsafe extern "C" {
        // Where the linker began the executable, and where it ended the text.
        static __executable_start: u8;
        static etext: u8;
    }
    let page = rustix::param::page_size();
    let start = (&raw const __executable_start).addr();
    let length = ((&raw const etext).addr() - start) & !(page - 1);
    // SAFETY: from the start of the executable to its last whole page of text there is nothing but read-only parts of
    // the file, privately mapped and never written to: MADV_DONTNEED makes them be read again.
    Errno::result(unsafe {
        libc::madvise((&raw const __executable_start).cast_mut().cast(), length, libc::MADV_DONTNEED)
    })
    .map(drop)
}

/// Ends the process at once: no destructors, no buffers. For children that must not fall back into the parent's code.
pub fn exit_now(status: crate::Status) -> ! {
    // SAFETY: _exit(2) takes an integer and does not return.
    unsafe { libc::_exit(status.0.into()) }
}

/// `kill(2)` with a bare number: the real-time signals have no names.
pub fn kill_by_number(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: two integers.
    Errno::result(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Sets the disposition of `signal` to ignore or to the default.
pub fn set_disposition(signal: Signal, ignore: bool) -> Result<(), Errno> {
    let handler = if ignore { SigHandler::SigIgn } else { SigHandler::SigDfl };
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: neither SIG_IGN nor SIG_DFL runs code of ours.
    unsafe { sigaction(signal, &action) }.map(drop)
}

/// The entries of our environment, as they came; `environ(7)`.
pub(crate) fn environ() -> Vec<&'static CStr> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    // SAFETY: `environ` is null or such an array. The process is single-threaded by invariant and sets no variable of its
    // own, so nothing moves as long as it runs.
    unsafe { strings(environ) }
}

/// What `main` was called with.
pub(crate) fn arguments(argv: Argv) -> Vec<OsString> {
    // SAFETY: the C library made it so, and nobody writes to it.
    let words = unsafe { strings(argv.0) };
    words.into_iter().map(|word| OsStr::from_bytes(word.to_bytes()).to_owned()).collect()
}

/// # Safety
///
/// `array` is null, or an array of NUL-terminated strings that ends with a null pointer; and stays so for good.
unsafe fn strings(mut array: *const *const libc::c_char) -> Vec<&'static CStr> {
    let mut strings = Vec::new();
    // SAFETY: by our own contract; no step goes beyond the null pointer.
    unsafe {
        while !array.is_null() && !(*array).is_null() {
            strings.push(CStr::from_ptr(*array));
            array = array.add(1);
        }
    }
    strings
}

/// Whether descriptor `fd` is open.
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD takes no third argument and touches no memory.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// Whether `signal` is ignored now.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    // SAFETY: a null new action only reads into `old`, which is whole and zero is a valid value of it.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal as i32, std::ptr::null(), &raw mut old) == 0 && old.sa_sigaction == libc::SIG_IGN
    }
}

/// [`set_disposition`] where there is nobody to tell: it cannot fail for a signal that has a name and can be caught.
pub(crate) fn restore_disposition(signal: Signal, ignore: bool) {
    if set_disposition(signal, ignore).is_err() {}
}

/// Closes a standard descriptor again that was closed when we started.
pub(crate) fn close_inherited(fd: RawFd) {
    // SAFETY: the number belongs to the /dev/null that stands in for it; nothing in this process owns it, and
    // execve follows.
    unsafe { libc::close(fd) };
}
