//! A line about the progress, on a terminal, for a copy that takes longer than a second.

use std::io::Write;
use std::time::{Duration, Instant};

use plumbing::narrate;
use rustix::termios::isatty;

/// How long a copy takes until its progress is shown.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is shown.
const PAUSE: Duration = Duration::from_millis(200);

/// What has been copied.
pub(super) struct Progress {
    is_shown: bool,
    begun: Instant,
    /// When the line was last written, if it was.
    written: Option<Instant>,
    bytes: u64,
    files: u64,
}

impl Progress {
    /// Begins.
    pub(super) fn new() -> Progress {
        let is_shown = isatty(rustix::stdio::stderr()) && !narrate::is_on();
        Progress { is_shown, begun: Instant::now(), written: None, bytes: 0, files: 0 }
    }

    /// Counts a part of a file.
    pub(super) fn bytes(&mut self, count: u64) {
        self.bytes += count;
        self.show();
    }

    /// Counts a file.
    pub(super) fn file(&mut self) {
        self.files += 1;
        self.show();
    }

    fn show(&mut self) {
        if !self.is_shown || self.written.map_or(self.begun.elapsed() < PATIENCE, |last| last.elapsed() < PAUSE) {
            return;
        }
        self.written = Some(Instant::now());
        let mebibytes = self.bytes as f64 / f64::from(1 << 20);
        write(&format!("\r{}: {mebibytes:.1} MiB, {} files\x1b[K", narrate::tool(), self.files));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.written.is_some() {
            write("\r\x1b[K");
        }
    }
}

/// Writes to the terminal. If that fails, the copy goes on: its result counts, not the line.
fn write(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).ok();
}
