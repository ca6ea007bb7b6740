//! Every process that a row leaves behind becomes a child of this one: prctl(2), PR_SET_CHILD_SUBREAPER.
//!
//! So "what did the row leave" has an exact answer, our descendants, however busy the machine is otherwise. The price
//! is that we must collect every child ourselves; a status that another wait collects would be lost.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// The processes for which a script waits, with their status after they have ended.
static EXPECTED: Mutex<BTreeMap<i32, Option<i32>>> = Mutex::new(BTreeMap::new());

/// Makes this process the parent of orphans.
pub fn adopt_orphans() -> nix::Result<()> {
    prctl::set_child_subreaper(true)
}

/// Keeps the exit status of this child from now on.
pub fn expect(pid: Pid) {
    expected().insert(pid.as_raw(), None);
}

/// Returns the status of an expected child if it has ended: its exit status, or 128+N if signal N ended it.
pub fn ended(pid: Pid) -> Option<i32> {
    collect();
    expected().get(&pid.as_raw()).copied().flatten()
}

/// Forgets this child: its status is not needed any more.
pub fn forget(pid: Pid) {
    expected().remove(&pid.as_raw());
}

/// Collects every child that has ended, including orphans of rows, so that no pid is occupied by a zombie. Returns whether
/// one is still alive.
pub fn collect() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) => keep(pid, status),
            Ok(WaitStatus::Signaled(pid, signal, _)) => keep(pid, 128 + signal as i32),
            Ok(WaitStatus::StillAlive) => return true,
            Err(Errno::ECHILD) => return false,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => panic!("waitpid(-1, WNOHANG): {errno}"),
        }
    }
}

fn keep(pid: Pid, status: i32) {
    if let Some(slot) = expected().get_mut(&pid.as_raw()) {
        *slot = Some(status);
    }
}

/// Locks the table. It is consistent even if a row panicked while it held the lock: each use is one operation.
fn expected() -> MutexGuard<'static, BTreeMap<i32, Option<i32>>> {
    EXPECTED.lock().unwrap_or_else(PoisonError::into_inner)
}
