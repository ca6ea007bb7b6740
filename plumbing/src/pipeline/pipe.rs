//! A stage of a pipeline: reads one record from stdin, passes the same container on through stdout. `pipe(7)`,
//! `tee(2)`.
//!
//! All or nothing, at every instant: a stage takes its lease *before* it takes the record out of the pipe (it peeks
//! with tee(2)), and keeps it until the next stage has done the same. So whichever process of the pipeline dies, the
//! lease of a stage that is still responsible closes, and the container ends.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::kernel::call;
use crate::pipeline::assembly::Hold;
use crate::pipeline::record::Record;
use crate::pipeline::record_out::pass_on;
use crate::pipeline::{ownership, record_in};
use crate::process::startup;
use crate::process::target::Target;
use crate::{Fault, Status, narrate};

/// A container that this stage is responsible for.
#[derive(Debug)]
pub struct Stage {
    /// The record, to which the stage adds.
    pub record: Record,
    /// The process that the record names, verified.
    pub target: Target,
    /// The relation of that process to `--hold`.
    pub hold: Hold,
}

/// Runs a filter stage: takes a container from stdin, applies `apply`, passes it on. When anything fails, the container
/// ends (if it is an unfinished hold, and not with `keep_on_error`), and so does the pipeline.
pub fn filter(keep_on_error: bool, apply: impl FnOnce(&mut Stage) -> Result<(), Fault>) -> Result<Status, Fault> {
    let (stage, ()) = sink(keep_on_error, |stage| {
        let untouched = stage.record.clone();
        apply(stage)?;
        // A dry run changed nothing, so it adds nothing; the next stages still get their container.
        let record = if narrate::is_dry_run() { &untouched } else { &stage.record };
        pass_on(record, stage.lease_fd())
    })?;
    stage.release().map(|()| Status::SUCCESS)
}

/// Runs the last stage: takes a container from stdin and applies `apply`. When that fails, the container ends as with
/// [`filter`]; else the caller decides what happens to it.
pub fn sink<T>(keep_on_error: bool, apply: impl FnOnce(&mut Stage) -> Result<T, Fault>) -> Result<(Stage, T), Fault> {
    let mut stage = Stage::receive()?;
    match apply(&mut stage) {
        Ok(done) => Ok((stage, done)),
        Err(fault) => Err(stage.abandon(keep_on_error, fault)),
    }
}

/// Runs an inspection stage: passes on every record of stdin, one after the other, with what `look_at` adds to it.
/// Takes no lease and ends nothing.
pub fn inspect(mut look_at: impl FnMut(&mut Record, &Target) -> Result<(), Fault>) -> Result<Status, Fault> {
    record_in::refuse_terminal()?;
    let mut lines = std::io::BufReader::new(std::io::stdin().lock());
    let mut seen = 0;
    while let Some(line) = record_in::read_line(&mut lines)? {
        let mut record = Record::parse(&line)?;
        let target = Target::open(record.init())?;
        look_at(&mut record, &target)?;
        startup::print(&record.to_line())?;
        seen += 1;
    }
    if seen == 0 { Err(record_in::no_record()) } else { Ok(Status::SUCCESS) }
}

impl Stage {
    /// Takes the record from stdin, and with it the responsibility for the container.
    fn receive() -> Result<Stage, Fault> {
        let shown = record_in::show()?;
        let record = Record::parse(&shown.line)?;
        let target = Target::open(record.init())?;
        // Before the lease: a container that is refused continues to exist.
        let hold = Hold::of(&target, || ownership::require_confined(&target, &record.shown_name()))?;
        shown.take()?;
        Ok(Stage { record, target, hold })
    }

    /// Returns the lease for polling: it is readable when the container is gone.
    pub fn lease_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.hold {
            Hold::Unfinished(lease) => Some(lease.as_fd()),
            _ => None,
        }
    }

    /// Refuses a container that was not made by `--hold`.
    pub fn require_hold(&self, to: &str) -> Result<(), Fault> {
        match self.hold {
            Hold::Foreign => Err(Fault::new(format!(
                "cannot {to} {}: process {} was not made by unshare-rs --hold, and only such containers are changed",
                self.record.shown_name(),
                self.target.pid()
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses a container in which a command is already running.
    pub fn require_unfinished(&self, to: &str) -> Result<(), Fault> {
        self.require_hold(to)?;
        match self.hold {
            Hold::InUse => {
                Err(Fault::new(format!("cannot {to} {}: a command is already running in it", self.record.shown_name())))
            }
            _ => Ok(()),
        }
    }

    /// Ends the container if `--hold` made it, and waits until it has ended.
    ///
    /// A container that was unfinished when we took it ends when our lease closes; one that was in use is killed
    /// through its pidfd, once its mark is verified. Whatever else a record names is left alone.
    pub fn end(self) -> Result<(), Fault> {
        let ended = match self.hold {
            Hold::Unfinished(lease) => lease.abandon(&self.target)?,
            Hold::InUse => {
                kill(&self.target)?;
                self.target.wait(Duration::from_secs(5))?
            }
            Hold::Foreign => {
                let pid = self.target.pid();
                return Err(Fault::new(format!("cannot end process {pid}: it was not made by unshare-rs --hold")));
            }
        };
        if ended {
            Ok(())
        } else {
            Err(Fault::new(format!(
                "cannot end the container: its init, process {}, is still running",
                self.target.pid()
            )))
        }
    }

    /// Ends our responsibility for the container, which continues to exist.
    pub fn release(self) -> Result<(), Fault> {
        match self.hold {
            Hold::Unfinished(lease) => lease.release(&self.target),
            _ => Ok(()),
        }
    }

    /// Ends the container if it is unfinished, unless it must be kept; returns the fault that led here.
    fn abandon(self, keep_on_error: bool, fault: Fault) -> Fault {
        let Hold::Unfinished(lease) = self.hold else { return fault };
        if keep_on_error {
            // Two things went wrong then, and neither text reports the other.
            if let Err(release) = lease.release(&self.target) {
                release.report(narrate::tool());
            }
            return fault;
        }
        match lease.abandon(&self.target) {
            Ok(true) => fault,
            Ok(false) | Err(_) => fault
                .with_remedy(format!("the container's init, process {}, does not end; examine it", self.target.pid())),
        }
    }
}

fn kill(target: &Target) -> Result<(), Fault> {
    let text = format!("pidfd_send_signal(pidfd of {}, SIGKILL)", target.pid());
    call("end the container", text, "its pid namespace ends with its init; pid_namespaces(7)", || {
        rustix::process::pidfd_send_signal(target.pidfd(), rustix::process::Signal::KILL)
    })
}
