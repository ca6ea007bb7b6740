//! One at a time on the host's network: a lock that all processes of a network namespace share. `flock(2)`.
//!
//! The file that is locked is the namespace itself (/proc/self/ns/net): it is there without being made, it is the same
//! for everyone who works on this network, whatever they have mounted, and nothing is left of it. Anybody may take that
//! lock, so nobody waits for it without end.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use plumbing::Fault;
use plumbing::kernel::look;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);

/// The lock of the network namespace that it was opened in.
#[derive(Debug)]
pub struct Lock {
    namespace: OwnedFd,
}

impl Lock {
    /// Opens the lock of the network namespace that we are in.
    pub fn open() -> Result<Lock, Fault> {
        own_namespace().map(|namespace| Lock { namespace })
    }

    /// Does something while holding the lock.
    pub fn with<T>(&self, act: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        self.take()?;
        let outcome = act();
        self.operate(FlockOperation::Unlock).and(outcome)
    }

    /// Does something in any case, while holding the lock if it can be had: what must go, goes.
    pub fn with_or_without(&self, act: impl FnOnce() -> Result<(), Fault>) -> Result<(), Fault> {
        let taken = self.take();
        let outcome = act();
        self.operate(FlockOperation::Unlock).and(taken).and(outcome)
    }

    fn take(&self) -> Result<(), Fault> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.operate(FlockOperation::NonBlockingLockExclusive) {
                Err(fault) if fault.errno() == Some(nix::errno::Errno::EAGAIN) && Instant::now() < deadline => {
                    std::thread::sleep(PAUSE);
                }
                outcome => return outcome,
            }
        }
    }

    fn operate(&self, operation: FlockOperation) -> Result<(), Fault> {
        look("take turns on the host's network", format!("flock(\"/proc/self/ns/net\", {operation:?})"), || {
            flock(&self.namespace, operation)
        })
    }
}

/// Opens the network namespace that we are in.
pub fn own_namespace() -> Result<OwnedFd, Fault> {
    const PATH: &str = "/proc/self/ns/net";
    look("open our network namespace", format!("openat(AT_FDCWD, {PATH:?}, O_RDONLY)"), || {
        open(PATH, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    })
}
