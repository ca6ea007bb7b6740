//! A process that stays in the old namespaces with the old privileges, for what can only be done from there: writing id
//! maps, binding namespaces to files, writing a pid file. `unshare(2)` cannot be undone.
//!
//! It is started before any privilege is given up, and does nothing until it receives a request of one byte. The
//! process that becomes the command sends the last request, so the command never runs before everything is done, and
//! nothing is kept after a failure.
//!
//! The surprise: it may be in a pid namespace other than the caller's, if that was joined for children. The pid that the
//! caller sees is known only to the process that forks, which sends it here.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plumbing::fault::IntoErrno;
use plumbing::kernel::{Cloned, exit_now, fork, look, own};
use plumbing::process::forward::wait_for;
use plumbing::process::namespace::Kind;
use plumbing::process::pid_file;
use plumbing::{Fault, Status, narrate};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::mapping::Maps;
use crate::{map_helper, persist};

/// The work for the process outside.
pub(crate) struct OutsideWork<'a> {
    pub(crate) maps: &'a Maps,
    pub(crate) persist: &'a [(Kind, PathBuf)],
    pub(crate) pid_file: Option<&'a Path>,
}

/// The process outside, as seen from inside.
pub(crate) struct Outside<'a> {
    work: OutsideWork<'a>,
    /// The process that unshares.
    pid: i32,
    /// The socket to the process, and its pid; `None` if there is no work, and in a dry run.
    process: Option<(OwnedFd, i32)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Word {
    /// The user namespace exists: write its maps.
    Map = b'm' as isize,
    /// Everything is set up: bind the namespaces, write the command's pid.
    Finish = b'f' as isize,
}

/// The first byte of the message with the command's pid.
const PID: u8 = b'p';

const DONE: u8 = b'+';
const FAILED: u8 = b'-';

impl OutsideWork<'_> {
    fn has(&self, word: Word) -> bool {
        match word {
            Word::Map => !self.maps.outside.is_empty(),
            Word::Finish => !self.persist.is_empty() || self.pid_file.is_some(),
        }
    }

    /// Does the work of one request. `unsharer` is the process that made the namespaces, `command` the one that becomes
    /// the command.
    fn run(&self, word: Word, unsharer: i32, command: i32) -> Result<(), Fault> {
        match word {
            Word::Map => map_helper::write(unsharer, self.maps),
            Word::Finish => {
                persist::bind(unsharer, self.persist)?;
                self.pid_file.map_or(Ok(()), |file| pid_file::write(file, command))
            }
        }
    }
}

impl<'a> Outside<'a> {
    /// Starts the process, if there is work for it. With `forks`, the command is another process, whose pid
    /// [`Outside::publish`] sends.
    pub(crate) fn start(work: OutsideWork<'a>, forks: bool) -> Result<Outside<'a>, Fault> {
        let pid = std::process::id().cast_signed();
        if !work.has(Word::Map) && !work.has(Word::Finish) {
            return Ok(Outside { work, pid, process: None });
        }
        let goal = "start a process that stays outside";
        let (ours, theirs) = own(goal, "socketpair(AF_UNIX, SOCK_SEQPACKET)", || {
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        })?;
        let forker = if forks {
            Some(look(goal, "pidfd_open(self)", || pidfd_open(getpid(), PidfdFlags::empty()))?)
        } else {
            None
        };
        let why = "it acts for us where we no longer can: in the old namespaces, with the old privileges";
        match fork(goal, why)? {
            Cloned::Child if narrate::is_dry_run() => Ok(Outside { work, pid, process: None }),
            Cloned::Child => {
                drop(ours);
                exit_now(serve(&work, pid, &theirs, forker.as_ref()))
            }
            Cloned::Parent { pid: outside, .. } => Ok(Outside { work, pid, process: Some((ours, outside)) }),
        }
    }

    /// Makes the process outside write the id maps.
    pub(crate) fn map(&self) -> Result<(), Fault> {
        self.ask(Word::Map)
    }

    /// Makes the process outside bind the namespaces and write the pid file.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        self.ask(Word::Finish)
    }

    /// Sends the pid of the command, which this process forked.
    pub(crate) fn publish(&self, command: i32) -> Result<(), Fault> {
        let Some((socket, pid)) = self.process.as_ref().filter(|_| self.work.has(Word::Finish)) else { return Ok(()) };
        let mut message = vec![PID];
        message.extend(command.to_ne_bytes());
        match send(socket, &message, SendFlags::NOSIGNAL).map_err(IntoErrno::into_errno) {
            // It was killed; the command's process reports that.
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            sent => own(format!("send process {pid} the pid of the command"), "sendmsg(outside)", || sent.map(drop)),
        }
    }

    /// Ends the process outside and waits for it: the command must have no child that it did not start. Only the
    /// process that started it can wait for it.
    pub(crate) fn end(self) -> Result<(), Fault> {
        let Some((socket, pid)) = self.process else { return Ok(()) };
        drop(socket);
        wait_for(pid).map(drop)
    }

    fn ask(&self, word: Word) -> Result<(), Fault> {
        if !self.work.has(word) {
            return Ok(());
        }
        let Some((socket, pid)) = &self.process else { return self.work.run(word, self.pid, self.pid) };
        let goal = format!("make process {pid} act outside");
        // MSG_NOSIGNAL: we may have inherited any disposition of SIGPIPE, and an errno says more.
        own(&goal, "sendmsg(outside)", || send(socket, &[word as u8], SendFlags::NOSIGNAL))?;
        match look(&goal, "recvmsg(outside)", || receive(socket))? {
            Some((DONE, ..)) => Ok(()),
            Some(_) => Err(Fault::already_told(Status::OURS)),
            None => Err(Fault::new(format!("cannot {goal}: it was killed"))),
        }
    }
}

/// Serves requests until the other end of the socket is closed. `forker` is a pidfd of the process that forks the command.
fn serve(work: &OutsideWork<'_>, unsharer: i32, socket: &OwnedFd, forker: Option<&OwnedFd>) -> Status {
    let mut command = if forker.is_some() { None } else { Some(unsharer) };
    loop {
        let word = match receive(socket) {
            Ok(Some((PID, pid))) => {
                command = Some(pid);
                continue;
            }
            Ok(Some((byte, _))) if byte == Word::Map as u8 => Word::Map,
            Ok(Some(_)) => Word::Finish,
            Ok(None) => return Status::SUCCESS,
            Err(errno) => return unread(errno),
        };
        if word == Word::Finish && command.is_none() {
            match forker.map_or(Ok(None), |forker| receive_pid(socket, forker)) {
                Ok(Some(pid)) => command = Some(pid),
                // The process that forks was killed before it sent the pid. The command's process reads the end of file.
                Ok(None) => return Status::OURS,
                Err(errno) => return unread(errno),
            }
        }
        let answer = match work.run(word, unsharer, command.unwrap_or(unsharer)) {
            Ok(()) => DONE,
            Err(fault) => {
                fault.report(narrate::tool());
                FAILED
            }
        };
        if send(socket, &[answer], SendFlags::NOSIGNAL).is_err() {
            return Status::OURS;
        }
    }
}

fn unread(errno: Errno) -> Status {
    Fault::kernel("receive a request from inside", "recvmsg(inside)", errno).report(narrate::tool())
}

/// Waits for the pid of the command; `None` if the process that sends it has ended without.
fn receive_pid(socket: &OwnedFd, forker: &OwnedFd) -> Result<Option<i32>, Errno> {
    let mut both = [socket, forker].map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
    while let Err(errno) = poll(&mut both, PollTimeout::NONE) {
        if errno != Errno::EINTR {
            return Err(errno);
        }
    }
    if both[0].any() != Some(true) {
        return Ok(None);
    }
    receive(socket).map(|message| message.map(|(_, pid)| pid))
}

/// Receives a message: its first byte, and the number that follows (0 if there is none); `None` at the end.
fn receive(socket: &OwnedFd) -> Result<Option<(u8, i32)>, Errno> {
    let mut message = [0; 5];
    let (length, _) =
        rustix::io::retry_on_intr(|| recv(socket, &mut message, RecvFlags::empty())).map_err(IntoErrno::into_errno)?;
    let [word, number @ ..] = message;
    Ok((length > 0).then(|| (word, i32::from_ne_bytes(number))))
}
