//! Every process that a row leaves behind becomes a child of this one: prctl(2), PR_SET_CHILD_SUBREAPER.
//!
//! So "what did the row leave" has an exact answer, our descendants, however busy the machine is otherwise. The price
//! is that we collect every child ourselves; a status taken by anybody else's wait would be lost.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// The processes that a script is waiting for, and how they ended once they have.
static EXPECTED: Mutex<BTreeMap<i32, Option<i32>>> = Mutex::new(BTreeMap::new());

/// Makes this process the one that orphans come to.
pub fn adopt_orphans() -> nix::Result<()> {
    prctl::set_child_subreaper(true)
}

/// From now on the exit status of this child is kept.
pub fn expect(pid: Pid) {
    expected().insert(pid.as_raw(), None);
}

/// How an expected child ended, once it has: its status, or 128+N if signal N ended it.
pub fn ended(pid: Pid) -> Option<i32> {
    collect();
    expected().get(&pid.as_raw()).copied().flatten()
}

/// Nobody asks for this child's status any more.
pub fn forget(pid: Pid) {
    expected().remove(&pid.as_raw());
}

/// Collects every child that has ended, the orphans of rows among them, so that no pid stays taken by a zombie.
pub fn collect() {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) => keep(pid, status),
            Ok(WaitStatus::Signaled(pid, signal, _)) => keep(pid, 128 + signal as i32),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
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

/// A row that panicked while it held the lock left the table whole: each use is one insertion, look-up or removal.
fn expected() -> MutexGuard<'static, BTreeMap<i32, Option<i32>>> {
    EXPECTED.lock().unwrap_or_else(PoisonError::into_inner)
}
