//! A process that stays in the old namespaces with the old privileges, for what can only be done from there: writing id
//! maps, binding namespaces to files, writing a pid file. `unshare(2)` cannot be undone.
//!
//! It is started before any privilege is given up, and does nothing until it receives a request of one byte. The
//! process that becomes the command sends the last request, so the command never runs before everything is done, and
//! nothing is kept after a failure.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::fault::IntoErrno;
use plumbing::kernel::{Cloned, exit_now, fork, look, own};
use plumbing::process::forward::wait_for;
use plumbing::process::namespace::Kind;
use plumbing::{Fault, Status, narrate};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags, SocketType, recvmsg,
    send, sendmsg, socketpair, sockopt,
};

use crate::mapping::Maps;
use crate::{map_helper, persist, pid_file};

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
    /// Everything is set up: bind the namespaces, write the sender's pid.
    Finish = b'f' as isize,
}

const DONE: u8 = b'+';
const FAILED: u8 = b'-';

impl OutsideWork<'_> {
    fn has(&self, word: Word) -> bool {
        match word {
            Word::Map => !self.maps.outside.is_empty(),
            Word::Finish => !self.persist.is_empty() || self.pid_file.is_some(),
        }
    }

    /// Does the work of one request. `unsharer` is the process that made the namespaces, `asker` the one that becomes
    /// the command.
    fn run(&self, word: Word, unsharer: i32, asker: i32) -> Result<(), Fault> {
        match word {
            Word::Map => map_helper::write(unsharer, self.maps),
            Word::Finish => {
                persist::bind(unsharer, self.persist)?;
                self.pid_file.map_or(Ok(()), |file| pid_file::write(file, asker))
            }
        }
    }
}

impl<'a> Outside<'a> {
    /// Starts the process, if there is work for it.
    pub(crate) fn start(work: OutsideWork<'a>) -> Result<Outside<'a>, Fault> {
        let pid = std::process::id().cast_signed();
        if !work.has(Word::Map) && !work.has(Word::Finish) {
            return Ok(Outside { work, pid, process: None });
        }
        let goal = "start a process that stays outside";
        let (ours, theirs) = own(goal, "socketpair(AF_UNIX, SOCK_SEQPACKET)", || {
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        })?;
        // So that each request has the pid of its sender, as the pid namespace outside numbers it.
        own(goal, "setsockopt(SO_PASSCRED)", || sockopt::set_socket_passcred(&theirs, true))?;
        let why = "it acts for us where we no longer can: in the old namespaces, with the old privileges";
        match fork(goal, why)? {
            Cloned::Child if narrate::is_dry_run() => Ok(Outside { work, pid, process: None }),
            Cloned::Child => {
                drop(ours);
                exit_now(serve(&work, pid, &theirs))
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
            Some((DONE, _)) => Ok(()),
            Some(_) => Err(Fault::already_told(Status::OURS)),
            None => Err(Fault::new(format!("cannot {goal}: it was killed"))),
        }
    }
}

/// Serves requests until the other end of the socket is closed.
fn serve(work: &OutsideWork<'_>, unsharer: i32, socket: &OwnedFd) -> Status {
    loop {
        let (word, asker) = match receive(socket) {
            Ok(Some((b'm', asker))) => (Word::Map, asker),
            Ok(Some((_, asker))) => (Word::Finish, asker),
            Ok(None) => return Status::SUCCESS,
            Err(errno) => {
                return Fault::kernel("receive a request from inside", "recvmsg(inside)", errno)
                    .report(narrate::tool());
            }
        };
        let answer = match work.run(word, unsharer, asker) {
            Ok(()) => DONE,
            Err(fault) => {
                fault.report(narrate::tool());
                FAILED
            }
        };
        if sendmsg(socket, &[IoSlice::new(&[answer])], &mut Default::default(), SendFlags::NOSIGNAL).is_err() {
            return Status::OURS;
        }
    }
}

/// Receives one byte, and the pid of its sender (0 if the socket does not report it); `None` at the end.
fn receive(socket: &OwnedFd) -> Result<Option<(u8, i32)>, Errno> {
    let mut word = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(socket.as_fd(), &mut [IoSliceMut::new(&mut word)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })
    .map_err(IntoErrno::into_errno)?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let sender = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(sender) => Some(sender.pid.as_raw_nonzero().get()),
        _ => None,
    });
    Ok(Some((word[0], sender.unwrap_or(0))))
}
