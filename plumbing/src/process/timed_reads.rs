//! Reading files of many processes that may make the reader wait, such as /proc/PID/cmdline. `proc_pid_cmdline(5)`.
//!
//! The kernel reads such a file out of the process's memory, whose map must not change meanwhile. A process can keep its map
//! locked: while it maps or unmaps a file, it waits for the file's server. ps(1) then waits, too. So a child reads, one
//! process after the other. What it is at when it stops answering is left out, and another child continues with the
//! next one. Many processes that each answer late could still make the reader wait for minutes, so all waiting together
//! has a limit. The surprise: only SIGKILL ends such a wait, so a signal handler cannot.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal};

use crate::kernel::{Cloned, exit_now, fork_to_look, look, own};
use crate::process::examine::{close_all_but, end};
use crate::process::target::wait_readable;
use crate::{Fault, Status};

/// How long the first process may keep us waiting: an honest one may be in the middle of a large mmap(2).
const FIRST: Duration = Duration::from_secs(1);
/// How long each further one may do that.
const FURTHER: Duration = Duration::from_millis(300);
/// How long all processes together may keep us waiting, also if each answers in the end; whatever follows is left out.
const TOGETHER: Duration = Duration::from_secs(5);

/// How long the reader sleeps at most before it takes what has come.
const NAP: Duration = Duration::from_millis(5);

/// The length of what was read, before it.
type Length = u32;

/// How long a child may keep us waiting.
#[derive(Clone, Copy)]
struct Patience {
    /// At one item.
    each: Duration,
    /// At all items together.
    together: Duration,
}

/// Calls `read` for each item in a child that has only the descriptor `keep`, and returns the answers. `None`: reading did
/// not end in time.
pub fn each<T>(
    goal: &str,
    keep: Option<BorrowedFd<'_>>,
    items: &[T],
    read: impl Fn(&T) -> Vec<u8>,
) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    within(TOGETHER, goal, keep, items, read)
}

fn within<T>(
    mut together: Duration,
    goal: &str,
    keep: Option<BorrowedFd<'_>>,
    items: &[T],
    read: impl Fn(&T) -> Vec<u8>,
) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    let mut answers = Vec::with_capacity(items.len());
    let mut each = FIRST;
    while answers.len() < items.len() {
        if together.is_zero() {
            answers.resize(items.len(), None);
            break;
        }
        let rest = &items[answers.len()..];
        let waited = run(goal, keep, rest, &read, Patience { each, together }, &mut answers)?;
        together = together.saturating_sub(waited);
        if answers.len() < items.len() {
            answers.push(None);
            each = FURTHER;
        }
    }
    Ok(answers)
}

/// Adds the answers of one child, up to the item at which it stops answering. Returns how long it kept us waiting.
fn run<T>(
    goal: &str,
    keep: Option<BorrowedFd<'_>>,
    items: &[T],
    read: impl Fn(&T) -> Vec<u8>,
    patience: Patience,
    answers: &mut Vec<Option<Vec<u8>>>,
) -> Result<Duration, Fault> {
    let (reader, writer) = own(goal, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    match fork_to_look(goal)? {
        Cloned::Child => {
            let keep: Vec<_> = keep.into_iter().collect();
            let is_sent = close_all_but(&keep, writer.as_fd()).is_ok() && send(writer, items, read).is_ok();
            exit_now(if is_sent { Status::SUCCESS } else { Status::OURS })
        }
        Cloned::Parent { pid, pidfd } => {
            drop(writer);
            let expected = answers.len() + items.len();
            let received = receive(goal, &reader, &pidfd, (expected, patience), answers);
            // One that has sent everything is about to end. One that waits cannot do anything else.
            if answers.len() < expected {
                pidfd_send_signal(&pidfd, Signal::KILL).ok();
            }
            end(pid, &pidfd)?;
            received
        }
    }
}

fn send<T>(writer: OwnedFd, items: &[T], read: impl Fn(&T) -> Vec<u8>) -> Result<(), std::io::Error> {
    let mut writer = std::fs::File::from(writer);
    for item in items {
        let answer = read(item);
        let length = Length::try_from(answer.len()).map_err(std::io::Error::other)?;
        // One write: what was sent is there before the next read, which may wait.
        writer.write_all(&[&length.to_ne_bytes()[..], &answer].concat())?;
    }
    Ok(())
}

/// Adds the answers that come through the pipe, until the child ends or stops answering. Returns the time of the naps in
/// which nothing came: a child that reads many items without waiting sends something in each.
///
/// Does not wait for each answer: changing between the two processes a hundred times costs more than all the reading.
fn receive(
    goal: &str,
    reader: &OwnedFd,
    child: &OwnedFd,
    (expected, patience): (usize, Patience),
    answers: &mut Vec<Option<Vec<u8>>>,
) -> Result<Duration, Fault> {
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    let (mut last, mut waited) = (Instant::now(), Duration::ZERO);
    loop {
        let nap = Instant::now();
        let has_ended = wait_readable(child.as_fd(), Some(NAP))?;
        while wait_readable(reader.as_fd(), Some(Duration::ZERO))? {
            let read =
                look(goal, "read(pipe)", || rustix::io::retry_on_intr(|| rustix::io::read(reader, &mut piece[..])))?;
            if read == 0 {
                break;
            }
            last = Instant::now();
            bytes.extend_from_slice(&piece[..read]);
            take(&mut bytes, answers);
        }
        if last < nap {
            waited += nap.elapsed();
        }
        let is_late = last.elapsed() > patience.each || waited >= patience.together;
        if answers.len() >= expected || (!has_ended && is_late) {
            return Ok(waited);
        }
        if has_ended {
            return Err(Fault::new(format!("cannot {goal}: the process that does the work has ended early")));
        }
    }
}

/// Moves the answers that are whole.
fn take(bytes: &mut Vec<u8>, answers: &mut Vec<Option<Vec<u8>>>) {
    let mut taken = 0;
    while let Some((length, rest)) = bytes[taken..].split_first_chunk::<{ size_of::<Length>() }>()
        && let Some(answer) = rest.get(..Length::from_ne_bytes(*length) as usize)
    {
        answers.push(Some(answer.to_vec()));
        taken += length.len() + answer.len();
    }
    bytes.drain(..taken);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_answer_is_left_out_and_the_rest_is_read() {
        let read = |item: &u64| {
            if *item == 2 {
                std::thread::sleep(Duration::from_secs(60));
            }
            vec![7; usize::try_from(*item).unwrap()]
        };
        let answers = each("read", None, &[1, 2, 100_000, 0, 2, 3], read).unwrap();
        let lengths: Vec<_> = answers.into_iter().map(|answer| answer.map(|bytes| bytes.len())).collect();
        assert_eq!(lengths, [Some(1), None, Some(100_000), Some(0), None, Some(3)]);
    }

    #[test]
    fn many_that_answer_late_are_left_out_when_all_have_waited_long_enough() {
        let read = |item: &u64| {
            std::thread::sleep(Duration::from_millis(*item));
            Vec::new()
        };
        let items = [&[0][..], &[100; 40]].concat();
        let answers = within(Duration::from_millis(500), "read", None, &items, read).unwrap();
        assert!(answers.first().is_some_and(Option::is_some) && answers.last().is_some_and(Option::is_none));
        assert_eq!(answers.len(), items.len());
        // No single one is too late.
        let answers = within(TOGETHER, "read", None, &items[..3], read).unwrap();
        assert!(answers.iter().all(Option::is_some));
    }
}
