//! The owner of the pipes at stdin, stdout and stderr. Only the owner of a pipe can open it by name, and programs open
//! `/dev/stdout`, a link to `/proc/self/fd/1`. `fchown(2)`, `pipe(7)`.
//!
//! The surprise: only pipes without a name are given away. What else the caller passes, such as a log file or a terminal, is
//! still there after the command, and its owner may do more with it than the descriptor allows.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use rustix::fs::{Uid, fchown, fstat, fstatfs};
use rustix::stdio::{stderr, stdin, stdout};

use crate::Fault;
use crate::command_line::named_file::PIPEFS;
use crate::kernel::{call, look};

/// Makes this user the owner of the pipes among stdin, stdout and stderr. Called while we may still change owners.
pub(super) fn give(uid: u32) -> Result<(), Fault> {
    let goal = "give a pipe to the command's user";
    for fd in [stdin(), stdout(), stderr()] {
        let is_pipe = look(goal, "fstatfs()", || fstatfs(fd))?.f_type == PIPEFS;
        if !is_pipe || look(goal, "fstat()", || fstat(fd))?.st_uid == uid {
            continue;
        }
        let text = format!("fchown({}, {uid}, -1)", fd.as_fd().as_raw_fd());
        let why = "so that the command can open it by name, as /dev/stdout; fchown(2)";
        match call(goal, text, why, || fchown(fd, Some(Uid::from_raw(uid)), None)) {
            // Its owner is not mapped in this user namespace: the pipe stays usable through the descriptor.
            Err(fault) if matches!(fault.errno(), Some(Errno::EPERM | Errno::EINVAL)) => {}
            done => done?,
        }
    }
    Ok(())
}
