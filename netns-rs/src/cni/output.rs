//! The output of a program of others: its answer and its log, limited in size and in time. `poll(2)`, `kill(2)`.
//!
//! The end of the program is decisive, not the end of its output: another program that it has left behind may keep the
//! pipes open.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use plumbing::kernel::{kill_by_number, look, own};
use plumbing::process::forward::wait_for;
use plumbing::{Fault, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;

/// The longest answer; a result has some kilobytes.
const LONGEST: usize = 1 << 20;
/// How much of the log is kept.
const LOG: usize = 16 << 10;

/// What a program has written, and its status.
pub struct Output {
    /// Its status.
    pub status: Status,
    /// What it wrote to stdout.
    pub answer: Vec<u8>,
    /// The first part of what it wrote to stderr.
    pub log: Vec<u8>,
}

/// Waits for the end of a child of ours, which leads a process group. `goal` completes "cannot …".
pub fn collect(
    goal: &str,
    (pid, pidfd): (i32, &OwnedFd),
    pipes: [&OwnedFd; 2],
    patience: Duration,
) -> Result<Output, Fault> {
    let mut outputs = [Vec::new(), Vec::new()];
    let watched = watch(goal, pidfd, pipes, &mut outputs, patience);
    if watched.is_err() {
        // It is not waited for, so neither its pid nor its group can be another's. It may have ended, or not lead a group yet.
        for target in [-pid, pid] {
            own(goal, format!("kill({target}, SIGKILL)"), || kill_by_number(target, Signal::SIGKILL as i32)).ok();
        }
    }
    let status = wait_for(pid)?;
    watched?;
    let [answer, log] = outputs;
    Ok(Output { status, answer, log })
}

fn watch(
    goal: &str,
    pidfd: &OwnedFd,
    pipes: [&OwnedFd; 2],
    outputs: &mut [Vec<u8>; 2],
    patience: Duration,
) -> Result<(), Fault> {
    for pipe in pipes {
        own(goal, "fcntl(pipe, F_SETFL, O_NONBLOCK)", || fcntl_setfl(pipe, OFlags::NONBLOCK))?;
    }
    let deadline = Instant::now() + patience;
    let mut is_open = [true, true];
    loop {
        let mut fds = vec![PollFd::new(pidfd, PollFlags::IN)];
        fds.extend(
            pipes.iter().zip(is_open).filter(|(_, is_open)| *is_open).map(|(fd, _)| PollFd::new(*fd, PollFlags::IN)),
        );
        let rest = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: rest.as_secs() as i64, tv_nsec: i64::from(rest.subsec_nanos()) };
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => {
                return Err(Fault::new(format!("cannot {goal}: it has not ended after {patience:?} and was killed")));
            }
            Err(Errno::INTR) => continue,
            ready => look(goal, "poll()", || ready)?,
        };
        let has_ended = !fds[0].revents().is_empty();
        for at in 0..2 {
            is_open[at] = is_open[at] && take(goal, pipes[at], &mut outputs[at], at == 0)?;
        }
        if has_ended {
            return Ok(());
        }
    }
}

/// Takes what is in the pipe now; returns whether it is still open.
fn take(goal: &str, pipe: &OwnedFd, output: &mut Vec<u8>, is_answer: bool) -> Result<bool, Fault> {
    let mut piece = [0; 16 << 10];
    // As much as a pipe has room for, and not more: a writer may be as fast as we are.
    for _ in 0..8 {
        match rustix::io::read(pipe, &mut piece) {
            Ok(0) => return Ok(false),
            Ok(length) if is_answer && output.len() + length > LONGEST => {
                return Err(Fault::new(format!("cannot {goal}: its answer is longer than {} KiB", LONGEST >> 10)));
            }
            Ok(length) => {
                let room = if is_answer { length } else { length.min(LOG.saturating_sub(output.len())) };
                output.extend_from_slice(&piece[..room]);
            }
            Err(Errno::AGAIN | Errno::INTR) => break,
            read => drop(look(goal, "read(pipe)", || read)?),
        }
    }
    Ok(true)
}
