//! The record that comes in on stdin: shown without being taken out of the pipe, and taken only when the stage has its
//! lease. `pipe(7)`, `tee(2)`.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::FileType;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};

use crate::Fault;
use crate::fault::IntoErrno;
use crate::kernel::{look, own};
use crate::pipeline::record::{LONGEST, unreadable};
use crate::process::inherited;

/// The most that one tee(2) can show: the default capacity of a pipe.
const PEEK: usize = 64 << 10;

/// The line of a record, and whether it is still in the pipe.
pub(crate) struct Shown {
    pub(crate) line: Vec<u8>,
    untaken: bool,
}

/// Shows the first line of stdin; a fault if there is none.
pub(crate) fn show() -> Result<Shown, Fault> {
    refuse_terminal()?;
    let stdin = rustix::stdio::stdin();
    let (line, untaken) = match file_type(stdin) {
        Some(FileType::Fifo) => peek_line(stdin)?,
        _ => (read_line(&mut std::io::BufReader::new(std::io::stdin().lock()))?, false),
    };
    let line = line.ok_or_else(no_record)?;
    Ok(Shown { line, untaken })
}

impl Shown {
    /// Takes the line out of the pipe: from this the previous stage learns that we are responsible now.
    pub(crate) fn take(self) -> Result<(), Fault> {
        if self.untaken { consume(rustix::stdio::stdin(), self.line.len()) } else { Ok(()) }
    }
}

pub(crate) fn refuse_terminal() -> Result<(), Fault> {
    if inherited::was_closed(0) {
        return Err(no_record());
    }
    if rustix::termios::isatty(rustix::stdio::stdin()) {
        return Err(Fault::usage("--pipe reads a container record from stdin, and stdin is a terminal"));
    }
    Ok(())
}

/// Shows the first line of a pipe without taking it out. The flag is true if the line is still in the pipe: a line
/// longer than the pipe's capacity can only be read by taking it.
fn peek_line(stdin: BorrowedFd<'_>) -> Result<(Option<Vec<u8>>, bool), Fault> {
    let mut pause = 1;
    let mut last_length = 0;
    loop {
        let ended = wait_for_input(stdin)?;
        let seen = peek(stdin)?;
        if let Some(end) = seen.iter().position(|byte| *byte == b'\n') {
            return Ok((Some(seen[..=end].to_vec()), true));
        }
        if ended && seen.len() == last_length {
            return Ok(if seen.is_empty() { (None, false) } else { (Some(seen), true) });
        }
        if seen.len() >= PEEK - 4096 {
            let line = read_line(&mut std::io::BufReader::new(std::io::stdin().lock()))?;
            return Ok((line, false));
        }
        // Half a line is in the pipe, so poll(2) would not wait: give the writer time.
        if seen.len() == last_length {
            std::thread::sleep(Duration::from_millis(pause));
            pause = (pause * 2).min(20);
        }
        last_length = seen.len();
    }
}

/// Waits until there is something to read; returns whether all writers are gone.
fn wait_for_input(stdin: BorrowedFd<'_>) -> Result<bool, Fault> {
    loop {
        let mut watched = [PollFd::new(stdin, PollFlags::POLLIN)];
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) => return Ok(watched[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Fault::kernel("wait for a container record", "poll(stdin)", errno)),
        }
    }
}

fn peek(stdin: BorrowedFd<'_>) -> Result<Vec<u8>, Fault> {
    let goal = "read the container record";
    let (reader, writer) = own(goal, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
    let length = match tee(stdin, &writer, PEEK, SpliceFlags::NONBLOCK) {
        Err(rustix::io::Errno::AGAIN) => 0,
        answer => look(goal, "tee(stdin)", || answer)?,
    };
    let mut seen = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match look(goal, "read(pipe)", || rustix::io::read(&reader, &mut seen[filled..]))? {
            0 => break,
            read => filled += read,
        }
    }
    seen.truncate(filled);
    Ok(seen)
}

fn consume(stdin: BorrowedFd<'_>, length: usize) -> Result<(), Fault> {
    let mut buffer = vec![0; length];
    let mut left = length;
    while left > 0 {
        match look("take the container record", "read(stdin)", || rustix::io::read(stdin, &mut buffer[..left]))? {
            0 => return Err(unreadable("another reader took it")),
            read => left -= read,
        }
    }
    Ok(())
}

/// Reads one line, of at most [`LONGEST`] bytes; `None` at the end.
pub(crate) fn read_line(input: &mut impl std::io::BufRead) -> Result<Option<Vec<u8>>, Fault> {
    let mut line = Vec::new();
    let mut limited = std::io::Read::take(input, LONGEST as u64 + 1);
    std::io::BufRead::read_until(&mut limited, b'\n', &mut line)
        .map_err(|error| Fault::kernel("read the container record", "read(stdin)", error.into_errno()))?;
    if line.len() > LONGEST {
        return Err(unreadable(format!("its line is longer than {LONGEST} bytes")));
    }
    Ok(if line.is_empty() { None } else { Some(line) })
}

pub(crate) fn no_record() -> Fault {
    Fault::new("no container record came in on stdin: the stage before this one failed")
}

pub(crate) fn file_type(fd: BorrowedFd<'_>) -> Option<FileType> {
    rustix::fs::fstat(fd).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
}
