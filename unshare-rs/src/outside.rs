//! A process that stays outside: in the old namespaces, with the old rights, for what can be done from there only: to
//! write id maps, to bind namespaces to files, to write a pid file. `unshare(2)` gives no way back.
//!
//! It is started before anything is given up, and does nothing until it is asked by one word; whoever is about to
//! become the command asks last, so the command never runs before all is done, nor is anything kept when it failed.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::fault::IntoErrno;
use plumbing::kernel::{Cloned, exit_now, fork, look};
use plumbing::namespace::Kind;
use plumbing::status::wait_for;
use plumbing::{Fault, Status, narrate};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags, SocketType, recvmsg,
    send, sendmsg, socketpair, sockopt,
};

use crate::mapping::Maps;
use crate::{map_helper, persist, pid_file};

/// What there is to do.
pub(crate) struct Errands<'a> {
    pub(crate) maps: &'a Maps,
    pub(crate) persist: &'a [(Kind, PathBuf)],
    pub(crate) pid_file: Option<&'a Path>,
}

/// The process outside, as seen from inside.
pub(crate) struct Outside<'a> {
    errands: Errands<'a>,
    /// The process that unshares.
    pid: i32,
    /// The way to the process, and its pid; `None` where there is nothing to do, and in a dry run.
    post: Option<(OwnedFd, i32)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Word {
    /// The user namespace exists: write its maps.
    Map = b'm' as isize,
    /// All is set up: bind namespaces, write the pid of whoever asks.
    Finish = b'f' as isize,
}

const DONE: u8 = b'+';
const FAILED: u8 = b'-';

impl Errands<'_> {
    fn has(&self, word: Word) -> bool {
        match word {
            Word::Map => !self.maps.outside.is_empty(),
            Word::Finish => !self.persist.is_empty() || self.pid_file.is_some(),
        }
    }

    /// `unsharer` is the process that made the namespaces, `asker` the one that becomes the command.
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
    /// Starts it, where there is something to do.
    pub(crate) fn station(errands: Errands<'a>) -> Result<Outside<'a>, Fault> {
        let pid = std::process::id().cast_signed();
        if !errands.has(Word::Map) && !errands.has(Word::Finish) {
            return Ok(Outside { errands, pid, post: None });
        }
        let goal = "leave a process outside";
        let (ours, theirs) = look(goal, "socketpair(AF_UNIX, SOCK_SEQPACKET)", || {
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        })?;
        // So that each word tells who says it, in the numbers of the pid namespace outside.
        look(goal, "setsockopt(SO_PASSCRED)", || sockopt::set_socket_passcred(&theirs, true))?;
        let why = "it acts for us where we cannot any more: in the old namespaces, with the old rights";
        match fork(goal, why)? {
            Cloned::Child if narrate::is_dry_run() => Ok(Outside { errands, pid, post: None }),
            Cloned::Child => {
                drop(ours);
                exit_now(serve(&errands, pid, &theirs))
            }
            Cloned::Parent { pid: outside, .. } => Ok(Outside { errands, pid, post: Some((ours, outside)) }),
        }
    }

    /// Has the id maps written.
    pub(crate) fn map(&self) -> Result<(), Fault> {
        self.ask(Word::Map)
    }

    /// Has done what comes last.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        self.ask(Word::Finish)
    }

    /// Lets it go, and waits for its end: the command shall find no child that it did not start. For the process that
    /// started it.
    pub(crate) fn leave(self) -> Result<(), Fault> {
        let Some((socket, pid)) = self.post else { return Ok(()) };
        drop(socket);
        wait_for(pid).map(drop)
    }

    fn ask(&self, word: Word) -> Result<(), Fault> {
        if !self.errands.has(word) {
            return Ok(());
        }
        let Some((socket, pid)) = &self.post else { return self.errands.run(word, self.pid, self.pid) };
        let goal = format!("have process {pid} act outside");
        // MSG_NOSIGNAL: SIGPIPE may be ours to inherit, and an errno says more.
        look(&goal, "sendmsg(outside)", || send(socket, &[word as u8], SendFlags::NOSIGNAL))?;
        match look(&goal, "recvmsg(outside)", || receive(socket))? {
            Some((DONE, _)) => Ok(()),
            Some(_) => Err(Fault::already_told(Status::OURS)),
            None => Err(Fault::new(format!("cannot {goal}: it was killed"))),
        }
    }
}

/// Does what is asked until nobody is left to ask.
fn serve(errands: &Errands<'_>, unsharer: i32, socket: &OwnedFd) -> Status {
    loop {
        let (word, asker) = match receive(socket) {
            Ok(Some((b'm', asker))) => (Word::Map, asker),
            Ok(Some((_, asker))) => (Word::Finish, asker),
            Ok(None) => return Status::SUCCESS,
            Err(errno) => return Fault::kernel("hear from inside", "recvmsg(inside)", errno).report(narrate::tool()),
        };
        let answer = match errands.run(word, unsharer, asker) {
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

/// A word, and the pid of who said it (0 where the socket does not tell); `None` when nobody is left.
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
