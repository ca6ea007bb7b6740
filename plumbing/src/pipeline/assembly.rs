//! The state of a container that is being assembled: it is kept by the init of the hold, never in the record.
//!
//! The init that `unshare-rs --hold` leaves keeps descriptors at fixed numbers: a sealed memfd as its mark, and
//! the two ends of a socket pair as its doorbell. A stage fetches the doorbell with `pidfd_getfd(2)` and sends a
//! *lease* through it, one end of a socket pair of its own. If a lease closes without a goodbye (its stage failed, or
//! was killed, however suddenly), the init exits, and the container ends with it. So no stage ever sends a signal: the
//! init ends itself, and a process without our mark receives no message, whatever a record claims.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use rustix::net::{RecvFlags, SendFlags, recv};

use crate::Fault;
use crate::fault::IntoErrno;
use crate::kernel::look;
pub use crate::pipeline::init::{
    BELL_FD, DOORBELL_FD, FIRST_LEASE_FD, INIT_NAME, MAKER_PID_FD, MAKER_USER_FD, MARK_FD, PROCESS_FD,
};
use crate::pipeline::init::{gone, unreachable};
use crate::pipeline::mark::{self, Mark};
use crate::process::target::{Target, wait_readable};
use crate::process::{foreign_descriptor, socket_message};

/// How long an init may take to answer or to end. For both it only has to wake up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A message from a stage to the init, one byte long. A lease that closes without one ends the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Word {
    /// On the doorbell, with a descriptor: the lease of a stage.
    Lease = b'L',
    /// The stage has done its part, and another stage has the container.
    Release = b'r',
    /// A command has been entered: the container is in use, whatever happens to the stage.
    Entered = b'e',
    /// A command has been entered, and the container ends when this lease closes (`--rm`).
    EnteredToRemove = b'x',
    /// With a descriptor: the init must join this cgroup namespace. It does so once.
    JoinCgroupNamespace = b'c',
}

/// The answer of the init on a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Answer {
    /// The lease is valid: the container is unfinished.
    Unfinished = b'A',
    /// The request was carried out.
    Done = b'k',
    /// The request was refused; the errno follows as a second byte.
    Refused = b'f',
}

/// The relation of a process to `--hold`.
#[derive(Debug)]
pub enum Hold {
    /// A process that was not made by `--hold`: no stage ends it, whatever happens.
    Foreign,
    /// A hold in which a command has already been entered.
    InUse,
    /// A hold that is being assembled, and our lease on it.
    Unfinished(Lease),
}

impl Hold {
    /// Determines the relation of the process to `--hold`, and takes a lease if the container is unfinished. Calls
    /// `check` before that, but only for a process with the mark of a hold, signed or not.
    pub fn of(target: &Target, check: impl FnOnce() -> Result<(), Fault>) -> Result<Hold, Fault> {
        let mark = mark::find(target)?;
        if mark != Mark::Missing {
            check()?;
        }
        if mark != Mark::Valid {
            return Ok(Hold::Foreign);
        }
        let (ours, theirs) = lease_pair()?;
        let sent = match foreign_descriptor::is_socket(target, DOORBELL_FD, ours.as_fd()) {
            Ok(true) => foreign_descriptor::send_through(target, DOORBELL_FD, Word::Lease as u8, theirs.as_fd())?,
            Ok(false) => Err(Errno::ENOTSOCK),
            Err(errno) => Err(errno),
        };
        match sent {
            Ok(()) => {}
            Err(Errno::EBADF) if !target.is_exiting()? => return Ok(Hold::InUse),
            // The init closed its doorbell meanwhile.
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ECONNREFUSED) => return Ok(Hold::InUse),
            Err(errno) => return Err(unreachable(target, "sendmsg(doorbell)", errno)),
        }
        drop(theirs);
        let lease = Lease { socket: ours };
        match lease.hear(target)? {
            Some([word, _]) if word == Answer::Unfinished as u8 => Ok(Hold::Unfinished(lease)),
            // The lease came too late: it was closed without an answer.
            None if !target.has_ended()? => Ok(Hold::InUse),
            _ => Err(gone(target)),
        }
    }
}

/// A stage's claim on an unfinished container. If it is dropped without a goodbye, the container ends.
#[derive(Debug)]
pub struct Lease {
    socket: OwnedFd,
}

impl Lease {
    /// The lease of the process that makes the container, from its end of [`lease_pair`].
    pub fn first(socket: OwnedFd) -> Lease {
        Lease { socket }
    }

    /// Returns the socket for polling: it becomes readable when the init sends something or is gone.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Ends our claim: our part is done, and another stage has the container, or no process has it yet.
    pub fn release(self, target: &Target) -> Result<(), Fault> {
        match send(self.socket.as_fd(), Word::Release, None) {
            // The container may have ended while the next stage had it; that stage then reports why.
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            said => said.map_err(|errno| unreachable(target, "sendmsg(lease)", errno)),
        }
    }

    /// Reports to the init that a command runs inside: from now on a failing stage cannot end the container. Returns
    /// whether the lease was still valid; it is not if another stage has entered a command meanwhile.
    pub fn entered(&self, target: &Target, remove: bool) -> Result<bool, Fault> {
        let word = if remove { Word::EnteredToRemove } else { Word::Entered };
        match send(self.socket.as_fd(), word, None) {
            Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(false),
            said => said.map_err(|errno| unreachable(target, "sendmsg(lease)", errno))?,
        }
        // Waits for the answer: a stage that comes after the end of this command must find the container in use.
        Ok(matches!(self.hear(target)?, Some([word, _]) if word == Answer::Done as u8))
    }

    /// Makes the init join a cgroup namespace, so that every process that enters sees it.
    pub fn join_cgroup_namespace(&self, target: &Target, namespace: BorrowedFd<'_>) -> Result<(), Fault> {
        self.say(target, Word::JoinCgroupNamespace, Some(namespace))?;
        match self.hear(target)? {
            Some([word, _]) if word == Answer::Done as u8 => Ok(()),
            Some([word, errno]) if word == Answer::Refused as u8 => Err(Fault::kernel(
                format!("move the init of the container ({}) into its cgroup namespace", target.pid()),
                "setns(ns/cgroup, CLONE_NEWCGROUP)",
                Errno::from_raw(errno.into()),
            )),
            _ => Err(unreachable(target, "recvmsg(lease)", Errno::EPIPE)),
        }
    }

    /// Ends the container by closing the lease, and waits for its end. Returns whether it ended; if it is in use, no
    /// stage may end it.
    pub fn abandon(self, target: &Target) -> Result<bool, Fault> {
        // On a lease that is still valid, the init sends nothing.
        let is_void = wait_readable(self.socket.as_fd(), Some(Duration::ZERO))?;
        drop(self.socket);
        if is_void { Ok(true) } else { target.wait(PATIENCE) }
    }

    /// Waits for the first message of the init, and returns whether the init is set up; it may have ended instead.
    pub fn hear_ready(&self) -> Result<bool, Fault> {
        let heard =
            look("read the answer of the container's init", "recv(lease)", || receive_words(self.socket.as_fd()))?;
        Ok(matches!(heard, Some(words) if words[0] == Answer::Unfinished as u8))
    }

    fn say(&self, target: &Target, word: Word, fd: Option<BorrowedFd<'_>>) -> Result<(), Fault> {
        send(self.socket.as_fd(), word, fd).map_err(|errno| unreachable(target, "sendmsg(lease)", errno))
    }

    fn hear(&self, target: &Target) -> Result<Option<[u8; 2]>, Fault> {
        if !wait_readable(self.socket.as_fd(), Some(PATIENCE))? {
            return Err(unreachable(target, "poll(lease)", Errno::ETIMEDOUT));
        }
        match receive_words(self.socket.as_fd()) {
            Ok(heard) => Ok(heard),
            Err(Errno::ECONNRESET) => Ok(None),
            Err(errno) => Err(unreachable(target, "recvmsg(lease)", errno)),
        }
    }
}

/// Makes the two ends of a lease.
pub fn lease_pair() -> Result<(OwnedFd, OwnedFd), Fault> {
    socket_message::pair("make a lease")
}

/// Sends a message, with a descriptor if it carries one. Never blocks: the other end may belong to someone who reads
/// nothing.
pub fn send(socket: BorrowedFd<'_>, word: Word, fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    socket_message::send(socket, &[IoSlice::new(&[word as u8])], fd, SendFlags::DONTWAIT)
}

/// Sends an answer; the init ignores that a stage is gone.
pub fn answer(socket: BorrowedFd<'_>, answer: Answer, errno: Option<Errno>) -> Result<(), Errno> {
    let message = [answer as u8, errno.map_or(0, |errno| errno as i32 as u8)];
    socket_message::send(socket, &[IoSlice::new(&message)], None, SendFlags::DONTWAIT)
}

/// One received message: up to two bytes, and a descriptor.
pub type Message = ([u8; 2], Option<OwnedFd>);

/// Receives a message; `None` if the other end is closed.
pub fn receive(socket: BorrowedFd<'_>) -> Result<Option<Message>, Errno> {
    let mut words = [0; 2];
    let (length, fd) = socket_message::receive(socket, &mut words)?;
    Ok((length > 0).then_some((words, fd)))
}

/// Receives a message without a descriptor; `None` if the other end is closed. What an answer of a false init carries
/// never becomes a descriptor of ours: closing it could block.
fn receive_words(socket: BorrowedFd<'_>) -> Result<Option<[u8; 2]>, Errno> {
    let mut words = [0; 2];
    let received = rustix::io::retry_on_intr(|| recv(socket, &mut words, RecvFlags::empty()));
    let (length, _) = received.map_err(IntoErrno::into_errno)?;
    Ok((length > 0).then_some(words))
}
