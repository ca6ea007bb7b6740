//! What was read about a process, or why it could not be read; and lists whose length the process cannot control.
//!
//! `proc(5)`. Somebody inside may have chosen nearly all of this text, and its amount.

use std::io::{BufRead, BufReader, Read};

use plumbing::Fault;
use plumbing::fault::errno_text;
use plumbing::kernel::look;
use plumbing::process::target::Target;
use rustix::fs::{Mode, OFlags, openat};
use serde::Serialize;

/// The maximum number of bytes that are read of a file.
const MOST_READ: u64 = 8 << 20;
/// The maximum number of entries of a list that are shown, and of their bytes: the length of a record is limited.
const MOST: usize = 64;
const MOST_BYTES: usize = 8 << 10;

/// A part of the page, or why it could not be read.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Reading<T> {
    Value(T),
    Hidden { unreadable: String },
}

impl<T> Reading<T> {
    /// Keeps the value, or the reason.
    pub(super) fn of(read: Result<T, Fault>) -> Reading<T> {
        match read {
            Ok(value) => Reading::Value(value),
            Err(fault) => Reading::Hidden { unreadable: fault.errno().map_or_else(|| fault.to_string(), errno_text) },
        }
    }

    /// Returns the value, if it could be read.
    pub(super) fn ok(&self) -> Option<&T> {
        match self {
            Reading::Value(value) => Some(value),
            Reading::Hidden { .. } => None,
        }
    }

    /// Returns the text for the page.
    pub(super) fn shown(&self, show: impl FnOnce(&T) -> String) -> String {
        match self {
            Reading::Value(value) => show(value),
            Reading::Hidden { unreadable } => format!("not readable: {unreadable}"),
        }
    }
}

/// The first entries of a list, and the number of all entries.
#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    pub(super) total: usize,
    pub(super) shown: Vec<T>,
    #[serde(skip)]
    bytes: usize,
}

impl<T> List<T> {
    /// Returns an empty list.
    pub(super) fn new() -> List<T> {
        List { total: 0, shown: Vec::new(), bytes: 0 }
    }

    /// Adds an entry whose text has this many bytes.
    pub(super) fn push(&mut self, entry: T, bytes: usize) {
        self.total += 1;
        if self.shown.len() < MOST && self.bytes + bytes <= MOST_BYTES {
            self.bytes += bytes;
            self.shown.push(entry);
        }
    }
}

/// Reads a file of the process line by line; returns whether the whole file was read.
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
