//! The plan of a command line: parsed first, then applied step by step, in the order that the kernel requires.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::cgroup::levels;
use plumbing::cgroup::usage;
use plumbing::cgroup::verdict::{self, End};
use plumbing::command_line::options::Narration;
use plumbing::pipeline::pipe::{self, Stage};
use plumbing::process::chain;
use plumbing::process::exposure::Exposure;
use plumbing::process::startup::{self, Parsed};
use plumbing::{Fault, Status, narrate};

use crate::ending::Members;
use crate::oom_guard::{self, Guard};
use crate::options::Options;
use crate::place::Place;
use crate::report::{Output, Report, Wish};
use crate::subject::{self, Subject};
use crate::supervise::{Cause, Ends, TimeLimit};
use crate::verbs::Verb;
use crate::victims::Log;
use crate::views::View;
use crate::{cgroup_namespace, leftovers, libcgroup, programs, request, show, supervise, verbs, why};

/// What a command line asks for.
#[derive(Debug)]
pub struct Plan {
    pub(crate) narration: Narration,
    pub(crate) action: Action,
}

/// The ways to work.
#[derive(Debug)]
pub(crate) enum Action {
    /// Enter a group and become the command.
    Run { place: Place, command: Vec<OsString> },
    /// `--report`, `--max-time`: run the command in a new group, and stay outside until the group is empty.
    Supervise { place: Place, command: Vec<OsString>, ends: Ends, wish: Wish },
    /// `--pipe`: assign a group to the container of a record.
    Assign { place: Place, keep_on_error: bool },
    /// `--pipe --show`: add limits and usage to each record.
    ShowRecords,
    /// `--pipe --why`: add the limits that hold to each record.
    WhyRecords,
    /// A view of many groups.
    View { view: View, subject: Option<Subject>, json: bool },
    /// `--show`: print limits and usage of a process or a group.
    Show { subject: Subject, json: bool },
    /// `--why`: print which limits hold for a process or a group, and what they have done.
    Why { subject: Subject, json: bool },
    /// A verb, or limits: change a group that exists.
    Change { verb: Verb, subject: Subject, patience: Duration },
    /// `--pipe` with a verb: change the group of the container of each record.
    ChangeRecords { verb: Verb, patience: Duration },
    /// A line of libcgroup's tools: called by one of their names.
    Libcgroup(Box<libcgroup::Request>),
    /// `--gc`: remove what killed runs left behind.
    Collect { json: bool },
}

impl Plan {
    /// Parses argv; pure.
    pub fn parse(argv: Vec<OsString>) -> Result<Parsed<Plan>, Fault> {
        match libcgroup::parse(&argv) {
            Some(parsed) => parsed,
            None => plumbing::command_line::options::parse::<Options>(argv)?.and_then(request::plan),
        }
    }

    /// Begins the narration, and returns which processes may see this run.
    pub fn begin(&self) -> Exposure {
        self.narration.begin();
        Exposure::NEIGHBORS
    }

    /// Applies the plan. Returns the command's status, or becomes the command.
    pub fn apply(&self) -> Result<Status, Fault> {
        match &self.action {
            Action::Run { place, command } => run(place, command),
            Action::Supervise { place, command, ends, wish } => supervise(place, command, *ends, wish),
            Action::Assign { place, keep_on_error } => pipe::filter(*keep_on_error, |stage| assign(place, stage)),
            Action::ShowRecords => pipe::inspect(show::add),
            Action::View { view, subject, json } => view.show(subject.as_ref(), *json),
            Action::WhyRecords => pipe::inspect(why::add),
            Action::Show { subject, json } => startup::print(&show::text(subject, *json)?),
            Action::Why { subject, json } => startup::print(&why::text(subject, *json)?),
            Action::Change { verb, subject, patience } => {
                let deadline = Instant::now() + *patience;
                verbs::apply(verb, &subject.to_change(deadline)?, deadline).map(|()| Status::SUCCESS)
            }
            Action::ChangeRecords { verb, patience } => {
                let change = |target: &_| {
                    let deadline = Instant::now() + *patience;
                    verbs::apply(verb, &subject::of_record(target)?, deadline)
                };
                pipe::inspect(|_, target| change(target))
            }
            Action::Libcgroup(request) => request.apply(),
            Action::Collect { json } => collect(*json),
        }
    }
}

/// Becomes the command, inside the group: the command starts there, so it is limited from the beginning.
fn run(place: &Place, command: &[OsString]) -> Result<Status, Fault> {
    if let Some(place) = place.given() {
        let hierarchies = Hierarchies::discover()?;
        place.enter(&hierarchies)?;
    }
    chain::exec(command)
}

/// Runs the command in a new group, and reports what the group has counted when it is empty.
fn supervise(place: &Place, command: &[OsString], ends: Ends, wish: &Wish) -> Result<Status, Fault> {
    let output = Output::open(wish)?;
    let hierarchies = Hierarchies::discover()?;
    if ends.guard.is_some() {
        oom_guard::require(&hierarchies)?;
    }
    let cgroup = place.make(&hierarchies)?;
    let members = Members::open(&cgroup, &hierarchies)?;
    let guard = ends.guard.map(|grace| Guard::open(&members, grace)).transpose()?.flatten();
    // Read before and after: the groups above have counted other processes, too.
    let levels = levels::counted(members.iter(), &hierarchies);
    let before = levels::before(&levels)?;
    let log = wish.is_given.then(Log::open);
    let ended = supervise::run(command, (&cgroup, &hierarchies, &members), ends, guard)?;
    let Some(ended) = ended else { return Ok(Status::SUCCESS) };
    let is_reported = wish.is_given || wish.suggest;
    if !is_reported && !matches!(ended.cause, Some(Cause::Memory(_))) {
        return Ok(ended.status());
    }
    let after = levels::tallies(&levels)?;
    let events: Vec<_> = after.iter().zip(&before).map(|(after, before)| after.since(before)).collect();
    let counters = programs::counted(&members)?;
    let kills = counters.memory.as_ref().map_or(0, |memory| memory.oom_kills);
    let killed = || log.map(|log| log.killed_in(&members.memory_path(), kills)).unwrap_or_default();
    let (end, processes) = match &ended.cause {
        Some(Cause::Memory(largest)) => (End::Guard, largest.clone()),
        Some(Cause::Time) => (End::Time(ends.time_limit.map(TimeLimit::text).unwrap_or_default()), killed()),
        None => (End::Own, killed()),
    };
    let verdict = verdict::judge(&counters, &events, (&end, &processes));
    if is_reported {
        let limits = usage::limits(members.iter())?;
        Report::new(&ended, (cgroup.path, limits), counters, (verdict, processes), wish).write(wish, output)?;
    } else {
        narrate::remark(&verdict.text);
    }
    Ok(ended.status())
}

/// Assigns the group to the container of a record, for all processes that enter. The init stays outside: when memory
/// runs out inside, the kernel might kill it, and the container would end.
fn assign(place: &Place, stage: &mut Stage) -> Result<(), Fault> {
    stage.require_hold("limit")?;
    let Some(place) = place.given() else { return Ok(()) };
    stage.require_unfinished("limit")?;
    // It would take the processes out of the first group, and so out of its limits.
    request::refuse_second(&stage.record)?;
    // Below the group of the init, not below ours, so that the limits under which the init was started still apply.
    let hierarchies = Hierarchies::of_process(&stage.target)?;
    let cgroup = place.of_container(stage, &hierarchies)?;
    cgroup_namespace::make_root(stage, &cgroup, &hierarchies)?;
    stage.record.set_member(&cgroup)
}

/// Prints the whole report before the first removal that failed becomes the status.
fn collect(json: bool) -> Result<Status, Fault> {
    let report = leftovers::collect()?;
    let status = startup::print(&report.text(json)?)?;
    report.fault().map(|()| status)
}
