//! Exit status: the same rules in all five tools; docs/exit-status.md.

use nix::sys::wait::WaitStatus;

/// The exit status of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u8);

impl Status {
    /// Success.
    pub const SUCCESS: Status = Status(0);
    /// Our own failure: usage, kernel, record.
    pub const OURS: Status = Status(125);
    /// The command was found but could not be run.
    pub const NOT_RUNNABLE: Status = Status(126);
    /// The command was not found.
    pub const NOT_FOUND: Status = Status(127);

    /// Returns the status that reports how a command ended: its own, or 128+N if signal N ended it. `None` for a
    /// command that has not ended (stopped, continued).
    pub fn of_command(ended: WaitStatus) -> Option<Status> {
        match ended {
            WaitStatus::Exited(_, code) => Some(Status(code as u8)),
            WaitStatus::Signaled(_, signal, _) => Some(Status(128 + signal as i32 as u8)),
            _ => None,
        }
    }
}
