//! A lock on the host's network, shared by all processes of a network namespace. `flock(2)`.
//!
//! Every process that can open a file can lock it, even if it may only read it. So the file is a setting that each
//! network namespace has and that only its administrator can open: it always exists, and nothing is left behind. The
//! surprise: /proc of another pid namespace has files of its own, so processes that see different pids do not wait for
//! each other.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use plumbing::kernel::{look, own};
use plumbing::{Fault, narrate};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

use crate::capability;

/// Mode 0600 in every network namespace since Linux 4.15; nothing reads or writes it here.
const PATH: &str = "/proc/sys/net/ipv4/tcp_fastopen_key";
/// Enough for some hundred containers that start at once on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const GOAL: &str = "lock the host's network";
const PAUSE: Duration = Duration::from_millis(2);
/// The pause grows up to this: many that wait would take the processor from the one that works.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// The lock of the network namespace in which it was opened.
#[derive(Debug)]
pub struct Lock {
    /// `None` in a dry run, which changes nothing and needs no privilege.
    file: Option<OwnedFd>,
}

impl Lock {
    /// Opens the lock of the network namespace that we are in.
    pub fn open() -> Result<Lock, Fault> {
        if narrate::is_dry_run() {
            return Ok(Lock { file: None });
        }
        let file = look(GOAL, format!("openat(AT_FDCWD, {PATH:?}, O_RDONLY)"), || {
            open(PATH, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        });
        file.map(|file| Lock { file: Some(file) }).map_err(capability::needs_net_admin)
    }

    /// Runs `act` while holding the lock.
    pub fn with<T>(&self, act: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        self.take()?;
        let outcome = act();
        self.operate(FlockOperation::Unlock).and(outcome)
    }

    /// Runs `act` in any case, holding the lock if it can be obtained: what has to be removed is removed. `act` gets
    /// whether the lock is held.
    pub fn with_or_without(&self, act: impl FnOnce(bool) -> Result<(), Fault>) -> Result<(), Fault> {
        let taken = self.take();
        let outcome = act(taken.is_ok());
        self.operate(FlockOperation::Unlock).and(taken).and(outcome)
    }

    fn take(&self) -> Result<(), Fault> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = PAUSE;
        loop {
            match self.operate(FlockOperation::NonBlockingLockExclusive) {
                Err(fault) if fault.errno() == Some(nix::errno::Errno::EAGAIN) && Instant::now() < deadline => {
                    std::thread::sleep(pause);
                    pause = (pause + PAUSE / 4).min(LONGEST_PAUSE);
                }
                outcome => return outcome,
            }
        }
    }

    fn operate(&self, operation: FlockOperation) -> Result<(), Fault> {
        let Some(file) = &self.file else { return Ok(()) };
        own(GOAL, format!("flock({PATH:?}, {operation:?})"), || flock(file, operation))
    }
}
