//! Relaying between the caller's terminal and the command's: keys in one direction, output in the other. `poll(2)`,
//! `termios(3)`.
//!
//! The surprise: another program may take the caller's terminal for a while, as a pager does. So whether we may read
//! its keys is checked again and again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plumbing::Fault;
use rustix::io::Errno;
use rustix::termios::{LocalModes, SpecialCodeIndex, tcgetattr};

use super::Terminal;

impl Terminal {
    /// Waits for keys, output or a signal, and relays what there is; returns whether there was a signal.
    pub(crate) fn relay(&mut self, signals: BorrowedFd<'_>) -> Result<bool, Fault> {
        // A shell may have moved us to the foreground, which is not signaled.
        if self.input && !self.is_raw && self.may_be_raw() && self.may_read() {
            self.take()?;
        }
        let wanted = if self.pending.is_empty() { PollFlags::POLLIN } else { PollFlags::POLLIN | PollFlags::POLLOUT };
        let mut watched = vec![PollFd::new(signals, PollFlags::POLLIN), PollFd::new(self.ours.as_fd(), wanted)];
        let listens = self.input && self.pending.is_empty() && self.may_read();
        if listens {
            watched.push(PollFd::new(self.outer.as_fd(), PollFlags::POLLIN));
        }
        // A pager, for example, may have taken the caller's terminal for a while: check again.
        let patience =
            if self.input && !listens && self.pending.is_empty() { 100_u16.into() } else { PollTimeout::NONE };
        match poll(&mut watched, patience) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(Fault::kernel("wait for the command", "poll()", errno)),
        }
        let happened =
            |at: usize| watched.get(at).is_some_and(|fd| fd.revents().is_some_and(|events| !events.is_empty()));
        let hung_up = watched[1].revents().is_some_and(|events| events == PollFlags::POLLHUP);
        let (signal, output, input) = (happened(0), happened(1), happened(2));
        if input {
            self.read_keys();
        }
        if output {
            self.pass_on_output();
            self.pass_on_keys();
        }
        if hung_up && !signal {
            // No process has the other end open: the command is about to end, or runs without a terminal.
            let mut only = [PollFd::new(signals, PollFlags::POLLIN)];
            return Ok(poll(&mut only, 50_u16).is_ok_and(|ready| ready > 0));
        }
        Ok(signal)
    }

    /// Relays what the command has written.
    pub(crate) fn pass_on_output(&mut self) {
        let mut buffer = [0; 16 << 10];
        // Limited, so that keys and signals are handled, too.
        for _ in 0..16 {
            match rustix::io::read(&self.ours, &mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(length) => self.show(&buffer[..length]),
            }
        }
    }

    /// Relays all remaining output, after the end.
    pub(crate) fn drain(&mut self) {
        let mut buffer = [0; 16 << 10];
        while let Ok(length @ 1..) = rustix::io::read(&self.ours, &mut buffer) {
            self.show(&buffer[..length]);
        }
    }

    /// Writes to the caller's terminal. If that has hung up, the output is dropped; the command gets a SIGHUP.
    fn show(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match rustix::io::write(&self.outer, bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut watched = [PollFd::new(self.outer.as_fd(), PollFlags::POLLOUT)];
                    if poll(&mut watched, PollTimeout::NONE).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// Reads what was typed, and relays it.
    fn read_keys(&mut self) {
        let mut buffer = [0; 4096];
        match rustix::io::read(&self.outer, &mut buffer) {
            Ok(0) => self.pending.push(self.saved.special_codes[SpecialCodeIndex::VEOF]),
            Ok(length) => {
                self.asks_to_stop |= self.stops(&buffer[..length]);
                self.pending.extend_from_slice(&buffer[..length]);
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => self.input = false,
        }
        self.pass_on_keys();
    }

    /// Reports whether the command's terminal makes a SIGTSTP of one of these keys.
    fn stops(&self, keys: &[u8]) -> bool {
        // For either end of a pair, the kernel returns the modes of the command's end.
        tcgetattr(&self.ours).is_ok_and(|modes| {
            let stop = modes.special_codes[SpecialCodeIndex::VSUSP];
            stop != 0 && modes.local_modes.contains(LocalModes::ISIG) && keys.contains(&stop)
        })
    }

    /// Reads what was typed in line mode before leaving it: otherwise an end of file would become a NUL.
    pub(super) fn read_lines(&mut self) {
        let is_typed = |outer: &OwnedFd| {
            let mut watched = [PollFd::new(outer.as_fd(), PollFlags::POLLIN)];
            poll(&mut watched, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        };
        while self.input && self.pending.is_empty() && is_typed(&self.outer) {
            self.read_keys();
        }
    }

    /// Relays typed bytes as far as the command's terminal accepts them.
    fn pass_on_keys(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        match rustix::io::write(&self.ours, &self.pending) {
            Ok(length) => drop(self.pending.drain(..length)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // No process will read them.
            Err(_) => self.pending.clear(),
        }
    }
}
