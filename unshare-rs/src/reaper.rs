//! `--init`: a small first process that collects orphans, forwards signals to the command, and exits with the command's
//! status. `pid_namespaces(7)`.
//!
//! A pid 1 becomes the parent of its namespace's orphans and gets no signal without a handler; few commands are written
//! for this. Without a pid namespace, we request the orphans; `PR_SET_CHILD_SUBREAPER(2const)`.
//!
//! The command may be hostile, and may be able to trace the init. So the init gives up everything that it does not need
//! before the command runs; `ptrace(2)`.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::libc;
use nix::sys::signal::Signal;
use plumbing::confinement::empty_root;
use plumbing::confinement::privilege::{self, Holding};
use plumbing::confinement::seccomp::{Allowed, allow_only};
use plumbing::kernel::{call, forget_environment, look, own};
use plumbing::process::closing::close_range;
use plumbing::process::namespace::{Kind, KindSet};
use plumbing::{Fault, Status, narrate};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::CapabilitySet;

use crate::first_process::{self, Child, Role, Tether};
use plumbing::process::forward::Forward;

/// The process in which [`fork`] returns.
pub(crate) enum Forked {
    /// The process that becomes the command. The init is confined by now.
    Command,
    /// The init.
    Init(Init),
}

/// The init, whose command waits until the init is confined.
pub(crate) struct Init {
    command: Box<Child>,
    confining: OwnedFd,
}

/// Forks the process that becomes the command. Returns in both processes.
pub(crate) fn fork(kill_child: Option<Signal>, kinds: KindSet, name: Option<&OsStr>) -> Result<Forked, Fault> {
    if !kinds.contains(Kind::Pid) {
        let why = "we become the parent of the command's orphans, instead of pid 1; PR_SET_CHILD_SUBREAPER(2const)";
        let text = "prctl(PR_SET_CHILD_SUBREAPER, 1)";
        call("collect orphans", text, why, || nix::sys::prctl::set_child_subreaper(true))?;
    }
    if let Some(name) = name.and_then(|name| CString::new(name.as_bytes()).ok()) {
        let text = format!("prctl(PR_SET_NAME, {:?})", cut(&name.to_string_lossy()));
        let why = "the name of the init that ps(1) shows; PR_SET_NAME(2const)";
        call("name the init", text, why, || nix::sys::prctl::set_name(&name))?;
    }
    let why = "the command is a child of the init, which collects its orphans; pid_namespaces(7)";
    let (confined, confining) = own(WAIT, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    let tether = Tether::to_this_process(kill_child)?;
    match first_process::fork(None, Forward::Everything, why)? {
        Role::First(_) => {
            if narrate::is_dry_run() {
                let holding = if kinds.contains(Kind::User) { Holding::Everything } else { Holding::Now };
                confine(0, holding)?;
            } else {
                drop(confining);
                await_init(&confined)?;
            }
            tether.tie()?;
            Ok(Forked::Command)
        }
        Role::Waiting(command) => Ok(Forked::Init(Init { command, confining })),
    }
}

const WAIT: &str = "wait until the init is confined";

/// Waits, in the command's process, until the init reports that it is confined.
fn await_init(confined: &OwnedFd) -> Result<(), Fault> {
    match look(WAIT, "read(pipe)", || rustix::io::retry_on_intr(|| rustix::io::read(confined, &mut [0; 1])))? {
        // The init has printed the reason to stderr.
        0 => Err(Fault::already_told(Status::OURS)),
        _ => Ok(()),
    }
}

impl Init {
    /// Runs the init until the command ends.
    pub(crate) fn run(self) -> Result<Status, Fault> {
        let kept = self.confining.as_raw_fd().cast_unsigned();
        own("close inherited descriptors", "close_range()", || {
            if kept > 3 { close_range(3, kept - 1, false) } else { Ok(()) }
                .and_then(|()| close_range(kept + 1, u32::MAX, false))
        })?;
        confine(self.command.pid(), Holding::Now)?;
        own("let the command continue", "write(pipe)", || rustix::io::write(&self.confining, b"+"))?;
        drop(self.confining);
        self.command.wait(true)
    }
}

/// Leaves the init only what it needs to collect its children and to forward signals to `command`, which may run as
/// another user by then: CAP_KILL, and kill(2) to the command and its process group.
fn confine(command: i32, holding: Holding) -> Result<(), Fault> {
    empty_root::enter("the init", holding)?;
    if !narrate::is_dry_run() {
        // If the root could not be left, at least the working directory does not keep a mount busy.
        own("leave the directory", "chdir(\"/\")", || rustix::process::chdir("/"))?;
        forget_environment();
    }
    privilege::keep_only(CapabilitySet::KILL, holding)?;
    let calls = [libc::SYS_wait4, libc::SYS_signalfd4, libc::SYS_getpgid, GETPGRP];
    let calls: Vec<_> = calls
        .map(Allowed::call)
        .into_iter()
        .chain([Allowed::with(libc::SYS_kill, 0, command), Allowed::with(libc::SYS_kill, 0, -command)])
        .collect();
    allow_only(&calls, &[])
}

/// The number of getpgrp(2); newer architectures have only getpgid(2).
const GETPGRP: libc::c_long = if cfg!(target_arch = "x86_64") { 111 } else { libc::SYS_getpgid };

/// Cuts a name to the fifteen bytes that the kernel keeps.
fn cut(name: &str) -> &str {
    let end = (0..=name.len().min(15)).rev().find(|end| name.is_char_boundary(*end));
    &name[..end.unwrap_or_default()]
}
