//! `--console-socket`: the command's terminal, and the container's /dev/console. `console(4)`, `pty(7)`.
//!
//! The surprise: /dev/console is a bind mount of the terminal's file in /dev/pts. An init writes to it, whatever its
//! stdout is.

use std::os::fd::AsFd;
use std::path::Path;

use plumbing::process::console::{Console, Receiver};
use plumbing::{Fault, narrate};
use rustix::termios::Winsize;

use crate::in_root::InRoot;
use crate::mount_api;

/// Opens a terminal in the root's devpts, sends its controlling end to the engine, and mounts it on /dev/console.
pub(crate) fn open(
    receiver: &Receiver,
    root: &InRoot,
    owner: Option<u32>,
    size: Option<Winsize>,
) -> Result<Option<Console>, Fault> {
    if narrate::is_dry_run() {
        return Ok(None);
    }
    let (pts, target) = (Path::new("/dev/pts"), Path::new("/dev/console"));
    let goal = "give the container its console";
    let Some(pts) = root.find(pts)? else {
        return Err(Fault::new(format!("cannot {goal}: its root has no /dev/pts"))
            .with_remedy("mount a devpts file system there"));
    };
    let console = receiver.open(pts.as_fd(), owner, size)?;
    if let Some(console) = &console {
        let why = "the terminal is the console, too; console(4)";
        let tree = mount_api::clone_of(goal, console.as_fd(), false, why)?;
        let onto = root.file_or_link(target)?;
        mount_api::move_mount(goal, tree.as_fd(), onto.as_fd().into(), target, why)?;
    }
    Ok(console)
}
