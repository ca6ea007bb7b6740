//! What a command line asks for, and how it is done: parse, then apply, in the order in which the kernel wants it.

use std::ffi::OsString;
use std::os::fd::RawFd;

use plumbing::assembly::Hold;
use plumbing::namespace::{Kind, KindSet};
use plumbing::options::Narration;
use plumbing::pipe::Stage;
use plumbing::privilege::Process;
use plumbing::startup::Parsed;
use plumbing::target::Target;
use plumbing::{Fault, Status, chain, sealed};

use crate::command::Command;
use crate::enter::Entry;
use crate::options::Options;
use crate::{enter, find, membership, standard_input};

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    narration: Narration,
    task: Task,
}

#[derive(Debug, PartialEq, Eq)]
enum Task {
    /// Become the command where we are.
    Stay { command: Command },
    /// Enter namespaces of a process.
    Target { pid: i32, kinds: Kinds, command: Command },
    /// Enter the container of a record: the end of a pipeline.
    Pipe { remove: bool, keep_on_error: bool, stdin: Option<RawFd>, command: Command },
    /// Tell the record of a container.
    Find { name: OsString },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kinds {
    /// These, even where they are ours already.
    These(KindSet),
    /// Whatever is not ours already.
    Foreign,
}

impl Plan {
    /// Reads argv; pure.
    pub fn parse(argv: Vec<OsString>) -> Result<Parsed<Plan>, Fault> {
        plumbing::options::parse::<Options>(argv)?.and_then(Plan::of)
    }

    fn of(options: Options) -> Result<Plan, Fault> {
        let kinds = options.kinds();
        if options.target.is_none() && (options.all || !kinds.is_empty()) {
            return Err(Fault::usage(
                "namespaces are chosen one by one with --target PID only; --pipe enters them all",
            ));
        }
        let command = Command { words: options.command, preserve_fds: options.preserve_fds };
        let task = match (options.find, options.pipe, options.target) {
            (Some(name), ..) => Task::Find { name },
            (_, true, _) => {
                Task::Pipe { remove: options.rm, keep_on_error: options.keep_on_error, stdin: options.stdin, command }
            }
            (.., Some(pid)) if options.all => Task::Target { pid, kinds: Kinds::Foreign, command },
            (.., Some(_)) if kinds.is_empty() => {
                return Err(Fault::usage(
                    "option '--target' needs the namespaces to enter: --all, or --mount, --net …",
                ));
            }
            (.., Some(pid)) => Task::Target { pid, kinds: Kinds::These(kinds), command },
            _ => Task::Stay { command },
        };
        Ok(Plan { narration: options.narration, task })
    }

    /// Does it. Comes back with the command's status, or becomes the command.
    pub fn apply(&self) -> Result<Status, Fault> {
        self.narration.begin();
        match &self.task {
            Task::Stay { command } => chain::exec(&command.words_or_shell()),
            Task::Target { pid, kinds, command } => enter_target(*pid, *kinds, command),
            Task::Pipe { remove, keep_on_error, stdin, command } => {
                seal()?;
                let mut stage = Stage::receive()?;
                match enter_stage(&mut stage, *remove, *stdin, command) {
                    Ok(status) => finish(stage, *remove, status),
                    Err(fault) => Err(stage.abandon(*keep_on_error, fault)),
                }
            }
            Task::Find { name } => find::tell(name),
        }
    }
}

/// Before anything of the container can see us: it would reach our executable by /proc/PID/exe.
fn seal() -> Result<(), Fault> {
    sealed::ensure("what the container will see as our executable cannot be written; memfd_create(2)")
}

fn enter_target(pid: i32, kinds: Kinds, command: &Command) -> Result<Status, Fault> {
    let target = Target::of_pid(pid)?;
    let kinds = match kinds {
        Kinds::These(kinds) => kinds,
        Kinds::Foreign => target.foreign_kinds()?,
    };
    if kinds.contains(Kind::Mnt) || kinds.contains(Kind::Pid) {
        seal()?;
    }
    let process = Process::default();
    let entry = Entry { target: &target, kinds, process: &process, command, stdin: None };
    enter::enter(&entry, || Ok(()), || Ok(()))
}

fn enter_stage(stage: &mut Stage, remove: bool, stdin: Option<RawFd>, command: &Command) -> Result<Status, Fault> {
    let process: Process = stage.record.get("process")?.unwrap_or_default();
    let groups = membership::of(&stage.record, &stage.target)?;
    let stdin = standard_input::choose(stdin)?;
    let entry = Entry {
        target: &stage.target,
        kinds: stage.target.foreign_kinds()?,
        process: &process,
        command,
        stdin: Some(&stdin),
    };
    // From outside, before the namespaces change what a path means.
    let join = || groups.as_ref().map_or(Ok(()), membership::Groups::join);
    let mut is_ours = true;
    let entered = || match &stage.hold {
        Hold::Unfinished(lease) => lease.entered(&stage.target, remove).map(|worth| is_ours = worth),
        _ => Ok(()),
    };
    let status = enter::enter(&entry, join, entered)?;
    if !is_ours {
        stage.hold = Hold::InUse;
    }
    Ok(status)
}

fn finish(stage: Stage, remove: bool, status: Status) -> Result<Status, Fault> {
    if plumbing::narrate::is_dry_run() {
        return stage.release().map(|()| status);
    }
    if remove {
        stage.end()?;
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Plan, Fault> {
        let argv = std::iter::once(&"nsenter-rs").chain(words).map(OsString::from).collect();
        match Plan::parse(argv)? {
            Parsed::Plan(plan) => Ok(plan),
            Parsed::Text(text) => panic!("a plan, not {text}"),
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused_before_anything_happens() {
        for words in [
            &["--target", "1"][..],
            &["--all", "true"],
            &["--target", "self", "--all"],
            &["--target", "0", "--all"],
            &["--rm", "true"],
            &["--pipe", "--target", "1"],
            &["--pipe", "--net", "true"],
            &["--find", "web"],
            &["--find", "web", "--json", "true"],
            &["--pipe", "--stdin", "0"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn without_a_target_nothing_is_entered() {
        let plan = parse(&["--", "true"]).unwrap();
        assert!(matches!(plan.task, Task::Stay { .. }));
    }
}
