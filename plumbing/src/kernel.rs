//! The only place that makes kernel calls: [`call`] narrates, makes and checks every state-changing call; [`look`] makes
//! those that only read, and [`own`] those that change this process only, without narration. Below them are the few raw
//! calls that no library wraps, the only unsafe code of the project.

use std::ffi::{CStr, OsStr, OsString};
use std::fmt::Display;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

pub use bpf::{Instruction, device_programs, iterate, link_task_iterator, load_iterator_program};
pub(crate) use children::fork_to_look;
pub use children::{Cloned, fork, fork_into, fork_plainly, fork_sibling};
pub use descriptors::close_range;
pub(crate) use executable::run_from;
pub(crate) use landlock::{
    landlock_add_path, landlock_add_port, landlock_create_ruleset, landlock_restrict_self, landlock_version,
};
pub use mounts::{mount_idmap, mount_setattr};
pub use nsfs::{namespace_by_id, namespace_id, namespace_owner, socket_namespace};
pub use pty::{give_up_terminal, signal_foreground};
pub use signals::block_every_signal;
pub use tracing::{seccomp_filter_of, seccomp_flags_of};

use crate::fault::IntoErrno;
use crate::process::startup::Argv;
use crate::process::trial::{Argument, Trial};
use crate::{Fault, narrate};

mod bpf;
mod children;
mod descriptors;
mod executable;
mod landlock;
mod mounts;
pub mod nsfs;
mod pty;
mod signals;
mod tracing;

/// Makes a state-changing call; narrates it first under `--explain`, and only narrates it under `--dry-run`.
///
/// `goal` completes "cannot …" in the error; `text` is the call in strace's notation; `why` gives the reason and the
/// manual page. Under `--dry-run` the result is a [`Pretend`] one, so that the same code narrates the whole plan.
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

/// Makes a call that only reads, in every mode; the error text has the same form as that of [`call`].
pub fn look<T, E: IntoErrno>(
    goal: impl Display,
    text: impl Display,
    act: impl FnOnce() -> Result<T, E>,
) -> Result<T, Fault> {
    act().map_err(|error| Fault::kernel(goal, text, error.into_errno()))
}

/// Makes a call that changes nothing but this process and what it made for itself: its descriptors, signal mask and working
/// directory, pipes and messages between our own processes, a memfd, a pseudo-terminal, the content of a file whose
/// creation was narrated. It is made in every mode and not narrated: it is not what the caller asked for.
///
/// If an option asks for such a change (`--new-session`), it is made by [`call`].
pub fn own<T, E: IntoErrno>(
    goal: impl Display,
    text: impl Display,
    act: impl FnOnce() -> Result<T, E>,
) -> Result<T, Fault> {
    look(goal, text, act)
}

/// The result of a call that is only narrated: a harmless substitute that later calls can carry, but never use.
pub trait Pretend: Sized {
    /// Returns the substitute.
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

/// Makes a call that cannot have an effect; in a child, since its result may be a descriptor.
pub fn attempt(trial: &Trial) -> Result<(), Errno> {
    let [a, b, c, d, e] = trial.arguments.map(|argument| match argument {
        Argument::Is(number) => number as usize,
        Argument::Reads(bytes) => bytes.as_ptr().expose_provenance(),
    });
    // SAFETY: one of the closed table in trial.rs: none of its calls writes to memory or maps any, and what they read
    // are NUL-terminated texts and a whole file_handle, all of them static.
    Errno::result(unsafe { libc::syscall(trial.number, a, b, c, d, e) }).map(drop)
}

/// Takes ownership of a descriptor that a call, or the process before us, left open for us.
///
/// Not for descriptors that something else in this process owns: only for results of the kernel and for fixed numbers
/// across `execve(2)`.
pub fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass a number that the kernel has just handed out, or one reserved by protocol across execve;
    // nothing else in this process owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Makes `fd` available as `number` too, across `execve(2)`; `dup2(2)`. A descriptor that had this number is closed.
///
/// For numbers that are agreed upon (0 to 2, those of a hold's init), which no owner in this process represents.
pub fn place(fd: impl AsFd, number: RawFd) -> Result<(), Errno> {
    // SAFETY: two integers; what had the number `number` is an inherited descriptor that nothing here owns.
    Errno::result(unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) }).map(drop)
}

/// Installs `program`, which decides about every system call from here on; `seccomp(2)`, `SECCOMP_FILTER_FLAG_*`.
pub fn set_seccomp_filter(program: &[libc::sock_filter], flags: u32) -> Result<(), Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: a whole sock_fprog, whose filter is as long as it says; the kernel copies it and writes nothing.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    Errno::result(answer).map(drop)
}

/// Leaves the session keyring for a new one without a name; `keyctl(2)`.
pub(crate) fn join_new_session_keyring() -> Result<(), Errno> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    let no_name = std::ptr::null::<libc::c_char>();
    // SAFETY: an integer and a null pointer, which means "no name" to the kernel.
    Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, no_name) }).map(drop)
}

/// Returns whether the kernel allows naming a session keyring at all; `keyctl(2)`.
pub(crate) fn has_session_keyring() -> Result<(), Errno> {
    const GET_KEYRING_ID: libc::c_int = 0;
    const SESSION_KEYRING: libc::c_int = -3;
    // SAFETY: three integers.
    Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, GET_KEYRING_ID, SESSION_KEYRING, 0) }).map(drop)
}

/// Releases the pages of our own program text; those that are needed again are read from the file. For a process that
/// has done its work and only waits from here on.
pub fn forget_text() -> Result<(), Errno> {
    unsafe extern "C" {
        // The start of the executable, and the end of its text, as the linker placed them.
        static __executable_start: u8;
        static etext: u8;
    }
    let page = rustix::param::page_size();
    let start = (&raw const __executable_start).addr();
    let length = ((&raw const etext).addr() - start) & !(page - 1);
    // SAFETY: from the start of the executable to its last whole page of text there are only read-only parts of the
    // file, privately mapped and never written to: MADV_DONTNEED makes the kernel read them again.
    Errno::result(unsafe {
        libc::madvise((&raw const __executable_start).cast_mut().cast(), length, libc::MADV_DONTNEED)
    })
    .map(drop)
}

/// Ends the process at once: no destructors, no buffers. For children that must not continue in the parent's code.
pub fn exit_now(status: crate::Status) -> ! {
    // Some system call filters forbid one of the two calls, and some the other; glibc's _exit(2) knows only the first,
    // and ends with SIGSEGV then. The process has one thread, so both calls end it.
    for number in [libc::SYS_exit_group, libc::SYS_exit] {
        // SAFETY: an integer; if the call returns, it did nothing.
        unsafe { libc::syscall(number, libc::c_long::from(status.0)) };
    }
    std::process::abort()
}

/// Returns whether `execve(2)` gave us rights that the caller lacks: by set-user-ID, set-group-ID or file capabilities.
pub(crate) fn gained_rights() -> bool {
    // SAFETY: the vector that the kernel gave us always exists.
    let of_kernel = |key| unsafe { libc::getauxval(key) };
    let is_changed =
        of_kernel(libc::AT_UID) != of_kernel(libc::AT_EUID) || of_kernel(libc::AT_GID) != of_kernel(libc::AT_EGID);
    // Root has all capabilities by itself, and ambient ones come from the caller.
    of_kernel(libc::AT_SECURE) != 0
        && (is_changed || of_kernel(libc::AT_UID) != 0 && crate::confinement::privilege::has_more_than_ambient())
}

/// Calls `kill(2)` with a bare number: the real-time signals have no names.
pub fn kill_by_number(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: two integers.
    Errno::result(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Sets the disposition of `signal` to ignore or to the default; returns whether it was ignored before.
pub fn set_disposition(signal: Signal, ignore: bool) -> Result<bool, Errno> {
    let handler = if ignore { SigHandler::SigIgn } else { SigHandler::SigDfl };
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: neither SIG_IGN nor SIG_DFL runs code of ours.
    unsafe { sigaction(signal, &action) }.map(|before| matches!(before.handler(), SigHandler::SigIgn))
}

/// Returns the entries of our environment, unchanged; `environ(7)`.
pub(crate) fn environ() -> impl Iterator<Item = &'static CStr> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    // SAFETY: `environ` is null or such an array. The process is single-threaded by invariant and sets no variable of
    // its own, so nothing moves while it runs.
    unsafe { strings(environ) }
}

/// Overwrites the environment that we were started with: /proc/PID/environ shows these bytes to every process that may
/// look into this one. For an init that stays in a container and never reads a variable again.
pub fn forget_environment() {
    for entry in environ() {
        let length = entry.count_bytes();
        // SAFETY: the strings are on this process's own writable stack, where the kernel put them. The process is
        // single-threaded, and callers read no variable after this.
        unsafe { entry.as_ptr().cast_mut().write_bytes(0, length) };
    }
}

/// Returns the arguments of `main`.
pub(crate) fn arguments(argv: Argv) -> Vec<OsString> {
    // SAFETY: the C library made this array, and nothing writes to it.
    let words = unsafe { strings(argv.0) };
    words.map(|word| OsStr::from_bytes(word.to_bytes()).to_owned()).collect()
}

/// # Safety
///
/// `array` is null, or an array of NUL-terminated strings that ends with a null pointer; and it never changes.
unsafe fn strings(array: *const *const libc::c_char) -> impl Iterator<Item = &'static CStr> {
    // SAFETY: by our own contract; no step goes beyond the null pointer.
    let pointers = unsafe {
        let ends = |at: &usize| array.is_null() || (*array.add(*at)).is_null();
        let count = (0..).find(ends).unwrap_or_default();
        if count == 0 { &[] } else { std::slice::from_raw_parts(array, count) }
    };
    // SAFETY: by our own contract.
    pointers.iter().map(|string| unsafe { CStr::from_ptr(*string) })
}

/// Returns whether descriptor `fd` is open.
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD takes no third argument and touches no memory.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// Calls [`set_disposition`] where an error cannot be reported: it cannot fail for a signal that has a name and can be
/// caught.
pub(crate) fn replace_disposition(signal: Signal, ignore: bool) -> bool {
    set_disposition(signal, ignore).unwrap_or_default()
}

/// Closes a standard descriptor again that was closed when we started.
pub(crate) fn close_inherited(fd: RawFd) {
    // SAFETY: the number belongs to the /dev/null that replaces the descriptor; nothing in this process owns it, and
    // execve follows.
    unsafe { libc::close(fd) };
}
