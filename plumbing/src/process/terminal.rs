//! The terminal of a view that is refreshed: keys one at a time, and a screen of its own, which disappears at the end. `termios(3)`,
//! `console_codes(4)`.
//!
//! The surprise: whatever ends the view must restore the modes, so the signals that would end this process are read from
//! a descriptor as well.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use rustix::stdio::{stdin, stdout};
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use super::forward::{self, Forward, Signals};
use super::startup;
use crate::kernel::{look, own};
use crate::{Fault, Status, narrate};

/// The width of lines where no terminal has another one.
pub const WIDTH: usize = 80;

/// The other screen, without a cursor; and back.
const OPEN: &str = "\x1b[?1049h\x1b[?25l";
const CLOSE: &str = "\x1b[?25h\x1b[?1049l";

/// Returns the columns of the terminal on stdout; `None` if that is none.
pub fn columns() -> Option<usize> {
    let size = isatty(stdout()).then(|| tcgetwinsize(stdout()).ok()).flatten()?;
    Some(if size.ws_col == 0 { WIDTH } else { usize::from(size.ws_col) })
}

/// The terminal while the view is shown.
pub struct Screen {
    saved: Termios,
    keys: OwnedFd,
    signals: Signals,
    reader: SignalFd,
}

/// What has come in.
pub enum Input {
    /// Neither, until the limit.
    Nothing,
    /// Another key.
    Key(u8),
    /// A key or a signal that ends the view.
    End(Status),
}

impl Screen {
    /// Takes the terminal.
    pub fn open() -> Result<Screen, Fault> {
        let goal = "draw on the terminal";
        let keys = own(goal, "fcntl(F_DUPFD_CLOEXEC)", || rustix::io::fcntl_dupfd_cloexec(stdin(), 3))?;
        let saved = look(goal, "ioctl(TCGETS)", || tcgetattr(&keys));
        let saved = saved.map_err(|fault| fault.with_remedy("stdin is not a terminal; --batch needs none"))?;
        let signals = Signals::block(Forward::AllButStops)?;
        let reader = signals.reader()?;
        let mut modes = saved.clone();
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        own(goal, "ioctl(TCSETSW)", || tcsetattr(&keys, OptionalActions::Drain, &modes))?;
        let screen = Screen { saved, keys, signals, reader };
        startup::print(OPEN)?;
        Ok(screen)
    }

    /// Returns the columns and lines.
    pub fn size(&self) -> (usize, usize) {
        match tcgetwinsize(stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
            _ => (WIDTH, 24),
        }
    }

    /// Draws a page from the top; the lines are no longer than the screen.
    pub fn draw(&mut self, page: &str) -> Result<(), Fault> {
        let lines: Vec<_> = page.lines().collect();
        startup::print(&format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n"))).map(drop)
    }

    /// Waits for a key or a signal.
    pub fn input(&mut self, limit: Duration) -> Result<Input, Fault> {
        let limit = PollTimeout::try_from(limit + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let mut watched =
            [PollFd::new(self.keys.as_fd(), PollFlags::POLLIN), PollFd::new(self.reader.as_fd(), PollFlags::POLLIN)];
        match poll(&mut watched, limit) {
            Ok(0) | Err(Errno::EINTR) => return Ok(Input::Nothing),
            Ok(_) => {}
            Err(errno) => return Err(Fault::kernel("wait for a key", "poll(stdin, signalfd)", errno)),
        }
        if watched[0].any() == Some(true) {
            let mut key = [0];
            return Ok(match look("read a key", "read(stdin)", || rustix::io::read(&self.keys, &mut key[..]))? {
                // q, Escape, ^C, ^D, ^\, and the end of the input.
                0 => Input::End(Status::SUCCESS),
                _ if [b'q', 0x1b, 3, 4, 0x1c].contains(&key[0]) => Input::End(Status::SUCCESS),
                _ => Input::Key(key[0]),
            });
        }
        while let Some(received) = forward::receive(&self.reader)? {
            let ends = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];
            let signal = Signal::try_from(received.ssi_signo.cast_signed());
            if let Some(signal) = signal.ok().filter(|signal| ends.contains(signal)) {
                return Ok(Input::End(Status(128 + signal as i32 as u8)));
            }
        }
        Ok(Input::Nothing)
    }

    fn restore(&self) -> Result<(), Fault> {
        startup::print(CLOSE)?;
        own("restore the terminal", "ioctl(TCSETSW)", || tcsetattr(&self.keys, OptionalActions::Drain, &self.saved))?;
        self.signals.restore()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Err(fault) = self.restore() {
            narrate::remark(fault);
        }
    }
}
