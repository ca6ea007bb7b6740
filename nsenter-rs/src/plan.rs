//! The plan of a command line: parsed first, then applied. `setns(2)`.
//!
//! One function for each way to work. Those that enter open everything that is looked up outside before the first
//! namespace is joined, because afterwards each path means something else. The steps from there to execve(2), in the
//! order that the kernel requires, are in `enter/plan.rs`.

use std::ffi::{OsStr, OsString};

use plumbing::command_line::options::Narration;
use plumbing::pipeline::assembly::Hold;
use plumbing::pipeline::kept_process;
use plumbing::pipeline::pipe::{self, Stage};
use plumbing::pipeline::record::Process;
use plumbing::process::environment::Environment;
use plumbing::process::exposure::Exposure;
use plumbing::process::namespace::Kind;
use plumbing::process::startup::Parsed;
use plumbing::{Fault, Status, narrate};

use crate::copy::Copy;
use crate::enter::chroot_chdir::OpenDirectories;
use crate::enter::command::Command;
use crate::enter::credentials::Credentials;
use crate::enter::environ::{Surroundings, Theirs};
use crate::enter::record_environ::Recorded;
use crate::enter::setns::OpenNamespaces;
use crate::enter::toolbox::Tools;
use crate::enter::{
    Enter, Entry, LastStage, example, fork, join_cgroup, named_netns, oom_score, security_label, stdin,
};
use crate::find::{Container, OpenTarget, PidOrName, Reference};
use crate::inspect::Subject;
use crate::list::{Listing, containers, with_status_of_lsns};
use crate::{find, inspect, name_servers, request, stopped, why};

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub(crate) narration: Narration,
    pub(crate) action: Action,
}

/// One of the ways to work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Become the command without entering anything.
    Stay(Command),
    /// Enter the namespaces that the options name.
    Enter(Box<Enter>),
    /// Enter the container of a record: the last stage of a pipeline.
    EnterRecord(LastStage),
    /// List namespaces.
    List(Box<Listing>),
    /// List namespaces, with the exit status of lsns: called by that name.
    Lsns(Box<Listing>),
    /// List containers.
    ListContainers(containers::Options),
    /// Print the record of a container.
    Find(Reference),
    /// Print how to open the files of a container that does not run.
    FindStopped { name: Reference, json: bool },
    /// Report why a process or container died or is slow.
    Why { subject: PidOrName, json: bool },
    /// Report how a process or container is isolated.
    Inspect { subject: Subject, json: bool },
    /// Add that report to each record on stdin.
    InspectRecords,
    /// Copy files into or out of a container.
    Copy(Copy),
    /// Report how two processes or containers differ.
    Diff { subjects: [Subject; 2], json: bool },
}

impl Plan {
    /// Parses argv; pure.
    pub fn parse(argv: Vec<OsString>) -> Result<Parsed<Plan>, Fault> {
        request::plan(argv)
    }

    /// Begins the narration, and returns which processes may see this run.
    pub fn begin(&self) -> Exposure {
        self.narration.begin();
        // Entering seals the executable and hides the process when it crosses the border.
        Exposure::NEIGHBORS.hiding_itself()
    }

    /// Applies the plan. Returns the command's status, or becomes the command.
    pub fn apply(&self) -> Result<Status, Fault> {
        match &self.action {
            Action::Stay(command) => stay(command),
            Action::Enter(enter) => enter.apply(),
            Action::EnterRecord(stage) => stage.apply(),
            Action::List(listing) => listing.print(),
            Action::Lsns(listing) => listing.print().map_err(with_status_of_lsns),
            Action::ListContainers(options) => containers::print(options),
            Action::Find(name) => find::print(name),
            Action::FindStopped { name, json } => stopped::print(name, *json),
            Action::Why { subject, json } => why::print(subject, *json),
            Action::Inspect { subject, json } => inspect::print(subject, *json),
            Action::InspectRecords => inspect::pass_on(),
            Action::Copy(copy) => copy.apply(),
            Action::Diff { subjects, json } => inspect::compare(subjects, *json),
        }
    }
}

/// Becomes the command without entering anything.
fn stay(command: &Command) -> Result<Status, Fault> {
    command.exec(&Environment::inherited(), None).map_err(|fault| match command.words.first() {
        // Not runnable: a directory of PATH could not be searched, so it is not known to be missing.
        Some(word) if [Status::NOT_FOUND, Status::NOT_RUNNABLE].contains(&fault.status()) => {
            explain_command(fault, word)
        }
        _ => fault,
    })
}

/// Adds how to enter the container to the fault that no command has this name, if a container of root or of ours has it:
/// another user could choose a name to be taken for a command.
fn explain_command(fault: Fault, word: &OsStr) -> Fault {
    let Ok(reference) = Reference::read(word) else { return fault };
    let own = rustix::process::geteuid().as_raw();
    let is_meant = |it: &Container| reference.names(it) && reference.means_author(it.author, own);
    match find::all(Some(&reference)) {
        Ok(containers) if containers.all.iter().any(is_meant) => fault.with_remedy(format!(
            "{0} is the name of a container; to enter it, use --target {0} --all",
            reference.shown()
        )),
        _ => fault,
    }
}

impl Enter {
    fn apply(&self) -> Result<Status, Fault> {
        let (target, selection) = match self.target.as_ref().map(PidOrName::open).transpose()? {
            Some(OpenTarget::Network(file)) => (None, named_netns::selection(self, file)?),
            Some(OpenTarget::Process(target)) => (Some(target.or_running_thread()?), self.selection.clone()),
            None => (None, self.selection.clone()),
        };
        let target = target.as_ref();
        let namespaces = selection.open(target)?;
        if namespaces.cross_border() {
            // Not before it is known to be necessary. If a sealed copy is executed, the copy opens all this again.
            self.command.seal()?;
        }
        let held = example::held(self, target)?;
        let (like, process) = example::like(self, target, &held, &namespaces)?;
        oom_score::take(process.oom_score_adj, target)?;
        security_label::take(&process, target)?;
        let groups = match target {
            Some(target) if self.join_cgroup || self.like_target.is_some() => join_cgroup::of_target(target)?,
            _ => None,
        };
        let environment = match target {
            Some(target) if self.environment => {
                let expects_host = !namespaces.kinds().contains(Kind::Mnt) && self.directories.root.is_none();
                Surroundings::OfTarget(Theirs::of(target, namespaces.kinds().contains(Kind::User), expects_host)?)
            }
            _ => Surroundings::inherited(),
        };
        let stays_outside = namespaces.kinds().contains(Kind::Pid) && !self.command.no_fork;
        let mut entry = Entry {
            target,
            namespaces,
            groups,
            follow_context: self.follow_context,
            directories: self.directories.open(target)?,
            credentials: self.credentials.clone(),
            like,
            process,
            environment,
            toolbox: self.tools.as_ref().map(Tools::open).transpose()?,
            command: &self.command,
            stdin: None,
        };
        let stays_outside = stays_outside || self.command.handover.is_needed();
        entry.require_relay()?;
        if stays_outside || entry.needs_terminal() {
            fork::enter(&mut entry, || Ok(()))
        } else {
            fork::become_command(&entry)
        }
    }
}

impl LastStage {
    fn apply(&self) -> Result<Status, Fault> {
        // May execute a sealed copy, so it comes before the record is taken out of the pipe.
        self.command.seal()?;
        let (stage, status) = pipe::sink(self.keep_on_error, |stage| self.enter(stage))?;
        self.finish(stage, status)
    }

    fn enter(&self, stage: &mut Stage) -> Result<Status, Fault> {
        name_servers::require_used(&stage.record)?;
        kept_process::settle(stage)?;
        let held = example::held_of_record(stage)?;
        let process: Process = match held.kept() {
            Some(kept) => kept.clone(),
            None => stage.record.member()?.unwrap_or_default(),
        };
        oom_score::take(process.oom_score_adj, Some(&stage.target))?;
        security_label::take(&process, Some(&stage.target))?;
        let like = example::like_record(stage, &held)?;
        let mut entry = Entry {
            target: Some(&stage.target),
            namespaces: OpenNamespaces::foreign(&stage.target)?,
            groups: join_cgroup::of(&stage.record, &stage.target)?,
            follow_context: false,
            directories: OpenDirectories::default(),
            credentials: Credentials::default(),
            like,
            environment: Surroundings::OfRecord(Recorded::of(stage, &process)?),
            toolbox: None,
            process,
            command: &self.command,
            stdin: Some(stdin::choose(self.stdin)?),
        };
        let mut is_ours = true;
        // Once the command runs, no failing stage may end the hold. If another stage entered a command meanwhile, the
        // hold is in use, and not ours to end.
        let entered = || match &stage.hold {
            Hold::Unfinished(lease) => lease.entered(&stage.target, self.remove).map(|worth| is_ours = worth),
            _ => Ok(()),
        };
        let status = fork::enter(&mut entry, entered)?;
        if !is_ours {
            stage.hold = Hold::InUse;
        }
        Ok(status)
    }

    fn finish(&self, stage: Stage, status: Status) -> Result<Status, Fault> {
        if narrate::is_dry_run() {
            return stage.release().map(|()| status);
        }
        if self.remove {
            stage.end()?;
        }
        Ok(status)
    }
}
