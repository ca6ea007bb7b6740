//! The caller's session and its null device, which a command behind a border must not share. `setsid(2)`,
//! `ioctl_tty(2)`, `open_tree(2)`.
//!
//! A process can open the controlling terminal of its session at /dev/tty although none of its descriptors leads there,
//! and kill(0) signals its whole process group, also the processes outside. A command with a terminal at 0, 1 or 2 keeps
//! both, because the caller's shell controls it as a job.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::{getpgrp, getpid, getsid, setsid};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fcntl_getfl, fstat, major, minor, openat};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::isatty;
use rustix::thread::CapabilitySet;

use crate::confinement::privilege::capabilities::holds;
use crate::kernel::{call, give_up_terminal, look, mount_setattr, own, place};
use crate::process::closing;
use crate::{Fault, narrate};

const GOAL: &str = "leave the caller's session";

/// Begins a session, whose only process is this one; it must not lead its process group.
pub fn begin(why: &str) -> Result<(), Fault> {
    call("begin a session", "setsid()", why, || setsid().map(drop))
}

/// Begins a session, unless this process leads one already.
pub fn begin_own(why: &str) -> Result<(), Fault> {
    if getsid(None) == Ok(getpid()) { Ok(()) } else { begin(why) }
}

/// Leaves the caller's session unless stdin, stdout or stderr is a terminal. Called while /dev is still the caller's.
/// Returns whether this process leads a new session.
///
/// Then the keys of the caller's terminal reach the command only through a process that waits for it outside. Without one
/// (`is_waited_for`), and if the process group is visible in our pid namespace, only the terminal is given up: the command
/// could signal the processes of that group one by one, too.
pub fn leave(is_waited_for: bool) -> Result<bool, Fault> {
    if [stdin(), stdout(), stderr()].into_iter().any(isatty) {
        return Ok(false);
    }
    let own = getpid();
    // The leader of a session became the command by execve(2): no caller is left that shares the session.
    if getsid(None) == Ok(own) {
        return Ok(false);
    }
    let group = getpgrp();
    if group == own || (!is_waited_for && group.as_raw() != 0) {
        return give_up().map(|()| false);
    }
    begin("no terminal was given, so the command gets neither the caller's terminal nor its process group; setsid(2)")?;
    Ok(true)
}

/// Gives up the controlling terminal without beginning a session, which the leader of a process group cannot do.
fn give_up() -> Result<(), Fault> {
    let terminal = match openat(CWD, "/dev/tty", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(terminal) => terminal,
        // There is no controlling terminal, or no path to it.
        Err(_) => return Ok(()),
    };
    let why = "no terminal was given, so the command does not get the caller's; ioctl_tty(2)";
    call(GOAL, format!("ioctl({}, TIOCNOTTY)", terminal.as_raw_fd()), why, || give_up_terminal(&terminal))
}

/// Replaces the host's null device at 0, 1 and 2 by a read-only view of it: root in a container could change its mode and
/// owner, for every process of the host. It can be read and written as before.
pub fn replace_null() -> Result<(), Fault> {
    let stats = [stdin(), stdout(), stderr()].map(|stream| fstat(stream).ok());
    replace_null_in(stats.iter().map(Option::as_ref))
}

/// Does it for descriptors that were examined before; `None` for one that is closed.
pub fn replace_null_in<'a>(stats: impl Iterator<Item = Option<&'a Stat>>) -> Result<(), Fault> {
    let streams = [stdin(), stdout(), stderr()].into_iter().zip(stats);
    let nulls: Vec<_> = streams.filter(|(_, stat)| stat.is_some_and(is_null)).map(|(stream, _)| stream).collect();
    // Without this right on the host, the command could not change the device either.
    if nulls.is_empty() || holds(CapabilitySet::SYS_ADMIN) != Some(true) {
        return Ok(());
    }
    let Ok(tree) = view_of_null() else {
        // Linux before 5.12, or a mount that may not be cloned: the device remains as the caller passed it.
        return Ok(());
    };
    let path = format!("/proc/self/fd/{}", tree.as_raw_fd());
    // A rescue shell may have no /proc; then there is no path to the view.
    if narrate::is_dry_run() || !std::path::Path::new(&path).exists() {
        return Ok(());
    }
    for fd in nulls {
        let goal = "replace the host's null device";
        let mode = look(goal, "fcntl(F_GETFL)", || fcntl_getfl(fd))? & OFlags::RWMODE;
        let text = format!("openat(AT_FDCWD, {path:?})");
        let null = look(goal, text, || openat(CWD, &path, mode | OFlags::CLOEXEC, Mode::empty()))?;
        look(
            goal,
            "fstat()",
            || if fstat(&null).is_ok_and(|stat| is_null(&stat)) { Ok(()) } else { Err(Errno::ENODEV) },
        )?;
        own(goal, format!("dup2(null, {})", fd.as_raw_fd()), || place(&null, fd.as_raw_fd()))?;
        closing::leave(null);
    }
    closing::leave(tree);
    Ok(())
}

fn view_of_null() -> Result<OwnedFd, Fault> {
    let goal = "make a read-only view of the null device";
    let text = "open_tree(AT_FDCWD, \"/dev/null\", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)";
    let why = "the command must not change the host's device, only read and write it; open_tree(2)";
    let tree = call(goal, text, why, || {
        open_tree(CWD, "/dev/null", OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
    })?;
    let text = "mount_setattr(tree, \"\", AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_RDONLY})";
    let why = "it cannot be undone, because the mount belongs to no namespace; mount_setattr(2)";
    call(goal, text, why, || mount_setattr(&tree, false, libc::MOUNT_ATTR_RDONLY, 0, 0))?;
    Ok(tree)
}

fn is_null(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3)
}
