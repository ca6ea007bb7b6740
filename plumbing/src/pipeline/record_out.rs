//! The record that goes out on stdout: writing it, and waiting until its reader has taken it. `pipe(7)`.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use rustix::fs::FileType;

use crate::kernel::look;
use crate::pipeline::record::Record;
use crate::pipeline::record_in::file_type;
use crate::process::{inherited, startup};
use crate::{Fault, narrate};

/// Writes the record to stdout and waits until its reader has taken it. Fails if the reader ends without taking it.
///
/// `lease` shows when the container is gone, which ends the wait as well.
pub fn pass_on(record: &Record, lease: Option<BorrowedFd<'_>>) -> Result<(), Fault> {
    let stdout = rustix::stdio::stdout();
    startup::print(&record.to_line()).map_err(|fault| match fault.errno() {
        Some(Errno::EPIPE) => reader_gone(record),
        _ => fault,
    })?;
    if file_type(stdout) != Some(FileType::Fifo) {
        return Ok(());
    }
    // No event reports to a writer that its pipe was emptied: look again, at first soon, then less often.
    let mut pause = Duration::from_micros(100);
    loop {
        let unread = look("determine whether the record was taken", "ioctl(stdout, FIONREAD)", || {
            rustix::io::ioctl_fionread(stdout)
        })?;
        if unread == 0 {
            return Ok(());
        }
        let mut watched = vec![PollFd::new(stdout, PollFlags::empty())];
        watched.extend(lease.map(|lease| PollFd::new(lease, PollFlags::empty())));
        wait_events(&mut watched, pause)?;
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

/// Waits with `ppoll(2)`, since the pauses are shorter than a millisecond.
fn wait_events(watched: &mut [PollFd<'_>], timeout: Duration) -> Result<(), Fault> {
    match ppoll(watched, Some(timeout.into()), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(Fault::kernel("wait for the next stage", "ppoll(stdout)", errno)),
    }
}

/// Refuses to write a record that no process can read: the container would be lost at once.
pub fn require_reader() -> Result<(), Fault> {
    let stdout = rustix::stdio::stdout();
    let is_lost = inherited::was_closed(1) || is_null_device(stdout);
    if is_lost && !narrate::is_dry_run() {
        return Err(Fault::new(
            "cannot write the container record: stdout is closed or /dev/null, so no process could read it",
        )
        .with_remedy("pipe it to the next stage, or store it in a file or variable"));
    }
    Ok(())
}

fn is_null_device(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == (1, 3)
    })
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
