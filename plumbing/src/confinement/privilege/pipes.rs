//! The pipes at stdin, stdout and stderr, which programs open by name: `/dev/stdout` is a link to `/proc/self/fd/1`, and a
//! pipe without a name has mode 0600. `fchown(2)`, `fchmod(2)`, `pipe(7)`.
//!
//! The surprise: the caller may share these pipes with other commands. An owner could open them in both directions, write
//! what the caller reads next, and take what others write. So the command does not get the pipe, but its group may
//! open it in the direction that the descriptor has. Files and terminals stay as they are.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use rustix::fs::{Gid, Mode, fchmod, fchown, fstat, fstatfs};
use rustix::stdio::{stderr, stdin, stdout};

use crate::Fault;
use crate::command_line::named_file::PIPEFS;
use crate::kernel::{call, look};

/// Lets this group open the pipes among stdin, stdout and stderr, unless this user owns them. Called while we may still
/// change them.
pub(super) fn open_to(uid: u32, gid: u32) -> Result<(), Fault> {
    let goal = "let the command open a pipe";
    for (fd, right) in [(stdin(), Mode::RGRP), (stdout(), Mode::WGRP), (stderr(), Mode::WGRP)] {
        if look(goal, "fstatfs()", || fstatfs(fd))?.f_type != PIPEFS {
            continue;
        }
        let stat = look(goal, "fstat()", || fstat(fd))?;
        let (old, number) = (Mode::from_raw_mode(stat.st_mode), fd.as_fd().as_raw_fd());
        // Of two commands that one pipe connects, each keeps its direction.
        let mode = if stat.st_gid == gid { old } else { old - Mode::RWXG } | right;
        if stat.st_uid == uid || (stat.st_gid == gid && mode == old) {
            continue;
        }
        let why = "so that the command can open it by name, as /dev/stdout; fchown(2)";
        let chown =
            || call(goal, format!("fchown({number}, -1, {gid})"), why, || fchown(fd, None, Some(Gid::from_raw(gid))));
        let why = "only in this direction: others may use the pipe, too; fchmod(2)";
        let chmod = || call(goal, format!("fchmod({number}, 0{:o})", mode.bits()), why, || fchmod(fd, mode));
        let given = if stat.st_gid == gid { chmod() } else { chown().and_then(|()| chmod()) };
        match given {
            // Its owner is not mapped in this user namespace: the pipe stays usable through the descriptor.
            Err(fault) if matches!(fault.errno(), Some(Errno::EPERM | Errno::EINVAL)) => {}
            done => done?,
        }
    }
    Ok(())
}
