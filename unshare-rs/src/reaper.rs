//! `--init`: a small first process that collects orphans, passes signals on to the command, and ends as it did.
//! `pid_namespaces(7)`.
//!
//! A pid 1 gets the orphans of its namespace and no signal that it has no handler for; few commands are written for
//! either. Without a pid namespace, orphans come here because we ask for them; `PR_SET_CHILD_SUBREAPER(2const)`.
//!
//! The command is hostile, and may be able to trace the init. So the init gives up all that it does not need, before
//! the command runs; `ptrace(2)`.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::libc;
use nix::sys::signal::Signal;
use plumbing::kernel::{call, close_range, forget_environment, look};
use plumbing::namespace::{Kind, KindSet};
use plumbing::privilege::{self, Holding};
use plumbing::seccomp::{Allowed, allow_only};
use plumbing::{Fault, Status, narrate};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::CapabilitySet;

use crate::empty_root;
use crate::first_process::{self, Child, Role, Tether};
use crate::forward::Forward;

/// Which of the two processes goes on.
pub(crate) enum Forked {
    /// The one that becomes the command. The init has given up all by now.
    Command,
    /// The init.
    Init(Init),
}

/// The init of a command that waits for it.
pub(crate) struct Init {
    command: Box<Child>,
    confining: OwnedFd,
}

/// Forks the command off. Comes back in both processes.
pub(crate) fn fork(kill_child: Option<Signal>, kinds: KindSet, name: Option<&OsStr>) -> Result<Forked, Fault> {
    if !kinds.contains(Kind::Pid) {
        let why = "orphans of the command come to us, and not to pid 1; PR_SET_CHILD_SUBREAPER(2const)";
        let text = "prctl(PR_SET_CHILD_SUBREAPER, 1)";
        call("collect orphans", text, why, || nix::sys::prctl::set_child_subreaper(true))?;
    }
    if let Some(name) = name.and_then(|name| CString::new(name.as_bytes()).ok()) {
        let text = format!("prctl(PR_SET_NAME, {:?})", cut(&name.to_string_lossy()));
        let why = "what ps(1) shows of the init; PR_SET_NAME(2const)";
        call("name the init", text, why, || nix::sys::prctl::set_name(&name))?;
    }
    let why = "the command is a child of the init, which collects what it leaves; pid_namespaces(7)";
    let (confined, confining) = look(WAIT, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    let tether = Tether::to_this_process(kill_child)?;
    match first_process::fork(None, Forward::Everything, why)? {
        Role::First(_) => {
            match narrate::is_dry_run() {
                true if kinds.contains(Kind::User) => confine(0, Holding::Everything)?,
                true => confine(0, Holding::Now)?,
                false => {
                    drop(confining);
                    await_init(&confined)?;
                }
            }
            tether.tie()?;
            Ok(Forked::Command)
        }
        Role::Waiting(command) => Ok(Forked::Init(Init { command, confining })),
    }
}

const WAIT: &str = "wait until the init is confined";

/// In the command's process: until the init has said that it is confined.
fn await_init(confined: &OwnedFd) -> Result<(), Fault> {
    match look(WAIT, "read(pipe)", || rustix::io::retry_on_intr(|| rustix::io::read(confined, &mut [0; 1])))? {
        // It has said why on stderr.
        0 => Err(Fault::already_told(Status::OURS)),
        _ => Ok(()),
    }
}

impl Init {
    /// Is the init until the command ends.
    pub(crate) fn run(self) -> Result<Status, Fault> {
        let kept = self.confining.as_raw_fd().cast_unsigned();
        look("close what was inherited", "close_range()", || {
            if kept > 3 { close_range(3, kept - 1, false) } else { Ok(()) }
                .and_then(|()| close_range(kept + 1, u32::MAX, false))
        })?;
        confine(self.command.pid(), Holding::Now)?;
        look("let the command go on", "write(pipe)", || rustix::io::write(&self.confining, b"+"))?;
        drop(self.confining);
        self.command.wait(true)
    }
}

/// Leaves the init what it needs to collect its children and to pass signals on to `command`, which may run as another
/// user by then: CAP_KILL, and of kill(2) what is sent to the command.
fn confine(command: i32, holding: Holding) -> Result<(), Fault> {
    empty_root::enter(holding)?;
    if !narrate::is_dry_run() {
        // Also where that was not possible, the directory is not one that holds a mount.
        look("leave the directory", "chdir(\"/\")", || rustix::process::chdir("/"))?;
        forget_environment();
    }
    privilege::keep_only(CapabilitySet::KILL, holding)?;
    let calls = [libc::SYS_wait4, libc::SYS_signalfd4, libc::SYS_getpgid, GETPGRP];
    let calls: Vec<_> =
        calls.map(Allowed::call).into_iter().chain([Allowed::with(libc::SYS_kill, 0, command)]).collect();
    allow_only(&calls)
}

/// getpgrp(2), for which newer architectures have getpgid(2) only.
const GETPGRP: libc::c_long = if cfg!(target_arch = "x86_64") { 111 } else { libc::SYS_getpgid };

/// The kernel keeps fifteen bytes.
fn cut(name: &str) -> &str {
    let end = (0..=name.len().min(15)).rev().find(|end| name.is_char_boundary(*end));
    &name[..end.unwrap_or_default()]
}
