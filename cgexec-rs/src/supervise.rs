//! Running a command in a group while we stay outside: until the command and everything that it started has ended, we
//! forward signals, keep the time limit, and then read what the group has counted. `cgroups(7)`, `pidfd_open(2)`.
//!
//! The surprise: the end of the command is not the end of its work. A daemon that it left behind is no child of ours and
//! sends us no signal; only the group knows it. v2 reports an empty group by an event, v1 has to be asked again.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::cgroup::verdict::Process;
use plumbing::kernel::{Cloned, call, exit_now, fork, look};
use plumbing::pipeline::record::Cgroup;
use plumbing::process::chain;
use plumbing::process::forward::{self, Forward, Signals};
use plumbing::{Fault, Status, narrate};
use rustix::fs::{Mode, OFlags, openat};

use crate::ending::{self, Members};
use crate::membership;
use crate::oom_guard::{self, Guard};

/// How long a command may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeLimit {
    pub(crate) after: Duration,
    /// The time between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
}

/// What may end a command before it ends by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) time_limit: Option<TimeLimit>,
    /// `--oom-guard`, with its time between SIGTERM and SIGKILL.
    pub(crate) guard: Option<Duration>,
}

impl TimeLimit {
    /// Returns the time as people write it.
    pub(crate) fn text(self) -> String {
        match self.after.as_millis() {
            milliseconds if milliseconds % 1000 == 0 => format!("{}s", milliseconds / 1000),
            milliseconds => format!("{milliseconds}ms"),
        }
    }
}

/// How a supervised command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) how: WaitStatus,
    /// From the start of the command to the end of the last process of the group.
    pub(crate) wall: Duration,
    /// Why we ended it, if we did.
    pub(crate) cause: Option<Cause>,
    /// Whether a signal ended our waiting while processes were still running.
    pub(crate) is_interrupted: bool,
}

/// Why a command was ended by us.
#[derive(Debug)]
pub(crate) enum Cause {
    /// The time limit.
    Time,
    /// `--oom-guard`, with the largest processes at that moment.
    Memory(Vec<Process>),
}

impl Ended {
    /// Returns the exit status of the command.
    pub(crate) fn status(&self) -> Status {
        Status::of_command(self.how).unwrap_or(Status::OURS)
    }
}

/// How often a v1 group is asked whether it is empty.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs the command in the group, and waits until the group is empty. `None` in a dry run.
pub(crate) fn run(
    command: &[OsString],
    (cgroup, hierarchies, members): (&Cgroup, &Hierarchies, &Members),
    ends: Ends,
    guard: Option<Guard<'_>>,
) -> Result<Option<Ended>, Fault> {
    // Before the fork, so that no signal is lost in between. A terminal stops and continues us together with the
    // command.
    let signals = Signals::block(Forward::AllButStops)?;
    let start = Instant::now();
    match fork("start the command", "the command runs in the group, and we stay outside to read what it has used")? {
        Cloned::Child => {
            let became = signals
                .restore()
                .and_then(|()| membership::join(cgroup, hierarchies))
                .and_then(|()| if ends == Ends::default() { Ok(()) } else { die_with_parent() })
                .and_then(|()| chain::exec(command));
            if narrate::is_dry_run() {
                return became.map(|_| None);
            }
            exit_now(became.unwrap_or_else(|fault| fault.report(narrate::tool())))
        }
        Cloned::Parent { pid, pidfd } => {
            let reader = signals.reader()?;
            let events = members.v2().map(open_events).transpose()?;
            let child = Pid::from_raw(pid);
            let watch = Watch { child, signals, pidfd, reader, events, members, limit: ends.time_limit, guard, start };
            watch.wait().map(Some)
        }
    }
}

/// Makes the kernel kill the command if we are killed: nobody else would keep its time limit.
fn die_with_parent() -> Result<(), Fault> {
    let why = "if this process is killed, nobody would end the command; PR_SET_PDEATHSIG(2const)";
    call("die with the supervisor", "prctl(PR_SET_PDEATHSIG, SIGKILL)", why, || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
    })
}

/// Opens `cgroup.events` of a v2 group.
pub(crate) fn open_events(group: &Group) -> Result<OwnedFd, Fault> {
    let path = group.shown().join("cgroup.events");
    look("watch the cgroup", format!("openat({path:?})"), || {
        let dir = group.dir().ok_or(rustix::io::Errno::NOENT)?;
        openat(dir, "cgroup.events", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    })
}

struct Watch<'m> {
    child: Pid,
    signals: Signals,
    pidfd: OwnedFd,
    reader: SignalFd,
    /// v2's `cgroup.events`.
    events: Option<OwnedFd>,
    members: &'m Members,
    limit: Option<TimeLimit>,
    guard: Option<Guard<'m>>,
    start: Instant,
}

impl Watch<'_> {
    fn wait(self) -> Result<Ended, Fault> {
        let (mut how, mut cause, mut is_interrupted) = (None, None, false);
        let mut deadline = self.limit.map(|limit| self.start + limit.after);
        while how.is_none() || !self.is_empty()? {
            if how.is_none() {
                how = self.collect()?;
                if how.is_some() {
                    continue;
                }
            }
            let is_under_pressure = self.pause(how.is_some(), deadline)?;
            while let Some(received) = forward::receive(&self.reader)? {
                let is_our_end = Signal::try_from(received.ssi_signo.cast_signed()).is_ok_and(is_termination);
                match how {
                    None => self.signals.pass_on(&received, self.child),
                    // The command has ended: what is left may never end, and we are asked to end.
                    Some(_) if is_our_end => is_interrupted = true,
                    Some(_) => {}
                }
            }
            if is_interrupted {
                break;
            }
            if let Some(guard) = self.guard.as_ref().filter(|_| is_under_pressure && cause.is_none())
                && guard.is_full()?
            {
                cause = Some(Cause::Memory(oom_guard::largest(self.members)?));
                self.terminate("memory is running out");
                deadline = Some(Instant::now() + guard.grace);
            } else if let Some(due) = deadline
                && Instant::now() >= due
            {
                match cause {
                    Some(_) => ending::kill(self.members, "the grace period is over", None)?,
                    None => self.terminate("the time limit is over"),
                }
                cause = cause.or(Some(Cause::Time));
                deadline = Some(Instant::now() + self.grace());
            }
        }
        let how = how.unwrap_or(WaitStatus::StillAlive);
        Ok(Ended { how, wall: self.start.elapsed(), cause, is_interrupted })
    }

    /// Asks all processes of the group to end.
    fn terminate(&self, why: &str) {
        if let Err(fault) = ending::signal(self.members, Signal::SIGTERM, why, None) {
            // SIGKILL follows, and cgroup.kill needs no right over each process.
            narrate::remark(fault);
        }
    }

    fn grace(&self) -> Duration {
        let of_limit = self.limit.map(|limit| limit.grace);
        of_limit.or(self.guard.as_ref().map(|guard| guard.grace)).unwrap_or_default()
    }

    /// Collects the command if it has ended.
    fn collect(&self) -> Result<Option<WaitStatus>, Fault> {
        match waitpid(self.child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => Ok(None),
            ended => {
                let ended = look("wait for the command", format!("waitpid({})", self.child), || ended)?;
                Ok(Status::of_command(ended).map(|_| ended))
            }
        }
    }

    fn is_empty(&self) -> Result<bool, Fault> {
        match &self.events {
            Some(events) => {
                let mut text = [0; 256];
                let length =
                    look("watch the cgroup", "pread(cgroup.events)", || rustix::io::pread(events, &mut text, 0))?;
                Ok(text[..length].split(|byte| *byte == b'\n').any(|line| line == b"populated 0"))
            }
            None => self.members.are_empty(),
        }
    }

    /// Waits for a signal, the end of the command, an event of the group, pressure, or the deadline; returns whether it
    /// was pressure.
    fn pause(&self, has_ended: bool, deadline: Option<Instant>) -> Result<bool, Fault> {
        let mut watched = vec![(self.reader.as_fd(), PollFlags::POLLIN)];
        if !has_ended {
            watched.push((self.pidfd.as_fd(), PollFlags::POLLIN));
        }
        if let Some(events) = self.events.as_ref().filter(|_| has_ended) {
            watched.push((events.as_fd(), PollFlags::POLLPRI));
        }
        if let Some(guard) = &self.guard {
            watched.push((guard.as_fd(), PollFlags::POLLPRI));
        }
        let until = deadline.map(|due| due.saturating_duration_since(Instant::now()));
        let again = (has_ended && self.events.is_none()).then_some(PAUSE);
        let ready = wait_for(&watched, until.into_iter().chain(again).min())?;
        Ok(self.guard.is_some() && ready.last().is_some_and(|events| events.contains(PollFlags::POLLPRI)))
    }
}

/// Returns whether the signal asks us to end.
fn is_termination(signal: Signal) -> bool {
    matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT)
}

/// Waits until one of the descriptors is ready, or the time has passed; returns the events of each.
pub(crate) fn wait_for(
    watched: &[(BorrowedFd<'_>, PollFlags)],
    limit: Option<Duration>,
) -> Result<Vec<PollFlags>, Fault> {
    let mut watched: Vec<_> = watched.iter().map(|(fd, flags)| PollFd::new(*fd, *flags)).collect();
    // One more millisecond, so that the time has passed when poll(2) returns.
    let limit = limit.map(|limit| limit + Duration::from_millis(1));
    let limit = limit.map_or(PollTimeout::NONE, |limit| PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX));
    match poll(&mut watched, limit) {
        Ok(_) => Ok(watched.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty())).collect()),
        Err(Errno::EINTR) => Ok(Vec::new()),
        Err(errno) => Err(Fault::kernel("wait for the command", "poll(signalfd, pidfd, cgroup.events)", errno)),
    }
}
