//! The init of a hold, as stages see it: its name, the numbers of its descriptors, and the error if it cannot be reached.

use std::os::fd::RawFd;

use nix::errno::Errno;

use crate::Fault;
use crate::process::target::Target;

/// argv\[0\] of the init that `unshare-rs --hold` leaves.
pub const INIT_NAME: &str = "unshare-rs-init";
/// The descriptor of the init's mark, a memfd that is sealed against every change: see `mark.rs`.
pub const MARK_FD: RawFd = 3;
/// The descriptor of the doorbell's end that stages fetch; open until a command has been entered.
pub const DOORBELL_FD: RawFd = 4;
/// The descriptor on which the init listens to its doorbell; open until a command has been entered.
pub const BELL_FD: RawFd = 5;
/// The lease of the process that made the container, inherited by the init.
pub const FIRST_LEASE_FD: RawFd = 6;
/// The descriptor at which the init keeps how its command is confined: see `kept_process.rs`.
pub const PROCESS_FD: RawFd = 7;
/// The descriptor at which the init keeps the pid namespace of the process that made it: see `mark.rs`.
pub const MAKER_PID_FD: RawFd = 8;
/// The descriptor at which the init keeps the user namespace of the process that made it.
pub const MAKER_USER_FD: RawFd = 9;

/// Returns the fault for a call that did not reach the init.
pub(super) fn unreachable(target: &Target, call: &str, errno: Errno) -> Fault {
    // A process that was killed and is not yet a zombie has no descriptors any more: ESRCH, before Linux 6.9 EBADF.
    if matches!(errno, Errno::ESRCH | Errno::EBADF) {
        return gone(target);
    }
    Fault::kernel(format!("reach the container's init, process {}", target.pid()), call, errno)
}

/// Returns the fault for an init that has ended.
pub(super) fn gone(target: &Target) -> Fault {
    Fault::new(format!("cannot continue with the container of process {}: that process is gone", target.pid()))
}
