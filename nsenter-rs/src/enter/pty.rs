//! A new pseudo-terminal for a command behind a border, so that its terminal is not the caller's. `pty(7)`.
//!
//! A process that has a terminal open can type on it (TIOCSTI, `ioctl_tty(2)`), and so command the shell that reads it
//! next. So if stdin, stdout or stderr is a terminal, the command gets one end of a pair, and we relay the bytes.

mod relay;

use std::os::fd::{BorrowedFd, OwnedFd};

use nix::sys::signal::Signal;
use plumbing::Fault;
use plumbing::kernel::{call, look, own, place, signal_foreground};
use plumbing::process::session;
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    LocalModes, OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};

/// The pair, and the caller's terminal.
pub(crate) struct Terminal {
    /// The caller's terminal.
    outer: OwnedFd,
    /// The modes that the caller's terminal had.
    saved: Termios,
    /// Our end of the pair.
    ours: OwnedFd,
    /// The command's end, until the command has opened it.
    theirs: Option<OwnedFd>,
    /// Whether the command's end replaces its descriptors 0, 1 and 2.
    replaces: [bool; 3],
    /// Whether the caller types for the command; false once the caller's terminal is gone.
    input: bool,
    /// Typed bytes that the command's terminal has not accepted yet.
    pending: Vec<u8>,
    /// Whether the caller's terminal passes on every key, including ^C.
    is_raw: bool,
    /// Whether the key that stops a job was typed and is not handled yet.
    asks_to_stop: bool,
}

impl Terminal {
    /// Opens a pair if one of the streams, the future stdin, stdout and stderr of the command, is a terminal.
    pub(crate) fn open(streams: [BorrowedFd<'_>; 3]) -> Result<Option<Terminal>, Fault> {
        let replaces = streams.map(isatty);
        let Some(outer) = streams.into_iter().find(|stream| isatty(stream)) else { return Ok(None) };
        let goal = "make a terminal for the command";
        let explained = |fault: Fault| {
            fault.with_remedy("--no-pty passes the caller's terminal, on which processes inside can type")
        };
        let outer = own(goal, "fcntl(F_DUPFD_CLOEXEC)", || rustix::io::fcntl_dupfd_cloexec(outer, 3))?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = look(goal, "openat(\"/dev/ptmx\")", || openpt(flags)).map_err(explained)?;
        own(goal, "grantpt()", || grantpt(&ours))?;
        own(goal, "ioctl(TIOCSPTLCK)", || unlockpt(&ours))?;
        let theirs = look(goal, "ioctl(TIOCGPTPEER)", || ioctl_tiocgptpeer(&ours, flags))?;
        let saved = look(goal, "ioctl(TCGETS)", || tcgetattr(&outer))?;
        own(goal, "fcntl(F_SETFL)", || rustix::io::ioctl_fionbio(&ours, true))?;
        let mut terminal = Terminal {
            outer,
            saved,
            ours,
            theirs: Some(theirs),
            replaces,
            input: replaces[0],
            pending: Vec::new(),
            is_raw: false,
            asks_to_stop: false,
        };
        terminal.set_up()?;
        Ok(Some(terminal))
    }

    /// Gives the command's end the modes of the caller's terminal, unless we are in the background, where a shell that
    /// reads has changed them. If the caller's terminal does not become raw, only one of the two may echo and translate
    /// line ends.
    fn set_up(&mut self) -> Result<(), Fault> {
        let mut modes = match (&self.theirs, self.is_foreground()) {
            (Some(theirs), false) => look("read the command's terminal modes", "ioctl(TCGETS)", || tcgetattr(theirs))?,
            _ => self.saved.clone(),
        };
        if !self.may_be_raw() {
            modes.local_modes.remove(LocalModes::ECHO);
            modes.output_modes.remove(OutputModes::OPOST);
        }
        if let Some(theirs) = &self.theirs {
            own("set the command's terminal modes", "ioctl(TCSETS)", || {
                tcsetattr(theirs, OptionalActions::Now, &modes)
            })?;
        }
        self.resize()
    }

    /// Makes the pair the controlling terminal of this process, which becomes the command.
    pub(crate) fn give(&self) -> Result<(), Fault> {
        let goal = "give the command its terminal";
        let Some(theirs) = &self.theirs else { return Ok(()) };
        session::begin("only the leader of a session can take a controlling terminal; setsid(2)")?;
        own(goal, "ioctl(TIOCSCTTY)", || rustix::process::ioctl_tiocsctty(theirs))?;
        for number in (0..3).filter(|number| self.replaces[*number as usize]) {
            own(goal, format!("dup2(pty, {number})"), || place(theirs, number))?;
        }
        Ok(())
    }

    /// Closes the command's end, outside, and makes the caller's terminal pass on every key, including ^C.
    pub(crate) fn take(&mut self) -> Result<(), Fault> {
        self.theirs = None;
        if !self.is_raw && self.may_be_raw() && self.is_foreground() {
            self.read_lines();
            self.saved = look("read the caller's terminal modes", "ioctl(TCGETS)", || tcgetattr(&self.outer))?;
            let mut modes = self.saved.clone();
            modes.make_raw();
            self.set(&modes)?;
            self.is_raw = true;
        }
        self.resize()
    }

    /// Restores the caller's terminal.
    pub(crate) fn give_back(&mut self) -> Result<(), Fault> {
        if self.is_raw {
            self.is_raw = false;
            let saved = self.saved.clone();
            self.set(&saved)?;
        }
        Ok(())
    }

    /// Sets the command's window size to that of the caller.
    pub(crate) fn resize(&self) -> Result<(), Fault> {
        // A terminal that has hung up has no size.
        let Ok(size) = tcgetwinsize(&self.outer) else { return Ok(()) };
        own("set the size of the window", "ioctl(TIOCSWINSZ)", || tcsetwinsize(&self.ours, size))
    }

    /// Forwards a signal that the caller's terminal made of a key, as the command's terminal would have.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Fault> {
        let why = "it was typed, so it is for all processes in the foreground; ioctl_tty(2)";
        call(format!("forward {signal}"), format!("ioctl(ptm, TIOCSIG, {signal})"), why, || {
            signal_foreground(&self.ours, signal)
        })
    }

    /// Returns the process group for which a stop was typed, once for each time.
    pub(crate) fn stop_typed(&mut self) -> Option<i32> {
        let asks = std::mem::take(&mut self.asks_to_stop);
        tcgetpgrp(&self.ours).ok().filter(|_| asks).map(|group| group.as_raw_nonzero().get())
    }

    /// Reports whether the caller's terminal may become raw. Not if the output goes elsewhere: another program of a
    /// pipeline may be using the terminal.
    fn may_be_raw(&self) -> bool {
        self.replaces[0] && self.replaces[1]
    }

    /// Reports whether we may read keys. A program that has left line mode reads them itself.
    fn may_read(&self) -> bool {
        let in_line_mode = || tcgetattr(&self.outer).is_ok_and(|modes| modes.local_modes.contains(LocalModes::ICANON));
        self.is_foreground() && (self.is_raw || in_line_mode())
    }

    /// Reports whether the caller's terminal belongs to our job.
    fn is_foreground(&self) -> bool {
        tcgetpgrp(&self.outer).is_ok_and(|group| group == rustix::process::getpgrp())
    }

    /// Sets the modes of the caller's terminal.
    fn set(&self, modes: &Termios) -> Result<(), Fault> {
        match tcsetattr(&self.outer, OptionalActions::Drain, modes) {
            // It has hung up, which SIGHUP reports.
            Err(Errno::IO) => Ok(()),
            set => own("set the caller's terminal", "ioctl(TCSETSW)", || set),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Reached only after another error: a second one is not reported.
        self.give_back().ok();
    }
}
