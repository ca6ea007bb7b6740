//! `--init`: a small first process that collects orphans, passes signals on to the command, and ends as it did.
//! `pid_namespaces(7)`.
//!
//! A pid 1 gets the orphans of its namespace and no signal that it has no handler for; few commands are written for
//! either. Without a pid namespace, orphans come here because we ask for them; `PR_SET_CHILD_SUBREAPER(2const)`.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use nix::sys::signal::Signal;
use plumbing::kernel::{call, close_range, look};
use plumbing::{Fault, Status};

use crate::first_process::{self, Child, Role};
use crate::forward::Forward;

/// Forks the command off. Comes back in both processes.
pub(crate) fn fork(kill_child: Option<Signal>, has_pid_namespace: bool, name: Option<&OsStr>) -> Result<Role, Fault> {
    if !has_pid_namespace {
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
    first_process::fork(kill_child, Forward::Everything, why)
}

/// Is the init until the command ends.
pub(crate) fn run(command: Box<Child>) -> Result<Status, Fault> {
    // Whoever changes the root later finds us in the old one's, where nothing of the host may be reached through us.
    look("leave the directory", "chdir(\"/\")", || rustix::process::chdir("/"))?;
    look("close what was inherited", "close_range(3, ~0)", || close_range(3, u32::MAX, false))?;
    command.wait(true)
}

/// The kernel keeps fifteen bytes.
fn cut(name: &str) -> &str {
    let end = (0..=name.len().min(15)).rev().find(|end| name.is_char_boundary(*end));
    &name[..end.unwrap_or_default()]
}
