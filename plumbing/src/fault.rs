//! The error that all tools report, and its text: what failed, on which object, by which call, with which errno.
//!
//! The first line is complete in itself; a second line names a remedy, but only if the cause was looked up.

use std::fmt;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::OnceLock;

use nix::errno::Errno;

use crate::kernel::{adopt, is_open};
use crate::process::{missing_proc, removed_directory};
use crate::text::on_one_line;
use crate::{Status, narrate};

/// One failure, as it is printed to a user.
///
/// Its text is `cannot GOAL: CALL: ENAME (text)`, or a sentence of its own if no kernel call failed.
#[derive(Debug, Clone)]
pub struct Fault {
    message: String,
    errno: Option<Errno>,
    remedy: Option<String>,
    status: Status,
    is_reported: bool,
}

impl Fault {
    /// Describes a kernel call that was refused. `goal` completes "cannot …": an operation and its object.
    #[cold]
    pub fn kernel(goal: impl fmt::Display, call: impl fmt::Display, errno: Errno) -> Self {
        let message = format!("cannot {goal}: {call}: {}", errno_text(errno));
        Fault { message, errno: Some(errno), remedy: None, status: Status::OURS, is_reported: false }
    }

    /// Describes a failure without an errno; `message` is the whole sentence.
    #[cold]
    pub fn new(message: impl Into<String>) -> Self {
        Fault { message: message.into(), errno: None, remedy: None, status: Status::OURS, is_reported: false }
    }

    /// Describes wrong usage; `message` names the option, the value and what would be valid.
    #[cold]
    pub fn usage(message: impl Into<String>) -> Self {
        Fault::new(message).with_remedy("see --help")
    }

    /// Represents a failure that another process of ours has already reported on stderr.
    pub fn already_told(status: Status) -> Self {
        Fault { message: String::new(), errno: None, remedy: None, status, is_reported: true }
    }

    /// Adds what the user can do about it. Only for causes that were verified.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Sets an exit status other than 125.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// Returns the errno of the call that failed, if one did.
    pub fn errno(&self) -> Option<Errno> {
        self.errno
    }

    /// Returns what the user can do about it, if the cause was verified.
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// Returns what the user can do about it; looks up whether a removed working directory is the cause of a missing file, or
    /// the mount at /proc that of one there.
    pub(crate) fn remedy_now(&self) -> Option<String> {
        let of_directory = self.errno.and_then(|errno| removed_directory::remedy(&self.message, errno));
        let of_proc = || missing_proc::remedy(&self.message, self.errno?);
        of_directory.or_else(|| self.remedy.clone()).or_else(of_proc)
    }

    /// Returns the exit status of the process that reports this fault.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Writes the fault to stderr under the tool's name and returns the exit status.
    pub fn report(&self, tool: &str) -> Status {
        if !self.is_reported {
            let mut text = format!("{tool}: {}\n", on_one_line(&self.message));
            if let Some(remedy) = self.remedy_now() {
                text.push_str(&format!("{tool}: remedy: {}\n", on_one_line(&remedy)));
            }
            write_stderr(&text);
        }
        self.status
    }
}

/// The descriptor of `--error-fd`. It is not close-on-exec, because the next tool of a chain needs it, too.
static ERRORS: OnceLock<OwnedFd> = OnceLock::new();

/// Writes all later messages to this descriptor; if it is not open, a warning says so, and they go to stderr.
pub(crate) fn write_errors_to(fd: RawFd) {
    if is_open(fd) {
        ERRORS.get_or_init(|| adopt(fd));
    } else {
        narrate::warn(format_args!("descriptor {fd} is not open (--error-fd); errors go to stderr"));
    }
}

/// Reports whether `--error-fd` is in use. It is closed before the command is executed, so a caller looks earlier whether the
/// command exists.
pub fn has_error_fd() -> bool {
    ERRORS.get().is_some()
}

/// Writes in one piece, so that lines of concurrent processes do not mix.
pub(crate) fn write_stderr(text: &str) {
    // Closed together with all other descriptors, just before the command is executed.
    if ERRORS.get().is_some_and(|errors| rustix::io::write(errors, text.as_bytes()).is_ok()) {
        return;
    }
    // If stderr is closed or full, there is no other way to report: the exit status still shows that we failed.
    rustix::io::write(rustix::stdio::stderr(), text.as_bytes()).ok();
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// Returns `EPERM (Operation not permitted)`.
pub fn errno_text(errno: Errno) -> String {
    format!("{errno:?} ({})", errno.desc())
}

/// Converts the errors of the libraries that make our calls into the kernel's errno.
pub trait IntoErrno {
    /// Returns the errno; EIO if a library made up an error of its own.
    fn into_errno(self) -> Errno;
}

impl IntoErrno for Errno {
    fn into_errno(self) -> Errno {
        self
    }
}

impl IntoErrno for rustix::io::Errno {
    fn into_errno(self) -> Errno {
        Errno::from_raw(self.raw_os_error())
    }
}

impl IntoErrno for std::io::Error {
    fn into_errno(self) -> Errno {
        // What the standard library refuses by itself is a NUL byte in a path.
        let own = if self.kind() == std::io::ErrorKind::InvalidInput { Errno::EINVAL } else { Errno::EIO };
        self.raw_os_error().map_or(own, Errno::from_raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_the_line_or_controls_the_terminal() {
        assert_eq!(on_one_line("a\nb \u{1b}[2J ü\u{202e}"), "a\\nb \\u{1b}[2J ü\\u{202e}");
    }

    #[test]
    fn a_kernel_fault_names_the_operation_the_object_the_call_and_the_errno() {
        let fault = Fault::kernel("create a user namespace", "unshare(CLONE_NEWUSER)", Errno::ENOSPC);
        let expected = "cannot create a user namespace: unshare(CLONE_NEWUSER): ENOSPC (No space left on device)";
        assert_eq!(fault.to_string(), expected);
        assert_eq!(fault.status(), Status::OURS);
    }
}
