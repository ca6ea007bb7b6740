//! The state of a container that is being assembled: it lives in the held init, never in the record.
//!
//! The init that `unshare-rs --hold` leaves keeps three descriptors at fixed numbers: a sealed memfd as its mark, and
//! the two ends of a socket pair as its doorbell. A stage fetches the doorbell with `pidfd_getfd(2)` and hands in a
//! *lease*, one end of a socket pair of its own. A lease that closes without a word (its stage failed, or was killed,
//! however suddenly) makes the init exit, and the container with it. So nobody is ever signalled: the init ends
//! itself, and a process without our mark cannot be talked to, whatever a record claims.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::fault::IntoErrno;
use crate::kernel::look;
use crate::sealed::seals;
use crate::target::{Target, wait_readable};
use crate::{Fault, foreign_descriptor};

/// argv\[0\] of the init that `unshare-rs --hold` leaves.
pub const INIT_NAME: &str = "unshare-rs-init";
/// Where the init keeps its mark: a memfd that holds [`MARK`], sealed against every change.
pub const MARK_FD: RawFd = 3;
/// Where the init keeps the end of its doorbell that stages fetch, until a command has been entered.
pub const DOORBELL_FD: RawFd = 4;
/// Where the init listens to its doorbell, until a command has been entered.
pub const BELL_FD: RawFd = 5;
/// The lease of the process that made the container, handed over at the init's birth.
pub const FIRST_LEASE_FD: RawFd = 6;
/// What the mark holds.
pub const MARK: &[u8] = b"held by unshare-rs --hold, protocol 1\n";

/// How long an init may take to answer or to end. It only has to wake up for either.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a stage tells the init, one byte a message. A lease that closes instead ends the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Word {
    /// On the doorbell, with a descriptor: here is my lease.
    Lease = b'L',
    /// My part is done, and another stage has the container.
    Release = b'r',
    /// A command has been entered: the container is in use, whatever happens to me.
    Entered = b'e',
    /// A command has been entered, and the container ends when this lease closes (`--rm`).
    EnteredToRemove = b'x',
    /// With a descriptor: join this cgroup namespace.
    JoinCgroupNamespace = b'c',
}

/// What the init answers on a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Answer {
    /// Your lease holds: the container is unfinished.
    Unfinished = b'A',
    /// Done as you said.
    Done = b'k',
    /// What you said was refused; the errno follows as a second byte.
    Refused = b'f',
}

/// How a process stands to `--hold`.
#[derive(Debug)]
pub enum Hold {
    /// No `--hold` made it: it is never ended, whatever a stage meets.
    Foreign,
    /// A hold in which a command has been entered already.
    InUse,
    /// A hold that is being assembled, and our lease on it.
    Unfinished(Lease),
}

impl Hold {
    /// Finds out, and takes a lease where there is one to take.
    pub fn of(target: &Target) -> Result<Hold, Fault> {
        if !has_mark(target)? {
            return Ok(Hold::Foreign);
        }
        let (ours, theirs) = lease_pair()?;
        let doorbell = match foreign_descriptor::is_socket(target, DOORBELL_FD, ours.as_fd()) {
            Ok(true) => foreign_descriptor::take_over(target, DOORBELL_FD),
            Ok(false) => Err(Errno::ENOTSOCK),
            Err(errno) => Err(errno),
        };
        let doorbell = match doorbell {
            Ok(doorbell) => doorbell,
            Err(Errno::EBADF) if !target.is_exiting()? => return Ok(Hold::InUse),
            Err(errno) => return Err(unreachable(target, "pidfd_getfd(pidfd, doorbell)", errno)),
        };
        match send(doorbell.as_fd(), Word::Lease, Some(theirs.as_fd())) {
            // The init shut its doorbell between our two calls.
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ECONNREFUSED) => return Ok(Hold::InUse),
            sent => sent.map_err(|errno| unreachable(target, "sendmsg(doorbell)", errno))?,
        }
        drop(theirs);
        let lease = Lease { socket: ours };
        match lease.hear(target)? {
            Some([word, _]) if word == Answer::Unfinished as u8 => Ok(Hold::Unfinished(lease)),
            // The lease came too late: it was closed unanswered.
            None if !target.has_ended()? => Ok(Hold::InUse),
            _ => Err(gone(target)),
        }
    }
}

/// Whether a process carries the mark of a hold. Touches nothing of the process, whatever it may be.
pub fn has_mark(target: &Target) -> Result<bool, Fault> {
    let mark = match foreign_descriptor::memfd(target, MARK_FD) {
        Ok(Some(mark)) => mark,
        Ok(None) => return Ok(false),
        Err(Errno::EBADF) if !target.is_exiting()? => return Ok(false),
        // Not "false" where we may not look: who takes an unfinished container for a stranger's would leave it behind.
        Err(errno) => {
            let fault = unreachable(target, "pidfd_getfd(pidfd, mark)", errno);
            return Err(match errno {
                Errno::EPERM => fault.with_remedy(format!(
                    "process {} is not ours to look into: be its user, or have CAP_SYS_PTRACE over it; ptrace(2)",
                    target.pid()
                )),
                _ => fault,
            });
        }
    };
    // Only a memfd has seals: nothing is read from a descriptor that could be a stranger's pipe.
    let sealed = rustix::fs::fcntl_get_seals(&mark).is_ok_and(|its| its.contains(seals()));
    let mut content = [0; MARK.len() + 1];
    Ok(sealed && matches!(rustix::io::pread(&mark, &mut content, 0), Ok(length) if content[..length] == *MARK))
}

/// Makes the mark for a new init.
pub fn make_mark() -> Result<OwnedFd, Fault> {
    let goal = "make the mark of a hold";
    let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING;
    let mark = look(goal, "memfd_create(MFD_ALLOW_SEALING)", || rustix::fs::memfd_create("held", flags))?;
    look(goal, "write(memfd)", || rustix::io::pwrite(&mark, MARK, 0))?;
    look(goal, "fcntl(memfd, F_ADD_SEALS)", || rustix::fs::fcntl_add_seals(&mark, seals()))?;
    Ok(mark)
}

/// A stage's claim on an unfinished container. Dropped without a word, it ends the container.
#[derive(Debug)]
pub struct Lease {
    socket: OwnedFd,
}

impl Lease {
    /// The lease of the process that makes the container, from its end of [`lease_pair`].
    pub fn first(socket: OwnedFd) -> Lease {
        Lease { socket }
    }

    /// For polling: becomes readable when the init speaks or is gone.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Our part is done and another stage has the container, or nobody yet.
    pub fn release(self, target: &Target) -> Result<(), Fault> {
        match send(self.socket.as_fd(), Word::Release, None) {
            // It may have ended in the hands of the stage after us, which then tells why.
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            said => said.map_err(|errno| unreachable(target, "sendmsg(lease)", errno)),
        }
    }

    /// A command runs inside: from now on a failing stage cannot end the container. Answers whether the lease was still
    /// worth something; not so when another stage has entered a command meanwhile.
    pub fn entered(&self, target: &Target, remove: bool) -> Result<bool, Fault> {
        let word = if remove { Word::EnteredToRemove } else { Word::Entered };
        match send(self.socket.as_fd(), word, None) {
            Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(false),
            said => said.map_err(|errno| unreachable(target, "sendmsg(lease)", errno))?,
        }
        // Heard, not only said: whoever comes after this command ended must find the container in use.
        Ok(matches!(self.hear(target)?, Some([word, _]) if word == Answer::Done as u8))
    }

    /// Has the init join a cgroup namespace, so that everyone who enters sees it.
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

    /// Ends the container by letting the lease go, and waits until it has ended; answers whether it did, or is in use
    /// and so nobody's to end.
    pub fn abandon(self, target: &Target) -> Result<bool, Fault> {
        // A lease that is worth something is silent.
        let is_void = wait_readable(self.socket.as_fd(), Some(Duration::ZERO))?;
        drop(self.socket);
        if is_void { Ok(true) } else { target.wait(PATIENCE) }
    }

    /// Waits for the init's first word, and answers whether it is set up; it may have ended instead.
    pub fn hear_ready(&self) -> Result<bool, Fault> {
        let heard = look("hear from the container's init", "recvmsg(lease)", || receive(self.socket.as_fd()))?;
        Ok(matches!(heard, Some((words, _)) if words[0] == Answer::Unfinished as u8))
    }

    fn say(&self, target: &Target, word: Word, fd: Option<BorrowedFd<'_>>) -> Result<(), Fault> {
        send(self.socket.as_fd(), word, fd).map_err(|errno| unreachable(target, "sendmsg(lease)", errno))
    }

    fn hear(&self, target: &Target) -> Result<Option<[u8; 2]>, Fault> {
        if !wait_readable(self.socket.as_fd(), Some(PATIENCE))? {
            return Err(unreachable(target, "poll(lease)", Errno::ETIMEDOUT));
        }
        match receive(self.socket.as_fd()) {
            Ok(heard) => Ok(heard.map(|(words, _)| words)),
            Err(Errno::ECONNRESET) => Ok(None),
            Err(errno) => Err(unreachable(target, "recvmsg(lease)", errno)),
        }
    }
}

/// The two ends of a lease.
pub fn lease_pair() -> Result<(OwnedFd, OwnedFd), Fault> {
    // SEQPACKET: a word stays one message, and a closed end reads as the end.
    look("make a lease", "socketpair(AF_UNIX, SOCK_SEQPACKET)", || {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
    })
}

/// Sends a word, with a descriptor where it carries one. Never waits: the socket may be a stranger's, who reads nothing.
pub fn send(socket: BorrowedFd<'_>, word: Word, fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<_> = fd.into_iter().collect();
    if !fds.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    }
    sendmsg(socket, &[IoSlice::new(&[word as u8])], &mut ancillary, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
        .map(drop)
        .map_err(IntoErrno::into_errno)
}

/// Sends an answer; the init does not mind a stage that is gone.
pub fn answer(socket: BorrowedFd<'_>, answer: Answer, errno: Option<Errno>) -> Result<(), Errno> {
    let message = [answer as u8, errno.map_or(0, |errno| errno as i32 as u8)];
    let mut nothing = SendAncillaryBuffer::default();
    sendmsg(socket, &[IoSlice::new(&message)], &mut nothing, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
        .map(drop)
        .map_err(IntoErrno::into_errno)
}

/// What one message brings: up to two bytes, and a descriptor.
pub type Message = ([u8; 2], Option<OwnedFd>);

/// Receives a message; `None` when the other end is closed.
pub fn receive(socket: BorrowedFd<'_>) -> Result<Option<Message>, Errno> {
    let mut words = [0; 2];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut words)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })
    .map_err(IntoErrno::into_errno)?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let fd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok(Some((words, fd)))
}

fn unreachable(target: &Target, call: &str, errno: Errno) -> Fault {
    // A process that was killed and is not a zombie yet has no descriptors any more: ESRCH, before Linux 6.9 EBADF.
    if matches!(errno, Errno::ESRCH | Errno::EBADF) {
        return gone(target);
    }
    Fault::kernel(format!("reach the container's init, process {}", target.pid()), call, errno)
}

fn gone(target: &Target) -> Fault {
    Fault::new(format!("cannot take up the container of process {}: that process is gone", target.pid()))
}
