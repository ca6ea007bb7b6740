//! What a command line asks for, and how it is done: parse, then apply, in the order in which the kernel wants it.

use std::ffi::OsString;
use std::os::fd::RawFd;

use plumbing::assembly::Hold;
use plumbing::exposure::Exposure;
use plumbing::options::Narration;
use plumbing::pipe::Stage;
use plumbing::privilege::{Process, set_oom_score_adj};
use plumbing::record::Record;
use plumbing::startup::Parsed;
use plumbing::target::Target;
use plumbing::{Fault, Status, chain, narrate, sealed};

use crate::command::Command;
use crate::credentials::Credentials;
use crate::directory::Opened;
use crate::enter::{Entry, Surroundings};
use crate::entering::Entering;
use crate::entrance::Entrances;
use crate::find::Reference;
use crate::inspect::Subject;
use crate::like_target::{Like, Untold};
use crate::list::Listing;
use crate::options::{Inspection, Options};
use crate::{attached, containers, enter, find, inspect, membership, standard_input};

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
    /// Enter what the options name.
    Enter(Box<Entering>),
    /// Enter the container of a record: the end of a pipeline.
    Pipe { remove: bool, keep_on_error: bool, stdin: Option<RawFd>, command: Command },
    /// List namespaces.
    List(Box<Listing>),
    /// Tell the record of a container.
    Find { name: Reference },
    /// List containers.
    Containers(containers::Options),
    /// Tell how one is isolated: of this subject, or of each record that comes in.
    Inspect { subject: Option<Subject>, json: bool },
    /// Tell what two have different.
    Diff { subjects: [Subject; 2], json: bool },
}

impl Plan {
    /// Reads argv; pure.
    pub fn parse(argv: Vec<OsString>) -> Result<Parsed<Plan>, Fault> {
        if let Some(argv) = containers::own_argv(&argv) {
            let of = |options: containers::Options| {
                Ok(Plan { narration: options.narration, task: Task::Containers(options) })
            };
            return plumbing::options::parse_by_clap::<containers::Options>(argv)?.and_then(of);
        }
        if argv.get(1).is_some_and(|first| first == "--list") {
            return crate::list::parse(argv.into_iter().skip(1).collect())?
                .and_then(|(narration, listing)| Ok(Plan { narration, task: Task::List(Box::new(listing)) }));
        }
        let argv = attached::spell_out(argv, crate::options::command);
        plumbing::options::parse::<Options>(argv)?.and_then(Plan::of)
    }

    fn of(options: Options) -> Result<Plan, Fault> {
        if options.list {
            return Err(Fault::usage("--list has its own options, and must come before all others"));
        }
        let Options { find, pipe, rm, keep_on_error, stdin, narration, json, .. } = options;
        if let Some(name) = find {
            return Ok(Plan { narration, task: Task::Find { name: name.of_runtime(options.runtime)? } });
        }
        if options.runtime.is_some() && options.target.is_empty() {
            return Err(Fault::usage("option '--type' needs '--target NAME' or '--find NAME'"));
        }
        let targets = options.target.into_iter().map(|target| target.of_runtime(options.runtime));
        let entering =
            Entering::of(targets.collect::<Result<_, _>>()?, options.namespaces, options.command_as, options.command)?;
        if let Some(task) = options.inspection.task(pipe, json)? {
            return match entering.is_nothing() && !rm && !keep_on_error && stdin.is_none() {
                true => Ok(Plan { narration, task }),
                false => Err(Fault::usage("--inspect and --diff enter nothing, and run and end nothing")),
            };
        }
        let task = match (pipe, entering.is_nothing()) {
            (true, true) => Task::Pipe { remove: rm, keep_on_error, stdin, command: entering.command },
            (true, false) => {
                return Err(Fault::usage(
                    "namespaces are chosen one by one with --target PID or a FILE; --pipe enters them all",
                ));
            }
            (false, true) => Task::Stay { command: entering.command },
            (false, false) => Task::Enter(Box::new(entering)),
        };
        Ok(Plan { narration, task })
    }

    /// Begins the narration, and says who may see this run.
    pub fn begin(&self) -> Exposure {
        self.narration.begin();
        // It seals and hides itself at the border.
        Exposure::NEIGHBORS.hiding_itself()
    }

    /// Does it. Comes back with the command's status, or becomes the command.
    pub fn apply(&self) -> Result<Status, Fault> {
        match &self.task {
            Task::Stay { command } => chain::exec(&command.words_or_shell()),
            Task::Enter(entering) => entering.apply(),
            Task::Pipe { remove, keep_on_error, stdin, command } => {
                seal(command)?;
                let mut stage = Stage::receive()?;
                match enter_stage(&mut stage, *remove, *stdin, command) {
                    Ok(status) => finish(stage, *remove, status),
                    Err(fault) => Err(stage.abandon(*keep_on_error, fault)),
                }
            }
            Task::List(listing) => listing.print(),
            Task::Find { name } => find::tell(name),
            Task::Containers(options) => containers::print(options),
            Task::Inspect { subject: Some(subject), json } => inspect::print(subject, *json),
            Task::Inspect { subject: None, .. } => inspect::pass_on(),
            Task::Diff { subjects, json } => inspect::compare(subjects, *json),
        }
    }
}

impl Inspection {
    fn task(self, pipe: bool, json: bool) -> Result<Option<Task>, Fault> {
        if let Some([one, other]) = self.diff.and_then(|words| <[OsString; 2]>::try_from(words).ok()) {
            return Ok(Some(Task::Diff { subjects: [Subject::read(&one)?, Subject::read(&other)?], json }));
        }
        match (self.inspect, pipe) {
            (None, _) => Ok(None),
            (Some(None), true) => Ok(Some(Task::Inspect { subject: None, json })),
            (Some(Some(word)), false) => Ok(Some(Task::Inspect { subject: Some(Subject::read(&word)?), json })),
            (Some(None), false) => Err(Fault::usage("--inspect needs a pid or a name, or --pipe and records on stdin")),
            (Some(Some(_)), true) => {
                Err(Fault::usage("with --pipe, the records tell whom to inspect: --inspect takes no name"))
            }
        }
    }
}

/// Before anything of the container can see us: it would reach our executable by /proc/PID/exe.
pub(crate) fn seal(command: &Command) -> Result<(), Fault> {
    let why = "what the container will see as our executable cannot be written; execveat(2)";
    if command.sealed_copy { sealed::ensure(why) } else { sealed::ensure_view(why) }
}

/// Whether the record was found and does not say what confines its command. The command is then made like the
/// container:
/// `docker exec` confines what it runs, too.
fn says_nothing(record: &Record) -> Result<bool, Fault> {
    let says = |key: &str| record.get::<serde_json::Value>(key).map(|value| value.is_some());
    Ok(says("container")? && !says("process")?)
}

/// What shows what confines the container: its first process, or a command in it where that is an init of ours.
fn example<'a>(stage: &'a Stage, running: Option<&'a Target>) -> Option<&'a Target> {
    if matches!(stage.hold, Hold::Foreign) {
        return Some(&stage.target);
    }
    if running.is_none() {
        narrate::remark(format_args!(
            "nothing confines the command: the record was found, and no command in {} shows what should; the record that \
             chroot-rs printed says it",
            stage.record.shown_name()
        ));
    }
    running
}

fn enter_stage(stage: &mut Stage, remove: bool, stdin: Option<RawFd>, command: &Command) -> Result<Status, Fault> {
    let process: Process = stage.record.get("process")?.unwrap_or_default();
    if let Some(score) = process.oom_score_adj {
        // Through our own /proc; the command inherits it.
        set_oom_score_adj(score)?;
    }
    let running;
    let like = match says_nothing(&stage.record)? {
        true => {
            running = find::command_of(&stage.target);
            let example = example(stage, running.as_ref());
            example.map(|example| Like::of(example, Untold::Remarked)).transpose()?
        }
        false => None,
    };
    let mut entry = Entry {
        target: Some(&stage.target),
        entrances: Entrances::foreign(&stage.target)?,
        groups: membership::of(&stage.record, &stage.target)?,
        follow_context: false,
        directories: Opened::default(),
        credentials: Credentials::default(),
        like,
        environment: Surroundings::Known(process.environment()),
        process,
        command,
        stdin: Some(standard_input::choose(stdin)?),
    };
    let mut is_ours = true;
    let entered = || match &stage.hold {
        Hold::Unfinished(lease) => lease.entered(&stage.target, remove).map(|worth| is_ours = worth),
        _ => Ok(()),
    };
    let status = enter::enter(&mut entry, entered)?;
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
            &["--target", "docker:", "--all"],
            &["--target", "rkt:web", "--all"],
            &["--target", "7", "--type", "docker", "--all"],
            &["--type", "docker", "true"],
            &["--target", "docker:web", "--type", "lxc", "--all"],
            &["--target", "0", "--all"],
            &["--rm", "true"],
            &["--pipe", "--target", "1"],
            &["--pipe", "--net", "true"],
            &["--find", "web"],
            &["--find", "web", "--json", "true"],
            &["--pipe", "--stdin", "0"],
            &["--pipe", "-S", "5"],
            &["--target", "1", "--target", "2", "--net"],
            &["--target", "1:x", "--net"],
            &["--net=:x"],
            &["--user-parent"],
            &["--wd=/", "--wdns=/"],
            &["--wd"],
            &["--setuid", "follow"],
            &["--setuid", "4294967295"],
            &["--preserve-credentials", "--setgid", "5"],
            &["--net", "--net-socket", "3", "--target", "1"],
            &["--inspect"],
            &["--inspect", "1", "--net=/x"],
            &["--inspect", "1", "--target", "1", "--all"],
            &["--pipe", "--inspect", "--rm"],
            &["--inspect", "1", "--pipe"],
            &["--inspect", "1", "true"],
            &["--inspect", "1", "--find", "web", "--json"],
            &["--diff", "1"],
            &["--diff", "1", "2", "true"],
            &["--json"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn what_can_be_said_without_a_target_is_entered() {
        for words in
            [&["--net=/x"][..], &["-n/x", "-F"], &["-S", "5"], &["-r/usr"], &["-W/usr"], &["-u=x", "--user-parent"]]
        {
            assert!(matches!(parse(words).unwrap().task, Task::Enter(_)), "{words:?}");
        }
    }

    #[test]
    fn without_a_target_nothing_is_entered() {
        let plan = parse(&["--", "true"]).unwrap();
        assert!(matches!(plan.task, Task::Stay { .. }));
    }
}
