//! The plan of a command line, and its execution: parse, then apply, in the order that the kernel requires.

use std::ffi::OsString;
use std::os::fd::RawFd;

use plumbing::command_line::options::Narration;
use plumbing::confinement::privilege::{Process, set_oom_score_adj};
use plumbing::pipeline::assembly::Hold;
use plumbing::pipeline::pipe::Stage;
use plumbing::pipeline::record::Record;
use plumbing::process::exposure::Exposure;
use plumbing::process::startup::Parsed;
use plumbing::process::target::Target;
use plumbing::process::{chain, sealed};
use plumbing::{Fault, Status, narrate};

use crate::enter::chroot_chdir::OpenDirectories;
use crate::enter::command::Command;
use crate::enter::credentials::Credentials;
use crate::enter::environ::Surroundings;
use crate::enter::fork::Entry;
use crate::enter::like_target::{Like, Unreadable};
use crate::enter::record_environ::Recorded;
use crate::enter::setns::OpenNamespaces;
use crate::enter::{fork, join_cgroup, stdin};
use crate::entering::Entering;
use crate::find::Reference;
use crate::inspect::Subject;
use crate::list::Listing;
use crate::list::containers;
use crate::options::{Inspection, Options};
use crate::{attached_values, find, inspect};

/// The task that a command line requests, and its narration.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    narration: Narration,
    task: Task,
}

#[derive(Debug, PartialEq, Eq)]
enum Task {
    /// Become the command without entering anything.
    Stay { command: Command },
    /// Enter the namespaces that the options name.
    Enter(Box<Entering>),
    /// Enter the container of a record: the last stage of a pipeline.
    Pipe { remove: bool, keep_on_error: bool, stdin: Option<RawFd>, command: Command },
    /// List namespaces.
    List(Box<Listing>),
    /// Print the record of a container.
    Find { name: Reference },
    /// List containers.
    Containers(containers::Options),
    /// Report how a container is isolated: this subject, or the container of each record on stdin.
    Inspect { subject: Option<Subject>, json: bool },
    /// Report how two subjects differ.
    Diff { subjects: [Subject; 2], json: bool },
}

impl Plan {
    /// Parses argv; pure.
    pub fn parse(argv: Vec<OsString>) -> Result<Parsed<Plan>, Fault> {
        if let Some(argv) = containers::own_argv(&argv) {
            let of = |options: containers::Options| {
                Ok(Plan { narration: options.narration, task: Task::Containers(options) })
            };
            return plumbing::command_line::options::parse_by_clap::<containers::Options>(argv)?.and_then(of);
        }
        if argv.get(1).is_some_and(|first| first == "--list") {
            return crate::list::parse(argv.into_iter().skip(1).collect())?
                .and_then(|(narration, listing)| Ok(Plan { narration, task: Task::List(Box::new(listing)) }));
        }
        let argv = attached_values::spell_out(argv, crate::options::command);
        plumbing::command_line::options::parse::<Options>(argv)?.and_then(Plan::of)
    }

    fn of(options: Options) -> Result<Plan, Fault> {
        if options.list {
            return Err(Fault::usage("--list has its own options and must be the first option"));
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
            if entering.is_nothing() && !rm && !keep_on_error && stdin.is_none() {
                return Ok(Plan { narration, task });
            }
            return Err(Fault::usage(
                "--inspect and --diff take no command and cannot be combined with options for entering",
            ));
        }
        let task = match (pipe, entering.is_nothing()) {
            (true, true) => Task::Pipe { remove: rm, keep_on_error, stdin, command: entering.command },
            (true, false) => {
                return Err(Fault::usage(
                    "--pipe enters all namespaces; to choose some of them, use --target PID or a FILE",
                ));
            }
            (false, true) => Task::Stay { command: entering.command },
            (false, false) => Task::Enter(Box::new(entering)),
        };
        Ok(Plan { narration, task })
    }

    /// Begins the narration, and returns which processes may see this run.
    pub fn begin(&self) -> Exposure {
        self.narration.begin();
        // Entering seals the executable and hides the process when it crosses the border.
        Exposure::NEIGHBORS.hiding_itself()
    }

    /// Carries out the plan. Returns the command's status, or becomes the command.
    pub fn apply(&self) -> Result<Status, Fault> {
        match &self.task {
            Task::Stay { command } => chain::exec(&command.words_or_shell()),
            Task::Enter(entering) => entering.apply(),
            Task::Pipe { remove, keep_on_error, stdin, command } => {
                // May execute a sealed copy, so it comes before the record is taken out of the pipe.
                seal(command)?;
                let mut stage = Stage::receive()?;
                match enter_stage(&mut stage, *remove, *stdin, command) {
                    Ok(status) => finish(stage, *remove, status),
                    Err(fault) => Err(stage.abandon(*keep_on_error, fault)),
                }
            }
            Task::List(listing) => listing.print(),
            Task::Find { name } => find::print(name),
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
                Err(Fault::usage("--inspect takes no name with --pipe: the records name the containers"))
            }
        }
    }
}

/// Makes our executable unwritable, before a process of the container can see us and open it as /proc/PID/exe.
pub(crate) fn seal(command: &Command) -> Result<(), Fault> {
    let why = "the container must not be able to write to our executable, which it sees as /proc/PID/exe; execveat(2)";
    if command.sealed_copy { sealed::ensure(why) } else { sealed::ensure_view(why) }
}

/// Reports whether the record was found by name and does not contain the confinement of its command. The command is
/// then made like the container, because `docker exec` confines what it runs, too.
fn lacks_confinement(record: &Record) -> Result<bool, Fault> {
    let has = |key: &str| record.get::<serde_json::Value>(key).map(|value| value.is_some());
    Ok(has("container")? && !has("process")?)
}

/// Returns a process that shows how the container is confined: its first process, or a command in it if that is an init
/// of `--hold`.
fn example<'a>(stage: &'a Stage, running: Option<&'a Target>) -> Option<&'a Target> {
    if matches!(stage.hold, Hold::Foreign) {
        return Some(&stage.target);
    }
    if running.is_none() {
        narrate::remark(format_args!(
            "the command runs unconfined: the record does not contain its confinement, and no command in {} shows it; \
             use the record that chroot-rs printed",
            stage.record.shown_name()
        ));
    }
    running
}

/// Adds how to enter a container whose confinement cannot be copied.
fn loosen(fault: Fault) -> Fault {
    fault.with_remedy(
        "use the record that chroot-rs printed, or --target NAME --all --like-target-try, which leaves out what cannot be \
         read; to run the command unconfined, pass the record through jq -c '.process={}'",
    )
}

fn enter_stage(stage: &mut Stage, remove: bool, stdin: Option<RawFd>, command: &Command) -> Result<Status, Fault> {
    let process: Process = stage.record.get("process")?.unwrap_or_default();
    if let Some(score) = process.oom_score_adj {
        // Through our own /proc, before entering; the command inherits it.
        set_oom_score_adj(score)?;
    }
    let running;
    let like = match lacks_confinement(&stage.record)? {
        true => {
            running = find::model_of(&stage.target).map_err(loosen)?;
            let example = example(stage, running.as_ref());
            example.map(|example| Like::of(example, Unreadable::FatalFilters).map_err(loosen)).transpose()?
        }
        false => None,
    };
    let mut entry = Entry {
        target: Some(&stage.target),
        namespaces: OpenNamespaces::foreign(&stage.target)?,
        groups: join_cgroup::of(&stage.record, &stage.target)?,
        follow_context: false,
        directories: OpenDirectories::default(),
        credentials: Credentials::default(),
        like,
        environment: Surroundings::OfRecord(Recorded::of(stage)?),
        process,
        command,
        stdin: Some(stdin::choose(stdin)?),
    };
    let mut is_ours = true;
    let entered = || match &stage.hold {
        Hold::Unfinished(lease) => lease.entered(&stage.target, remove).map(|worth| is_ours = worth),
        _ => Ok(()),
    };
    let status = fork::enter(&mut entry, entered)?;
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
    fn contradicting_options_are_refused_before_anything_happens() {
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
    fn namespaces_and_identities_need_no_target() {
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
