//! The kernel's door: [`call`] tells, makes and checks every state-changing call; [`look`] does the same for reads,
//! silently. Below them stand the few raw calls that no library wraps, the only unsafe code of the project.

use std::ffi::{CStr, CString};
use std::fmt::Display;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::fault::IntoErrno;
use crate::{Fault, narrate};

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
pub fn clone3(namespaces: crate::namespace::KindSet) -> Result<Cloned, Errno> {
    clone3_with(namespaces.clone_flags() as u64, libc::SIGCHLD as u64)
}

/// As [`clone3`], but the child is our parent's child, who waits for it (`CLONE_PARENT`); in the pid namespace that we
/// joined for our children.
pub fn clone3_sibling() -> Result<Cloned, Errno> {
    // Its exit signal is ours; the kernel refuses to be told one.
    clone3_with(libc::CLONE_PARENT as u64, 0)
}

fn clone3_with(flags: u64, exit_signal: u64) -> Result<Cloned, Errno> {
    let mut pidfd: RawFd = -1;
    let args = libc::clone_args {
        flags: flags | libc::CLONE_PIDFD as u64,
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
    // SAFETY: `args` is a whole clone_args of the size given; the two callers pass CLONE_NEW* flags (a KindSet holds no
    // others) or CLONE_PARENT, so without CLONE_VM the child runs on its own copy of this memory, and the process is single-threaded by invariant.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match Errno::result(pid)? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent { pid: pid as i32, pidfd: adopt(pidfd) }),
    }
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

/// `mount_setattr(2)` on what `tree` names (`AT_EMPTY_PATH`): sets and clears `MOUNT_ATTR_*`, and sets `propagation`
/// (`MS_*`) when it is not 0; with `recursive`, on every mount below too.
pub fn mount_setattr(tree: impl AsFd, recursive: bool, set: u64, clear: u64, propagation: u64) -> Result<(), Errno> {
    let attr = libc::mount_attr { attr_set: set, attr_clr: clear, propagation, userns_fd: 0 };
    set_attributes(tree.as_fd(), recursive, attr)
}

/// `mount_setattr(2)` with `MOUNT_ATTR_IDMAP`: the ids of what `tree` names are seen through the map of `user`, a user
/// namespace.
pub fn mount_idmap(tree: impl AsFd, recursive: bool, user: impl AsFd) -> Result<(), Errno> {
    let userns_fd = user.as_fd().as_raw_fd() as u64;
    set_attributes(
        tree.as_fd(),
        recursive,
        libc::mount_attr { attr_set: libc::MOUNT_ATTR_IDMAP, attr_clr: 0, propagation: 0, userns_fd },
    )
}

fn set_attributes(tree: BorrowedFd<'_>, recursive: bool, attr: libc::mount_attr) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: an open descriptor, an empty NUL-terminated path and a whole mount_attr of the size given.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(answer).map(drop)
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
pub(crate) fn environ() -> Vec<CString> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: `environ` is null or an array of NUL-terminated strings that ends with a null pointer. The process is
    // single-threaded by invariant and sets no variable of its own, so nothing moves meanwhile.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            entries.push(CStr::from_ptr(*entry).to_owned());
            entry = entry.add(1);
        }
    }
    entries
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
    // SAFETY: the number belongs to the /dev/null that Rust's runtime opened; nothing in this process owns it, and
    // execve follows.
    unsafe { libc::close(fd) };
}
