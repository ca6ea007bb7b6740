//! What was seen of a process, or why it was not; and lists that the process cannot make as long as it likes.
//!
//! `proc(5)`. Nearly all of it is text that somebody inside chose, and so is how much of it there is.

use std::io::{BufRead, BufReader, Read};

use plumbing::Fault;
use plumbing::fault::errno_text;
use plumbing::kernel::look;
use plumbing::target::Target;
use rustix::fs::{Mode, OFlags, openat};
use serde::Serialize;

/// The most of a file that is read.
const MOST_READ: u64 = 8 << 20;
/// The most entries of a list that are told, and the most bytes of them: a record has to fit in its line.
const MOST: usize = 64;
const MOST_BYTES: usize = 8 << 10;

/// A part of the page.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Seen<T> {
    Told(T),
    Hidden { unreadable: String },
}

impl<T> Seen<T> {
    pub(super) fn of(read: Result<T, Fault>) -> Seen<T> {
        match read {
            Ok(told) => Seen::Told(told),
            Err(fault) => Seen::Hidden { unreadable: fault.errno().map_or_else(|| fault.to_string(), errno_text) },
        }
    }

    pub(super) fn told(&self) -> Option<&T> {
        match self {
            Seen::Told(told) => Some(told),
            Seen::Hidden { .. } => None,
        }
    }

    /// For a person.
    pub(super) fn shown(&self, show: impl FnOnce(&T) -> String) -> String {
        match self {
            Seen::Told(told) => show(told),
            Seen::Hidden { unreadable } => format!("not readable: {unreadable}"),
        }
    }
}

/// The first of many, and how many there are.
#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    pub(super) total: usize,
    pub(super) shown: Vec<T>,
    #[serde(skip)]
    bytes: usize,
}

impl<T> List<T> {
    pub(super) fn new() -> List<T> {
        List { total: 0, shown: Vec::new(), bytes: 0 }
    }

    /// Adds an entry, whose text has so many bytes.
    pub(super) fn push(&mut self, entry: T, bytes: usize) {
        self.total += 1;
        if self.shown.len() < MOST && self.bytes + bytes <= MOST_BYTES {
            self.bytes += bytes;
            self.shown.push(entry);
        }
    }
}

/// Reads a file of the process line by line; answers whether that was all of it.
pub(super) fn each_line(target: &Target, file: &str, mut act: impl FnMut(&[u8])) -> Result<bool, Fault> {
    let goal = format!("read /proc/{}/{file}", target.pid());
    let opened = look(&goal, format!("openat(\"/proc/{}/{file}\", O_RDONLY)", target.pid()), || {
        openat(target.dir(), file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    })?;
    let mut lines = BufReader::new(std::fs::File::from(opened).take(MOST_READ));
    let mut line = Vec::new();
    loop {
        line.clear();
        let text = || format!("read(\"/proc/{}/{file}\")", target.pid());
        if look(&goal, text(), || lines.read_until(b'\n', &mut line))? == 0 {
            return Ok(lines.into_inner().limit() > 0);
        }
        act(line.strip_suffix(b"\n").unwrap_or(&line));
    }
}
