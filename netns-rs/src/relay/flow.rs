//! One direction of a connection: bytes go from a socket through a pipe to another socket, without being copied.
//! `splice(2)`.
//!
//! A pipe is needed only while the receiver does not take what the sender has sent. The surprise: `splice(2)` does not pass
//! the mark of urgent data: it answers EAGAIN there or, if the sender has ended, as if that were all. So the byte is read
//! and passed on in its place.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr, write};
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

/// The most that one splice moves; a pipe holds less.
const MOST: usize = 1 << 20;
/// What is read at once at urgent data; every pipe holds it.
const URGENT: usize = 4096;
/// How often one direction moves bytes before the other connections get their turn.
const TURNS: u32 = 16;
/// How many empty pipes are kept for later.
const SPARE: usize = 16;

/// Both ends of a pipe.
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// Empty pipes.
#[derive(Default)]
pub struct Pipes(Vec<Pipe>);

impl Pipes {
    fn take(&mut self) -> Result<Pipe, Errno> {
        match self.0.pop() {
            Some(pipe) => Ok(pipe),
            None => pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map(|(reader, writer)| Pipe { reader, writer }),
        }
    }

    fn give_back(&mut self, pipe: Pipe) {
        if self.0.len() < SPARE {
            self.0.push(pipe);
        }
    }
}

/// How far a direction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It waits for one of its sockets.
    Waits,
    /// There is more to do at once.
    Continues,
    /// The sender has ended it, and the receiver knows.
    Ended,
    /// The receiver is gone.
    Broken,
    /// The sender is gone: nothing more comes from it, and it takes nothing either.
    Lost,
}

/// One direction of a connection.
#[derive(Default)]
pub struct Flow {
    /// The pipe, while there is something in it.
    pipe: Option<Pipe>,
    held: usize,
    /// Whether urgent data has come.
    is_urgent: bool,
    end: Option<Progress>,
}

impl Flow {
    /// Notes that urgent data has come.
    pub fn expect_urgent(&mut self) {
        self.is_urgent = true;
    }

    /// Moves what can be moved.
    pub fn advance(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, pipes: &mut Pipes) -> Progress {
        if let Some(end) = self.end {
            return end;
        }
        let progress = self.step(from, to, pipes);
        if self.held == 0
            && let Some(pipe) = self.pipe.take()
        {
            pipes.give_back(pipe);
        }
        if !matches!(progress, Progress::Waits | Progress::Continues) {
            self.end = Some(progress);
            // Closed: what is in it cannot be delivered.
            self.pipe = None;
        }
        progress
    }

    fn step(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, pipes: &mut Pipes) -> Progress {
        for _ in 0..TURNS {
            let pipe = match self.pipe.take().map_or_else(|| pipes.take(), Ok) {
                Ok(pipe) => self.pipe.insert(pipe),
                // The system has no file to spare: only this connection ends.
                Err(_) => return Progress::Lost,
            };
            if self.held > 0 {
                match retry_on_intr(|| splice(&pipe.reader, None, to, None, self.held, FLAGS)) {
                    Ok(0) => return Progress::Broken,
                    Ok(moved) => self.held -= moved,
                    Err(Errno::AGAIN) => return Progress::Waits,
                    Err(_) => return Progress::Broken,
                }
                continue;
            }
            match fill(from, pipe.writer.as_fd(), self.is_urgent) {
                // If that fails, the receiver is gone, which the other direction finds.
                Ok(0) => return shutdown(to, Shutdown::Write).map_or(Progress::Broken, |()| Progress::Ended),
                Ok(moved) => self.held = moved,
                Err(Errno::AGAIN) => return Progress::Waits,
                Err(_) => return Progress::Lost,
            }
        }
        Progress::Continues
    }
}

const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

/// Moves bytes from a socket into an empty pipe.
fn fill(from: BorrowedFd<'_>, pipe: BorrowedFd<'_>, is_urgent: bool) -> Result<usize, Errno> {
    match retry_on_intr(|| splice(from, None, pipe, None, MOST, FLAGS)) {
        Err(Errno::AGAIN) if is_urgent => {}
        Ok(0) => {}
        answer => return answer,
    }
    let mut bytes = [0; URGENT];
    match retry_on_intr(|| recv(from, &mut bytes[..], RecvFlags::DONTWAIT))? {
        (_, 0) => Ok(0),
        (_, length) => write(pipe, &bytes[..length]),
    }
}
