//! The init of a hold: it keeps the namespaces alive, reaps orphans, and knows whether the container is still
//! unfinished. `pid_namespaces(7)`; the protocol is described in `plumbing::pipeline::assembly`.
//!
//! It forwards no signal and survives the end of the terminal. All it can do is exit: as pid 1 it then ends its
//! namespace. A process inside that may trace the init gains nothing: from the beginning the init has a filter for the
//! calls below, and no capability except the one that joining a cgroup namespace requires, until a command is entered.
//! Its root directory is that of its mount namespace, which an entered command gets as well, and through which tools
//! outside inspect the container.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, Signal};
use plumbing::confinement::privilege::{self, Holding};
use plumbing::confinement::seccomp::{Allowed, allow_only};
use plumbing::kernel::{adopt, block_every_signal, look, own, place, set_disposition};
use plumbing::pipeline::assembly::{self, Answer, Word};
use plumbing::{Fault, Status, narrate};
use rustix::thread::CapabilitySet;

/// The parameters of the init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// The name of the container, empty if it has none.
    pub(crate) name: OsString,
    /// The time for which the container may stay unfinished, in milliseconds.
    pub(crate) ttl_ms: Option<u64>,
    /// Whether it prints its calls: `--explain`.
    pub(crate) is_explained: bool,
}

/// The prefix of the time in argv, for an init that prints its calls.
const EXPLAINED: &str = "explain,";

impl Orders {
    /// Returns the orders in this argv; `None` if it is not the argv of an init.
    pub(crate) fn from_argv(argv: &[OsString]) -> Option<Orders> {
        match argv {
            [argv0, ttl, name] if argv0 == assembly::INIT_NAME => {
                let ttl = ttl.to_str()?;
                let ttl_ms = ttl.strip_prefix(EXPLAINED).unwrap_or(ttl).parse().ok();
                Some(Orders { name: name.clone(), ttl_ms, is_explained: ttl.starts_with(EXPLAINED) })
            }
            _ => None,
        }
    }

    /// Returns the argv that contains the orders.
    pub(crate) fn to_argv(&self) -> Vec<OsString> {
        let ttl = self.ttl_ms.map_or_else(|| "-".to_owned(), |ttl| ttl.to_string());
        let explained = if self.is_explained { EXPLAINED } else { "" };
        vec![assembly::INIT_NAME.into(), format!("{explained}{ttl}").into(), self.name.clone()]
    }
}

/// Runs the init until the container ends.
pub(crate) fn run(orders: &Orders) -> Result<Status, Fault> {
    narrate::set(orders.is_explained, false);
    let container = Unfinished::take_over(orders)?;
    // Never closed: stages recognize by the mark that they may end this process.
    let mark = adopt(assembly::MARK_FD);
    set_name(&orders.name)?;
    ignore_the_world()?;
    confine(Holding::Now)?;
    container.announce(&mark)?;
    match container.serve()? {
        End::Now => Ok(Status::SUCCESS),
        End::With(lease) => wait_for_close(&lease).map(|()| Status::SUCCESS),
        End::Never => loop {
            nix::unistd::pause();
        },
    }
}

/// How the assembly ended.
enum End {
    /// It was given up: the container ends.
    Now,
    /// A command was entered, and the container ends when this lease closes.
    With(OwnedFd),
    /// A command was entered: the container stays until its init is killed.
    Never,
}

/// The state of an unfinished container.
struct Unfinished {
    /// Stages fetch the doorbell from this process as long as it is open.
    _doorbell: OwnedFd,
    bell: OwnedFd,
    leases: Vec<OwnedFd>,
    deadline: Option<Instant>,
    /// Whether it has joined the cgroup namespace of a stage.
    has_joined: bool,
}

impl Unfinished {
    fn take_over(orders: &Orders) -> Result<Unfinished, Fault> {
        for fd in assembly::MARK_FD..=assembly::MAKER_USER_FD {
            if !plumbing::kernel::is_open(fd) {
                return Err(Fault::new(format!("cannot run as a container's init: descriptor {fd} is not open")));
            }
        }
        Ok(Unfinished {
            _doorbell: adopt(assembly::DOORBELL_FD),
            bell: adopt(assembly::BELL_FD),
            leases: vec![adopt(assembly::FIRST_LEASE_FD)],
            deadline: orders.ttl_ms.map(|ttl| Instant::now() + Duration::from_millis(ttl)),
            has_joined: false,
        })
    }

    /// Reports to `--hold` that everything is set up, and replaces stderr, the last open file of the host. All three
    /// standard descriptors are replaced, because Rust's runtime opens the host's /dev/null for any that was closed.
    fn announce(&self, mark: &OwnedFd) -> Result<(), Fault> {
        for standard in 0..3 {
            own("release the terminal", "dup2(mark)", || place(mark, standard))?;
        }
        let first = self.leases[0].as_fd();
        own("answer --hold", "sendmsg(lease)", || assembly::answer(first, Answer::Unfinished, None))
    }

    /// Accepts leases and reads their messages until the assembly ends.
    fn serve(mut self) -> Result<End, Fault> {
        loop {
            let Some(ready) = self.wait()? else { return Ok(End::Now) };
            let Some(speaker) = ready else {
                self.take_lease()?;
                continue;
            };
            match self.hear(speaker) {
                Heard::Goodbye => drop(self.leases.swap_remove(speaker)),
                Heard::Nothing => {}
                Heard::Closed => return Ok(End::Now),
                Heard::Entered => {
                    self.enter(speaker)?;
                    return Ok(End::Never);
                }
                Heard::EnteredToRemove => return Ok(End::With(self.enter(speaker)?)),
            }
        }
    }

    /// Ends the assembly: gives up the last capability, closes the doorbell and all other leases, and only then answers
    /// the stage that entered.
    fn enter(self, speaker: usize) -> Result<OwnedFd, Fault> {
        privilege::reduce_to(CapabilitySet::empty(), Holding::Now)?;
        let mut leases = self.leases;
        let speaker = leases.swap_remove(speaker);
        drop((leases, self.bell, self._doorbell));
        // If the stage has ended by now, its end of the lease is closed, which is noticed next.
        assembly::answer(speaker.as_fd(), Answer::Done, None).ok();
        Ok(speaker)
    }

    /// Waits for the bell (`Some(None)`) or for the lease at an index; `None` when the time is up.
    fn wait(&self) -> Result<Option<Option<usize>>, Fault> {
        let mut watched: Vec<_> = std::iter::once(&self.bell)
            .chain(&self.leases)
            .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN))
            .collect();
        loop {
            let timeout = match self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => PollTimeout::NONE,
                Some(Duration::ZERO) => return Ok(None),
                Some(left) => PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX),
            };
            match poll(&mut watched, timeout) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => break,
                Err(errno) => return Err(Fault::kernel("wait for a stage", "poll(bell, leases)", errno)),
            }
        }
        // The bell first: the next stage rings before its predecessor says goodbye.
        let ready = watched.iter().position(|fd| fd.any().unwrap_or(false)).unwrap_or(0);
        Ok(Some(ready.checked_sub(1)))
    }

    fn take_lease(&mut self) -> Result<(), Fault> {
        let heard = look("answer the doorbell", "recvmsg(bell)", || assembly::receive(self.bell.as_fd()))?;
        if let Some(([word, _], Some(lease))) = heard
            && word == Word::Lease as u8
            && assembly::answer(lease.as_fd(), Answer::Unfinished, None).is_ok()
        {
            self.leases.push(lease);
        }
        Ok(())
    }

    fn hear(&mut self, speaker: usize) -> Heard {
        let Ok(Some(([word, _], fd))) = assembly::receive(self.leases[speaker].as_fd()) else { return Heard::Closed };
        match word {
            word if word == Word::Release as u8 => Heard::Goodbye,
            word if word == Word::Entered as u8 => Heard::Entered,
            word if word == Word::EnteredToRemove as u8 => Heard::EnteredToRemove,
            word if word == Word::JoinCgroupNamespace as u8 => {
                let fd = if self.has_joined { Err(Errno::EALREADY) } else { fd.ok_or(Errno::EBADF) };
                let joined = fd.and_then(|fd| setns(fd, CloneFlags::CLONE_NEWCGROUP));
                self.has_joined |= joined.is_ok();
                answer(self.leases[speaker].as_fd(), joined)
            }
            _ => Heard::Nothing,
        }
    }
}

/// Answers whether a request was carried out.
fn answer(lease: BorrowedFd<'_>, done: Result<(), Errno>) -> Heard {
    let answer = if done.is_ok() { Answer::Done } else { Answer::Refused };
    match assembly::answer(lease, answer, done.err()) {
        Ok(()) => Heard::Nothing,
        Err(_) => Heard::Closed,
    }
}

enum Heard {
    Goodbye,
    Nothing,
    Closed,
    Entered,
    EnteredToRemove,
}

fn wait_for_close(lease: &OwnedFd) -> Result<(), Fault> {
    while !matches!(assembly::receive(lease.as_fd()), Ok(None) | Err(_)) {}
    Ok(())
}

fn set_name(name: &OsStr) -> Result<(), Fault> {
    if name.is_empty() {
        return own("name the init", "prctl(PR_SET_NAME)", || nix::sys::prctl::set_name(c"held"));
    }
    // The kernel cuts the name at 15 bytes.
    let Ok(name) = std::ffi::CString::new(name.as_bytes()) else { return Ok(()) };
    own("name the init", "prctl(PR_SET_NAME)", || nix::sys::prctl::set_name(&name))
}

/// Gives up everything that serving the stages does not require. setns(2) can only join a cgroup namespace, and only
/// with CAP_SYS_ADMIN; capset(2) is needed to give that capability up, and cannot add one. The init can neither
/// close nor replace the descriptors that others read in this process, not even if another process traces it.
///
/// It sets no_new_privs only if it must: without that, the init differs from what a container runs; see
/// `plumbing::pipeline::mark`.
pub(crate) fn confine(holding: Holding) -> Result<(), Fault> {
    // The init of a user without a user namespace of its own has nothing that the user's other processes lack.
    let is_plain = holding.is_nothing()?;
    privilege::drop_others(CapabilitySet::SYS_ADMIN, holding)?;
    if is_plain {
        return Ok(());
    }
    if !holding.has(CapabilitySet::SYS_ADMIN) {
        privilege::forbid_new_privileges()?;
    }
    filter()
}

fn filter() -> Result<(), Fault> {
    let mut allowed = vec![
        Allowed::call(libc::SYS_recvmsg),
        Allowed::call(libc::SYS_sendmsg),
        Allowed::call(libc::SYS_capget),
        Allowed::call(libc::SYS_capset),
        Allowed::with(libc::SYS_setns, 1, libc::CLONE_NEWCGROUP),
    ];
    for standard in 0..3 {
        allowed.push(Allowed::with(libc::SYS_dup3, 1, standard));
        #[cfg(target_arch = "x86_64")]
        allowed.push(Allowed::with(libc::SYS_dup2, 1, standard));
    }
    let kept = [assembly::MARK_FD, assembly::PROCESS_FD, assembly::MAKER_PID_FD, assembly::MAKER_USER_FD];
    allow_only(&allowed, &kept)
}

/// Blocks every signal except TERM, which ends an init that has no pid namespace (in a pid namespace only KILL from
/// outside does). Ignores SIGCHLD, so that the kernel reaps our orphans without waking us.
fn ignore_the_world() -> Result<(), Fault> {
    own("let the kernel reap orphans", "sigaction(SIGCHLD, SIG_IGN)", || set_disposition(Signal::SIGCHLD, true))?;
    own("block signals", "rt_sigprocmask(SIG_SETMASK)", block_every_signal)?;
    let term: SigSet = [Signal::SIGTERM].into_iter().collect();
    own("let SIGTERM through", "rt_sigprocmask(SIG_UNBLOCK, [TERM])", || term.thread_unblock())
}
