//! `--init`: a small first process that collects orphans, passes signals on to the command, and ends as it did.
//! `pid_namespaces(7)`.
//!
//! A pid 1 gets the orphans of its namespace and no signal that it has no handler for; few commands are written for
//! either. Without a pid namespace, orphans come here because we ask for them; `PR_SET_CHILD_SUBREAPER(2const)`.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use nix::sys::signal::Signal;
use plumbing::kernel::{close_range, look};
use plumbing::{Fault, Status};

use crate::first_process::{self, Child, Role};
use crate::forward::Forward;

/// Forks the command off. Comes back in both processes.
pub(crate) fn fork(kill_child: Option<Signal>, has_pid_namespace: bool) -> Result<Role, Fault> {
    if !has_pid_namespace {
        look("collect orphans", "prctl(PR_SET_CHILD_SUBREAPER, 1)", || nix::sys::prctl::set_child_subreaper(true))?;
    }
    let why = "the command is a child of the init, which collects what it leaves; pid_namespaces(7)";
    first_process::fork(kill_child, Forward::Everything, why)
}

/// Is the init until the command ends.
pub(crate) fn run(command: Box<Child>, name: Option<&OsStr>) -> Result<Status, Fault> {
    if let Some(name) = name.and_then(|name| CString::new(name.as_bytes()).ok()) {
        look("name the init", "prctl(PR_SET_NAME)", || nix::sys::prctl::set_name(&name))?;
    }
    // Whoever changes the root later finds us in the old one's, where nothing of the host may be reached through us.
    look("leave the directory", "chdir(\"/\")", || rustix::process::chdir("/"))?;
    look("close what was inherited", "close_range(3, ~0)", || close_range(3, u32::MAX, false))?;
    command.wait(true)
}
