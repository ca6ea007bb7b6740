//! The system call filters of another process, read while it is stopped. `ptrace(2)`, `seccomp(2)`.
//!
//! Only a tracer can read them, and only while the process is stopped. Whatever happens to us, the process continues:
//! when a tracer ends, the kernel detaches it from all its tracees.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{Options, detach, interrupt, seize};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use plumbing::confinement::privilege::likeness::Filter;
use plumbing::kernel::{call, look, seccomp_filter_of, seccomp_flags_of};
use plumbing::process::target::Target;
use plumbing::{Fault, narrate};

/// The time that the target may take to stop. It cannot stop during an uninterruptible system call.
const PATIENCE: Duration = Duration::from_secs(2);

/// Returns the filters of the target, the oldest first. `mode` is the field `Seccomp` of /proc/PID/status.
pub(crate) fn of(target: &Target, mode: u32) -> Result<Vec<Filter>, Fault> {
    match mode {
        0 => Ok(Vec::new()),
        2 => Tracee::stop(target)?.filters(),
        _ => Err(Fault::new(format!(
            "cannot make the command like process {}: in the strict mode of seccomp(2), execve(2) is forbidden",
            target.pid()
        ))),
    }
}

/// A traced process. It continues when this is dropped.
struct Tracee {
    pid: Pid,
    /// The signal whose delivery was interrupted by the stop; it is delivered when the process continues.
    signal: Option<Signal>,
    is_stopped: bool,
}

impl Tracee {
    fn stop(target: &Target) -> Result<Tracee, Fault> {
        let pid = Pid::from_raw(target.pid());
        let goal = format!("read the system call filters of process {pid}");
        let why = "only a tracer can read them; ptrace(2)";
        call(&goal, format!("ptrace(PTRACE_SEIZE, {pid}, NULL, 0)"), why, || seize(pid, Options::empty()))?;
        let mut tracee = Tracee { pid, signal: None, is_stopped: false };
        // A traced process keeps its pid, so after this check the pid cannot be reused.
        if target.has_ended()? {
            return Err(Fault::kernel(goal, format!("ptrace(PTRACE_SEIZE, {pid})"), Errno::ESRCH));
        }
        let text = format!("ptrace(PTRACE_INTERRUPT, {pid})");
        call(&goal, text, "the target stops for a moment; ptrace(2)", || interrupt(pid))?;
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
                // A signal was about to be delivered; it is delivered when the process continues.
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
        self.resume().and(read)
    }

    fn read(&self) -> Result<Vec<Filter>, Fault> {
        let goal = format!("read the system call filters of process {}", self.pid);
        let mut filters = Vec::new();
        loop {
            let number = filters.len();
            let text = format!("ptrace(PTRACE_SECCOMP_GET_FILTER, {}, {number})", self.pid);
            match seccomp_filter_of(self.pid.as_raw(), number) {
                Ok(program) => {
                    // Linux before 4.16 cannot return the flags; the only flag of that time changes what is logged.
                    let flags = seccomp_flags_of(self.pid.as_raw(), number).unwrap_or(0);
                    filters.push(Filter { program, flags });
                }
                Err(Errno::ENOENT) => break,
                Err(errno @ (Errno::EACCES | Errno::EPERM)) => {
                    return Err(Fault::kernel(goal, text, errno).with_remedy(
                        "the kernel shows filters only to root of the first user namespace, and only if it has no \
                         filter",
                    ));
                }
                Err(errno) => return Err(Fault::kernel(goal, text, errno)),
            }
        }
        filters.reverse();
        Ok(filters)
    }

    fn resume(&mut self) -> Result<(), Fault> {
        self.is_stopped = false;
        let text = format!("ptrace(PTRACE_DETACH, {}, NULL, {})", self.pid, self.signal.map_or("0", Signal::as_str));
        call("resume the target", text, "the target resumes unchanged; ptrace(2)", || detach(self.pid, self.signal))
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        // Reached only after another error, after which this process ends, and with it the tracing.
        if self.is_stopped {
            self.resume().ok();
        }
    }
}
