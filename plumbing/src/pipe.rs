//! A stage of a pipeline: one record in on stdin, the same container passed on through stdout. `pipe(7)`, `tee(2)`.
//!
//! All or nothing, at every instant: a stage takes its lease *before* it takes the record out of the pipe (it peeks
//! with tee(2)), and keeps it until the next one has done the same. So whichever process of the pipeline dies, the
//! lease of one that is still responsible closes, and the container ends.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::FileType;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};

use crate::assembly::Hold;
use crate::fault::IntoErrno;
use crate::kernel::{call, look};
use crate::record::{LONGEST, Record, unreadable};
use crate::target::Target;
use crate::{Fault, Status, narrate, startup};

/// What one tee(2) can show: the default capacity of a pipe.
const PEEK: usize = 64 << 10;

/// A container handed to this stage.
#[derive(Debug)]
pub struct Stage {
    /// What the record tells, to be added to.
    pub record: Record,
    /// The process that it names, verified.
    pub target: Target,
    /// How that process stands to `--hold`.
    pub hold: Hold,
}

/// Runs a filter stage: takes a container from stdin, applies `apply`, passes it on. When anything fails, the
/// container ends (if it is an unfinished hold, and not with `keep_on_error`), and so does the pipeline.
pub fn filter(keep_on_error: bool, apply: impl FnOnce(&mut Stage) -> Result<(), Fault>) -> Result<Status, Fault> {
    let mut stage = Stage::receive()?;
    let untouched = stage.record.clone();
    let applied = apply(&mut stage).and_then(|()| {
        // A dry run changed nothing, so it adds nothing; the stages behind it still get their container.
        let record = if narrate::is_dry_run() { &untouched } else { &stage.record };
        pass_on(record, stage.lease_fd())
    });
    match applied {
        Ok(()) => stage.release().map(|()| Status::SUCCESS),
        Err(fault) => Err(stage.abandon(keep_on_error, fault)),
    }
}

/// Runs an inspection stage: every record of stdin, one after the other, is passed on with what `look` adds to it.
/// Takes no lease and ends nothing.
pub fn inspect(mut look_at: impl FnMut(&mut Record, &Target) -> Result<(), Fault>) -> Result<Status, Fault> {
    refuse_terminal()?;
    let mut lines = std::io::BufReader::new(std::io::stdin().lock());
    let mut seen = 0;
    while let Some(line) = read_line(&mut lines)? {
        let mut record = Record::parse(&line)?;
        let target = Target::open(record.init())?;
        look_at(&mut record, &target)?;
        startup::print(&record.to_line())?;
        seen += 1;
    }
    if seen == 0 { Err(no_record()) } else { Ok(Status::SUCCESS) }
}

impl Stage {
    /// Takes the record of stdin, and with it the responsibility for the container.
    pub fn receive() -> Result<Stage, Fault> {
        refuse_terminal()?;
        let stdin = rustix::stdio::stdin();
        let (line, peeked) = match file_type(stdin) {
            Some(FileType::Fifo) => peek_line(stdin)?,
            _ => (read_line(&mut std::io::BufReader::new(std::io::stdin().lock()))?, false),
        };
        let line = line.ok_or_else(no_record)?;
        let record = Record::parse(&line)?;
        let target = Target::open(record.init())?;
        let hold = Hold::of(&target)?;
        if peeked {
            consume(stdin, line.len())?;
        }
        Ok(Stage { record, target, hold })
    }

    /// For polling: readable when the container is gone.
    pub fn lease_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.hold {
            Hold::Unfinished(lease) => Some(lease.as_fd()),
            _ => None,
        }
    }

    /// Refuses a container that no `--hold` of ours made.
    pub fn require_hold(&self, to: &str) -> Result<(), Fault> {
        match self.hold {
            Hold::Foreign => Err(Fault::new(format!(
                "cannot {to} {}: process {} was not made by unshare-rs --hold, and only such containers are changed",
                self.record.shown_name(),
                self.target.pid()
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses a container in which a command runs already.
    pub fn require_unfinished(&self, to: &str) -> Result<(), Fault> {
        self.require_hold(to)?;
        match self.hold {
            Hold::InUse => Err(Fault::new(format!(
                "cannot {to} {}: a command was entered already, and it would lose the ground under its feet",
                self.record.shown_name()
            ))),
            _ => Ok(()),
        }
    }

    /// Ends the container, if `--hold` made it, and waits until it has ended.
    ///
    /// A container that was unfinished when we came ends by our lease, which we told that it may; one in use when we
    /// came is killed through its pidfd, once its mark is verified: whatever else a record names is left alone.
    pub fn end(self) -> Result<(), Fault> {
        let ended = match self.hold {
            Hold::Unfinished(lease) => lease.abandon(&self.target)?,
            Hold::InUse => {
                kill(&self.target)?;
                self.target.wait(Duration::from_secs(5))?
            }
            Hold::Foreign => {
                let pid = self.target.pid();
                return Err(Fault::new(format!("cannot end process {pid}: it was not made by unshare-rs --hold")));
            }
        };
        match ended {
            true => Ok(()),
            false => {
                Err(Fault::new(format!("cannot end the container: its init, process {}, stays", self.target.pid())))
            }
        }
    }

    /// Lets the container live on without us.
    pub fn release(self) -> Result<(), Fault> {
        match self.hold {
            Hold::Unfinished(lease) => lease.release(&self.target),
            _ => Ok(()),
        }
    }

    /// Ends the container if it is unfinished, unless it shall be kept; gives back the fault that led here.
    pub fn abandon(self, keep_on_error: bool, fault: Fault) -> Fault {
        let Hold::Unfinished(lease) = self.hold else { return fault };
        if keep_on_error {
            return match lease.release(&self.target) {
                Ok(()) => fault,
                Err(_) if fault.errno().is_some() => fault,
                Err(release) => release,
            };
        }
        match lease.abandon(&self.target) {
            Ok(true) => fault,
            Ok(false) | Err(_) => fault.with_remedy(format!(
                "the container's init, process {}, does not end; look into it",
                self.target.pid()
            )),
        }
    }
}

fn kill(target: &Target) -> Result<(), Fault> {
    let text = format!("pidfd_send_signal(pidfd of {}, SIGKILL)", target.pid());
    call("end the container", text, "its pid namespace ends with its init; pid_namespaces(7)", || {
        rustix::process::pidfd_send_signal(target.pidfd(), rustix::process::Signal::KILL)
    })
}

/// Writes the record to stdout and waits until its reader has taken it. Fails when the reader ends without.
///
/// `lease` tells when the container is gone, which ends the wait as well.
pub fn pass_on(record: &Record, lease: Option<BorrowedFd<'_>>) -> Result<(), Fault> {
    let stdout = rustix::stdio::stdout();
    startup::print(&record.to_line()).map_err(|fault| match fault.errno() {
        Some(Errno::EPIPE) => reader_gone(record),
        _ => fault,
    })?;
    if file_type(stdout) != Some(FileType::Fifo) {
        return Ok(());
    }
    // No event tells a writer that its pipe was emptied: look again, soon at first, then less often.
    let mut pause = Duration::from_micros(100);
    loop {
        let unread =
            look("see whether the record was taken", "ioctl(stdout, FIONREAD)", || rustix::io::ioctl_fionread(stdout))?;
        if unread == 0 {
            return Ok(());
        }
        let mut watched = vec![PollFd::new(stdout, PollFlags::empty())];
        watched.extend(lease.map(|lease| PollFd::new(lease, PollFlags::empty())));
        let timeout = rustix::time::Timespec { tv_sec: 0, tv_nsec: pause.subsec_nanos().into() };
        wait_events(&mut watched, timeout)?;
        let ended = |watched: &PollFd<'_>| watched.any().unwrap_or(false);
        let (reader_ended, container_ended) = (ended(&watched[0]), watched.get(1).is_some_and(ended));
        // Taken since we last looked: then the next stage is responsible, and may have ended both already.
        let is_taken = || rustix::io::ioctl_fionread(stdout).is_ok_and(|unread| unread == 0);
        if (reader_ended || container_ended) && !is_taken() {
            return Err(if reader_ended { reader_gone(record) } else { container_gone(record) });
        }
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}

/// `ppoll(2)`, since the pauses are shorter than a millisecond.
fn wait_events(watched: &mut [PollFd<'_>], timeout: rustix::time::Timespec) -> Result<(), Fault> {
    let timeout = nix::sys::time::TimeSpec::new(timeout.tv_sec, timeout.tv_nsec as _);
    match nix::poll::ppoll(watched, Some(timeout), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(Fault::kernel("wait for the next stage", "ppoll(stdout)", errno)),
    }
}

/// Refuses to write a record where nobody can read it: the container would be lost at once.
pub fn require_reader() -> Result<(), Fault> {
    let stdout = rustix::stdio::stdout();
    let nobody = startup::was_closed(1) || is_null_device(stdout);
    if nobody && !narrate::is_dry_run() {
        return Err(Fault::new(
            "cannot write the container record: stdout is closed or /dev/null, so nobody could read it",
        )
        .with_remedy("pipe it into the next stage, or keep it in a file or variable"));
    }
    Ok(())
}

fn is_null_device(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == (1, 3)
    })
}

fn file_type(fd: BorrowedFd<'_>) -> Option<FileType> {
    rustix::fs::fstat(fd).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
}

fn refuse_terminal() -> Result<(), Fault> {
    if startup::was_closed(0) {
        return Err(no_record());
    }
    if rustix::termios::isatty(rustix::stdio::stdin()) {
        return Err(Fault::usage("--pipe reads a container record from stdin, and stdin is a terminal"));
    }
    Ok(())
}

/// Shows the first line of a pipe without taking it out. The flag says whether it is still in there: a line longer
/// than a pipe holds can only be read by taking it.
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
        // Half a line lies in the pipe, so poll(2) would not wait: give the writer time.
        if seen.len() == last_length {
            std::thread::sleep(Duration::from_millis(pause));
            pause = (pause * 2).min(20);
        }
        last_length = seen.len();
    }
}

/// Waits until there is something to read; answers whether all writers are gone.
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
    let (reader, writer) = look(goal, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
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

/// Takes out of the pipe what was peeked at: this is what tells the stage before us that we are responsible now.
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
fn read_line(input: &mut impl std::io::BufRead) -> Result<Option<Vec<u8>>, Fault> {
    let mut line = Vec::new();
    let mut limited = std::io::Read::take(input, LONGEST as u64 + 1);
    std::io::BufRead::read_until(&mut limited, b'\n', &mut line)
        .map_err(|error| Fault::kernel("read the container record", "read(stdin)", error.into_errno()))?;
    if line.len() > LONGEST {
        return Err(unreadable(format!("its line is longer than {LONGEST} bytes")));
    }
    Ok(if line.is_empty() { None } else { Some(line) })
}

fn no_record() -> Fault {
    Fault::new("no container record came in on stdin: the stage before this one failed")
}

fn container_gone(record: &Record) -> Fault {
    Fault::new(format!("cannot pass on the container {}: it has ended", record.shown_name()))
}

fn reader_gone(record: &Record) -> Fault {
    Fault::new(format!(
        "the next stage ended without taking the container {}, so it is not finished",
        record.shown_name()
    ))
}
