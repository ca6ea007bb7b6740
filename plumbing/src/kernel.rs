//! The only place that makes kernel calls: [`call`] narrates, makes and checks every state-changing call; [`look`] makes
//! those that only read, and [`own`] those that change this process only, without narration.
//!
//! The calls that no library wraps are re-exported from `plumbing/kernel`, the only crate with unsafe code.

use std::fmt::Display;
use std::os::fd::OwnedFd;

pub(crate) use children::fork_to_look;
pub use children::{fork, fork_into, fork_plainly, fork_sibling};
pub use plumbing_kernel::{
    Cloned, Hook, Instruction, adopt, attach_group_program, attempt, block_every_signal, define_main,
    detach_group_program, device_programs, forget_environment, forget_text, give_up_terminal, group_programs, is_open,
    iterate, kill_by_number, link_task_iterator, load_group_program, load_iterator_program, make_numbers_map,
    map_by_id, mount_idmap, mount_setattr, namespace_by_id, namespace_id, namespace_owner, nsfs, place, program_by_id,
    program_info, read_numbers, read_socket_option, seccomp_filter_of, seccomp_flags_of, set_disposition,
    set_seccomp_filter, set_socket_filter, signal_foreground, socket_namespace,
};
pub(crate) use plumbing_kernel::{
    Scheduling, arguments, environ, has_session_keyring, ioprio_set, join_new_session_keyring, landlock_add_path,
    landlock_add_port, landlock_create_ruleset, landlock_restrict_self, landlock_version, personality, run_from,
    sched_setattr,
};

use crate::fault::IntoErrno;
use crate::{Fault, Status, narrate};

mod children;

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

/// Ends the process at once: no destructors, no buffers. For children that must not continue in the parent's code.
pub fn exit_now(status: Status) -> ! {
    plumbing_kernel::exit_now(status.0)
}
