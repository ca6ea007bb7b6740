//! Guardians: a process for each object that is outside the container's namespaces (a cgroup, NAT rules, a bridge).
//!
//! The guardian makes the object, waits on the pidfd of the process whose end is the container's end, removes the
//! object, and exits. It makes the object *itself*: whichever other process is killed, and at whatever instant, the one
//! that knows what was made is there to remove it. `pidfd_open(2)`.
//!
//! The surprise: `systemctl stop`, `kill 0` and the end of a session send their signals to the guardian as well,
//! exactly when it has work to do. So it blocks all of them; SIGKILL is the only signal that leaves something behind.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::kernel::{Cloned, block_every_signal, exit_now, forget_text, fork, look, own, place};
use crate::pipeline::ephemeral;
use crate::process::closing::close_range;
use crate::process::forward::wait_for;
use crate::process::target::wait_readable;
use crate::{Fault, Status, narrate};

/// An object that a guardian made and has to remove. A closure is the form with nothing to do in between.
pub trait Kept {
    /// Does what can wait until the stage has its answer. A failure is no longer reported.
    fn settle(&self) {}

    /// Waits until the object is to be removed: until the process behind `watched` ends, or earlier.
    fn wait(&self, watched: BorrowedFd<'_>) -> Result<(), Fault> {
        wait_readable(watched, None).map(drop)
    }

    /// Removes the object.
    fn remove(self) -> Result<(), Fault>;
}

impl<F: FnOnce() -> Result<(), Fault>> Kept for F {
    fn remove(self) -> Result<(), Fault> {
        self()
    }
}

/// Starts a guardian that watches the process behind `watched`.
///
/// In the guardian, `make` makes the object and returns what the caller wants to know about it (passed on as text) and
/// how to remove it. What `remove` owns (descriptors, for example) stays open for as long as the guardian lives. Errors
/// of `make` are reported by the guardian and come back as a fault that is already reported; `make` must have undone
/// its work.
///
/// Under `--dry-run`, `make` runs here, so that its calls are narrated, and nothing is guarded.
pub fn spawn<R: Kept>(
    watched: BorrowedFd<'_>,
    make: impl FnOnce() -> Result<(String, R), Fault>,
) -> Result<String, Fault> {
    spawn_keeping(watched, &[], make)
}

/// Starts a guardian as [`spawn`] does, with descriptors that stay open in the guardian while `make` runs, and no
/// longer: a namespace in which it works must not stay alive because of it.
pub fn spawn_keeping<R: Kept>(
    watched: BorrowedFd<'_>,
    keep: &[BorrowedFd<'_>],
    make: impl FnOnce() -> Result<(String, R), Fault>,
) -> Result<String, Fault> {
    if narrate::is_dry_run() {
        return fork(GOAL, OUTLIVES).and_then(|_| fork(GOAL, UNKNOWN_CHILD)).and_then(|_| make()).map(|(text, _)| text);
    }
    let (reader, writer) = own(GOAL, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    match fork(GOAL, OUTLIVES)? {
        // Forked twice, so that the command that we become has no child that it did not start.
        Cloned::Child => match fork(GOAL, UNKNOWN_CHILD) {
            Ok(Cloned::Child) => guard(watched, writer, keep, make),
            Ok(Cloned::Parent { .. }) => exit_now(Status::SUCCESS),
            Err(fault) => exit_now(fault.report(narrate::tool())),
        },
        Cloned::Parent { pid, .. } => {
            drop(writer);
            wait_for(pid)?;
            hear(reader)
        }
    }
}

const GOAL: &str = "start a guardian";
const OUTLIVES: &str = "a guardian outlives this process, and removes what it makes when the container ends";
const UNKNOWN_CHILD: &str = "its parent exits, so that the command has no child that it did not start";

/// The first byte that the guardian writes when the object is made.
const MADE: u8 = b'+';

fn hear(reader: OwnedFd) -> Result<String, Fault> {
    // As much as a long answer needs, so that it is read at once.
    let mut text = Vec::with_capacity(4096);
    look("read the answer of the guardian", "read(pipe)", || std::fs::File::from(reader).read_to_end(&mut text))?;
    let text = String::from_utf8_lossy(&text);
    match text.strip_prefix(char::from(MADE)) {
        Some(text) => Ok(text.to_owned()),
        None => Err(Fault::already_told(Status::OURS)),
    }
}

fn guard<R: Kept>(
    watched: BorrowedFd<'_>,
    writer: OwnedFd,
    keep: &[BorrowedFd<'_>],
    make: impl FnOnce() -> Result<(String, R), Fault>,
) -> ! {
    let kept: Vec<_> = keep.iter().copied().chain([watched, writer.as_fd()]).collect();
    let shed = || {
        block_signals().and_then(|()| shed(&kept)).and_then(|()| stop_up(0, watched)).and_then(|()| stop_up(1, watched))
    };
    let (text, made) = match shed().and_then(|()| make()) {
        Ok(made) => made,
        // While the pipe is open: when it closes, the stage exits, and what is printed after its end is read by no one.
        Err(fault) => exit_now(fault.report(narrate::tool())),
    };
    let settle = || {
        made.settle();
        ephemeral::leave();
    };
    let handed_over = close(keep).and_then(|()| announce(writer, &text)).and_then(|()| shed_stderr(watched, settle));
    // Whatever has happened since: the object exists, so it will be removed.
    let waited = handed_over.and_then(|()| made.wait(watched));
    match made.remove().and(waited) {
        Ok(()) => exit_now(Status::SUCCESS),
        Err(fault) => exit_now(fault.report(narrate::tool())),
    }
}

/// Blocks signals before anything is made. They are never unblocked: a guardian executes no other program.
fn block_signals() -> Result<(), Fault> {
    own("block signals", "rt_sigprocmask(SIG_SETMASK)", block_every_signal)
}

/// Closes everything inherited except stderr: a lease kept open here would keep an abandoned container alive, a pipe
/// would keep its reader waiting, and a directory would keep a mount busy.
fn shed(keep: &[BorrowedFd<'_>]) -> Result<(), Fault> {
    own("leave the terminal", "setsid()", rustix::process::setsid)?;
    own("leave the directory", "chdir(\"/\")", || rustix::process::chdir("/"))?;
    let mut keep: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd() as u32).collect();
    keep.sort_unstable();
    let mut first = 3;
    for kept in keep.into_iter().chain([u32::MAX]) {
        if first < kept {
            own("close what was inherited", "close_range()", || close_range(first, kept - 1, false))?;
        }
        first = kept.saturating_add(1);
    }
    Ok(())
}

/// Puts a descriptor that takes no bytes in place of a standard one: if it were closed, the next file that is opened
/// would get its number, and whatever is written to stderr would go into that file.
fn stop_up(number: i32, watched: BorrowedFd<'_>) -> Result<(), Fault> {
    own("let go of the terminal", format!("dup2(pidfd, {number})"), || place(watched, number))
}

/// Closes what was kept for making only. The frames of its owners are never returned to, so nothing closes these
/// numbers again.
fn close(kept: &[BorrowedFd<'_>]) -> Result<(), Fault> {
    for fd in kept.iter().map(|fd| fd.as_raw_fd() as u32) {
        own("close what was kept", "close_range()", || close_range(fd, fd, false))?;
    }
    Ok(())
}

/// Closes stderr last: until the object is made there may be an error to report. The removal is narrated nevertheless:
/// no one reads it, but strace then shows the narration of these calls, too.
fn shed_stderr(watched: BorrowedFd<'_>, settle: impl FnOnce()) -> Result<(), Fault> {
    stop_up(2, watched)?;
    settle();
    own("give memory back", "madvise(MADV_DONTNEED)", forget_text)
}

fn announce(writer: OwnedFd, text: &str) -> Result<(), Fault> {
    let mut message = vec![MADE];
    message.extend_from_slice(text.as_bytes());
    let mut writer = std::fs::File::from(writer);
    match writer.write_all(&message) {
        // Nobody reads the answer any more: the stage was killed. The container that the guardian watches decides what
        // follows.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        answer => own("answer the stage", "write(pipe)", || answer),
    }
}
