//! The system call filters of another process, read while it stands still. `ptrace(2)`, `seccomp(2)`.
//!
//! Only a tracer is shown them, and only of a process that is stopped. Whatever happens to us, it goes on: when a tracer
//! ends, the kernel lets go of all that it traces.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{Options, detach, interrupt, seize};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use plumbing::kernel::{call, look, seccomp_filter_of, seccomp_flags_of};
use plumbing::privilege::likeness::Filter;
use plumbing::target::Target;
use plumbing::{Fault, narrate};

/// How long the target may take to stop: it cannot while the kernel is at work for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The filters of the target, the oldest first. `mode` is what /proc/PID/status calls `Seccomp`.
pub(crate) fn of(target: &Target, mode: u32) -> Result<Vec<Filter>, Fault> {
    match mode {
        0 => Ok(Vec::new()),
        2 => Tracee::stop(target)?.filters(),
        _ => Err(Fault::new(format!(
            "cannot be like process {}: in the strict mode of seccomp(2) no command can be executed",
            target.pid()
        ))),
    }
}

/// A process that we trace. It goes on when this is dropped.
struct Tracee {
    pid: Pid,
    /// What it was about to be told when it stopped, to be told nevertheless.
    signal: Option<Signal>,
    is_stopped: bool,
}

impl Tracee {
    fn stop(target: &Target) -> Result<Tracee, Fault> {
        let pid = Pid::from_raw(target.pid());
        let goal = format!("read the system call filters of process {pid}");
        let why = "only a tracer is shown them; ptrace(2)";
        call(&goal, format!("ptrace(PTRACE_SEIZE, {pid}, NULL, 0)"), why, || seize(pid, Options::empty()))?;
        let mut tracee = Tracee { pid, signal: None, is_stopped: false };
        // Traced, it keeps its pid, so this is the last moment for the pid to be another's.
        if target.has_ended()? {
            return Err(Fault::kernel(goal, format!("ptrace(PTRACE_SEIZE, {pid})"), Errno::ESRCH));
        }
        let text = format!("ptrace(PTRACE_INTERRUPT, {pid})");
        call(&goal, text, "it stands for an instant; ptrace(2)", || interrupt(pid))?;
        if !narrate::is_dry_run() {
            tracee.wait(&goal)?;
        }
        Ok(tracee)
    }

    fn wait(&mut self, goal: &str) -> Result<(), Fault> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL;
            match look(goal, format!("waitpid({})", self.pid), || waitpid(self.pid, Some(flags)))? {
                WaitStatus::PtraceEvent(..) => break,
                // On its way to a handler: it is told when it goes on.
                WaitStatus::Stopped(_, signal) => {
                    self.signal = Some(signal);
                    break;
                }
                WaitStatus::StillAlive if Instant::now() < deadline => std::thread::sleep(Duration::from_micros(50)),
                WaitStatus::StillAlive => {
                    return Err(Fault::new(format!("cannot {goal}: it did not stop within {} s", PATIENCE.as_secs())));
                }
                _ => return Err(Fault::kernel(goal, format!("waitpid({})", self.pid), Errno::ESRCH)),
            }
        }
        self.is_stopped = true;
        Ok(())
    }

    fn filters(mut self) -> Result<Vec<Filter>, Fault> {
        let read = if narrate::is_dry_run() { Ok(Vec::new()) } else { self.read() };
        self.let_go().and(read)
    }

    fn read(&self) -> Result<Vec<Filter>, Fault> {
        let goal = format!("read the system call filters of process {}", self.pid);
        let mut filters = Vec::new();
        loop {
            let number = filters.len();
            let text = format!("ptrace(PTRACE_SECCOMP_GET_FILTER, {}, {number})", self.pid);
            match seccomp_filter_of(self.pid.as_raw(), number) {
                Ok(program) => {
                    // Linux before 4.16 does not tell; its only flag changes what is logged.
                    let flags = seccomp_flags_of(self.pid.as_raw(), number).unwrap_or(0);
                    filters.push(Filter { program, flags });
                }
                Err(Errno::ENOENT) => break,
                Err(errno @ (Errno::EACCES | Errno::EPERM)) => {
                    return Err(Fault::kernel(goal, text, errno).with_remedy(
                        "the kernel shows filters to root of the first user namespace only, and to nobody who has one",
                    ));
                }
                Err(errno) => return Err(Fault::kernel(goal, text, errno)),
            }
        }
        filters.reverse();
        Ok(filters)
    }

    fn let_go(&mut self) -> Result<(), Fault> {
        self.is_stopped = false;
        let text = format!("ptrace(PTRACE_DETACH, {}, NULL, {})", self.pid, self.signal.map_or("0", Signal::as_str));
        call("let the target go on", text, "it goes on as if nothing had been; ptrace(2)", || {
            detach(self.pid, self.signal)
        })
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        // On the way out of a fault, after which we end, and with us the tracing.
        if self.is_stopped && self.let_go().is_err() {}
    }
}
