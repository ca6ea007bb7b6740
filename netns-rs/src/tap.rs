//! `--pasta`: a network for every user, by pasta(1), or else slirp4netns(1): a program outside that makes its own
//! connections for what leaves by an interface inside. `passt(1)`, `slirp4netns(1)`.
//!
//! The program runs in a pid namespace of its own, whose first process is ours and ends with the guardian, also if that is
//! killed: then the kernel ends all processes in it. The surprise: pasta changes its credentials, and thereby loses the
//! signal that it would get at the end of its parent; and by default, its gateway leads to the host's own 127.0.0.1.

use std::cell::RefCell;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use plumbing::kernel::{Cloned, exit_now, fork_into, own};
use plumbing::pipeline::guardian::{self, Kept};
use plumbing::process::closing::close_range;
use plumbing::process::namespace::Kind;
use plumbing::process::target::{Target, own_namespace_inode, wait_for_either};
use plumbing::process::{errand, exposure, foreign_user, forward, socket_message};
use plumbing::{Fault, Status, narrate};
use rustix::net::SendFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal, set_parent_process_death_signal};

use crate::namespace;
use crate::publish::Published;

mod program;

use program::Program;

const GOAL: &str = "connect by pasta";
/// How long the program may take until the interface is there.
const PATIENCE: Duration = Duration::from_secs(20);
const READY: &[u8] = b"+";

/// What the program is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tap {
    /// The interface inside.
    pub interface: String,
    /// The ports of the host that lead inside.
    pub published: Vec<Published>,
    /// The longest packet.
    pub mtu: Option<u32>,
}

/// A guardian that waits for the network namespace, which is not made yet.
pub struct Awaiting(OwnedFd);

impl Tap {
    /// Refuses what could not work; the error names the option.
    pub fn check(&self) -> Result<(), Fault> {
        for (at, published) in self.published.iter().enumerate() {
            if self.published[..at].iter().any(|earlier| earlier.conflicts_with(published)) {
                return Err(Fault::usage(format!("--publish {published}: the port is published twice")));
            }
        }
        Ok(())
    }

    /// Starts a guardian outside, where the program will run until the process behind `watched` ends.
    pub fn prepare(&self, watched: BorrowedFd<'_>) -> Result<Awaiting, Fault> {
        let program = Program::find(self)?;
        let (ours, theirs) = socket_message::pair(GOAL)?;
        guardian::spawn_keeping(watched, &[theirs.as_fd()], || {
            let from = own(GOAL, "fcntl(F_DUPFD_CLOEXEC)", || theirs.as_fd().try_clone_to_owned())?;
            Ok((String::new(), Guarded { tap: self.clone(), program, from: Some(from), running: RefCell::new(None) }))
        })?;
        Ok(Awaiting(ours))
    }

    /// Connects the network namespace `container` of a process that runs already, until it ends.
    pub fn connect(&self, target: &Target, container: BorrowedFd<'_>) -> Result<(), Fault> {
        let program = Program::find(self)?;
        exposure::hide()?;
        guardian::spawn_keeping(target.pidfd(), &[container, target.dir()], || {
            if target.namespace_inode(Kind::User)? != own_namespace_inode(Kind::User) {
                let why = "its root may enter its network; the program has no rights outside";
                foreign_user::join(target, [Kind::User].into_iter().collect(), why)?;
            }
            let running = self.start(&program, container)?;
            Ok((String::new(), Guarded { tap: self.clone(), program, from: None, running: RefCell::new(running) }))
        })
        .map(drop)
    }

    /// Starts the program, and waits until the interface is there; `None` in a dry run.
    fn start(&self, program: &Program, container: BorrowedFd<'_>) -> Result<Option<Running>, Fault> {
        let (reader, writer) = own(GOAL, "pipe2(O_CLOEXEC)", || pipe_with(PipeFlags::CLOEXEC))?;
        let words = program.words(self, &format!("/proc/self/fd/{}", container.as_raw_fd()));
        let why = "a pid namespace: all processes in it end with its first one, which ends with the guardian";
        match fork_into([Kind::Pid].into_iter().collect(), GOAL, why)? {
            Cloned::Child if narrate::is_dry_run() => program.begin(&words, container).map(|_| None),
            Cloned::Child => exit_now(match self.lead(program, &words, container, writer) {
                Ok(()) => Status::SUCCESS,
                Err(_) => Status::OURS,
            }),
            Cloned::Parent { pid, pidfd } => {
                drop(writer);
                let running = Running { pid, pidfd };
                match running.hear(&reader) {
                    Ok(answer) if answer == READY => Ok(Some(running)),
                    Ok(answer) => running.end().and(Err(Fault::new(String::from_utf8_lossy(&answer)))),
                    Err(fault) => running.end().and(Err(fault)),
                }
            }
        }
    }

    /// Is the first process: starts the program, answers when the interface is there, and waits for the end of the program.
    fn lead(
        &self,
        program: &Program,
        words: &[String],
        container: BorrowedFd<'_>,
        answer: OwnedFd,
    ) -> Result<(), Fault> {
        // Else the stage would wait for the end of the guardian's answer, of which we have a copy.
        close_all_but([container.as_raw_fd(), answer.as_raw_fd()])?;
        let begun =
            own(GOAL, "prctl(PR_SET_PDEATHSIG, SIGKILL)", || set_parent_process_death_signal(Some(Signal::KILL)))
                .and_then(|()| program.begin(words, container))
                .and_then(|begun| begun.wait_for_interface(self, container, PATIENCE).map(|()| begun));
        let text = begun.as_ref().map_or_else(ToString::to_string, |_| String::from_utf8_lossy(READY).into_owned());
        own(GOAL, "write(pipe)", || rustix::io::write(&answer, text.as_bytes()))?;
        drop(answer);
        forward::wait_for(begun?.pid).map(drop)
    }
}

impl Awaiting {
    /// Has the namespace that we are in connected; waits until the interface is there.
    pub fn finish(self, tap: &Tap) -> Result<(), Fault> {
        let here = namespace::own()?;
        if narrate::is_dry_run() {
            return tap.start(&Program::find(tap)?, here.as_fd()).map(drop);
        }
        own(GOAL, "sendmsg(SCM_RIGHTS)", || {
            socket_message::send(self.0.as_fd(), &[IoSlice::new(READY)], Some(here.as_fd()), SendFlags::empty())
        })?;
        let mut answer = vec![0; 4096];
        let (length, _) = own(GOAL, "recvmsg()", || socket_message::receive(self.0.as_fd(), &mut answer))?;
        match &answer[..length] {
            READY => Ok(()),
            [] => Err(Fault::new(format!("cannot {GOAL}: the guardian was killed"))),
            text => Err(Fault::new(String::from_utf8_lossy(text))),
        }
    }
}

/// Closes everything from 3 on but these two.
fn close_all_but(mut kept: [RawFd; 2]) -> Result<(), Fault> {
    kept.sort_unstable();
    let mut first = 3;
    for number in kept.map(i32::cast_unsigned).into_iter().chain([u32::MAX]) {
        if first < number {
            own(GOAL, "close_range()", || close_range(first, number - 1, false))?;
        }
        first = number.saturating_add(1);
    }
    Ok(())
}

/// The first process of the program's pid namespace.
struct Running {
    pid: i32,
    pidfd: OwnedFd,
}

impl Running {
    fn hear(&self, reader: &OwnedFd) -> Result<Vec<u8>, Fault> {
        let mut answer = vec![0; 4096];
        if !plumbing::process::target::wait_readable(reader.as_fd(), Some(PATIENCE * 2))? {
            return Err(Fault::new(format!("cannot {GOAL}: the program has not made its interface")));
        }
        let length = own(GOAL, "read(pipe)", || rustix::io::read(reader, &mut answer[..]))?;
        answer.truncate(length);
        Ok(answer)
    }

    fn end(&self) -> Result<(), Fault> {
        // It is our own child, and not waited for. If it has ended meanwhile, no signal is needed.
        pidfd_send_signal(&self.pidfd, Signal::KILL).ok();
        errand::end("end the program", self.pid, &self.pidfd, PATIENCE).map(drop)
    }
}

struct Guarded {
    tap: Tap,
    program: Program,
    /// Where the network namespace comes from, if it is not made yet.
    from: Option<OwnedFd>,
    running: RefCell<Option<Running>>,
}

impl Guarded {
    /// Starts the program when the namespace has come, and answers; `false` if it does not come.
    fn start_later(&self, from: &OwnedFd) -> Result<bool, Fault> {
        let (length, container) = own(GOAL, "recvmsg()", || socket_message::receive(from.as_fd(), &mut [0; 1]))?;
        let (1, Some(container)) = (length, container) else { return Ok(false) };
        let started = self.tap.start(&self.program, container.as_fd());
        let text = started.as_ref().map_or_else(ToString::to_string, |_| String::from_utf8_lossy(READY).into_owned());
        let is_started = started.is_ok();
        self.running.replace(started.unwrap_or_default());
        own(GOAL, "sendmsg()", || {
            socket_message::send(from.as_fd(), &[IoSlice::new(text.as_bytes())], None, SendFlags::NOSIGNAL)
        })?;
        Ok(is_started)
    }
}

impl Kept for Guarded {
    fn wait(&self, watched: BorrowedFd<'_>) -> Result<(), Fault> {
        if let Some(from) = &self.from
            && !self.start_later(from)?
        {
            return Ok(());
        }
        match &*self.running.borrow() {
            Some(running) => wait_for_either(watched, running.pidfd.as_fd()),
            None => Ok(()),
        }
    }

    fn remove(self) -> Result<(), Fault> {
        self.running.take().map_or(Ok(()), |running| running.end())
    }
}
