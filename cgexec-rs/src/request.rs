//! The way from options to a plan: contradictions between options, and the syntax of operands. Pure.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use plumbing::Fault;
use plumbing::command_line::units::Limit;
use plumbing::pipeline::record::{Cgroup, Record};

use crate::existing::Existing;
use crate::limit_set::Limits;
use crate::options::Options;
use crate::place::Place;
use crate::plan::{Action, Plan};
use crate::report::{self, Wish};
use crate::supervise::TimeLimit;
use crate::verbs::Verb;

/// The time between SIGTERM and SIGKILL, if `--grace` does not say another.
const GRACE: Duration = Duration::from_secs(5);

/// Returns the plan that the options ask for.
pub(crate) fn plan(options: Options) -> Result<Plan, Fault> {
    let limits = Limits::parse(&options.limits)?;
    require(&options, &limits)?;
    let narration = options.narration;
    if let Some(path) = options.cgroup.as_deref() {
        let group = Existing::of_path(path)?;
        let patience = options.timeout.map_or(PATIENCE, Duration::from_millis);
        return Ok(Plan { narration, action: Action::Change { verb: verb(&options, limits)?, group, patience } });
    }
    let action = match (options.show, options.pipe) {
        _ if options.why => Action::Why { pid: shown_pid("--why", &options.command)?, json: options.json },
        _ if options.gc => Action::Collect { json: options.json },
        (true, true) => Action::ShowRecords,
        (true, false) => Action::Show { pid: shown_pid("--show", &options.command)?, json: options.json },
        (false, true) => Action::Assign { place: place(&options, limits)?, keep_on_error: options.keep_on_error },
        (false, false) if options.command.is_empty() => return Err(Fault::usage("a command is missing")),
        (false, false) if supervision(&options).is_some() => supervise(options, limits)?,
        (false, false) => Action::Run { place: place(&options, limits)?, command: options.command },
    };
    Ok(Plan { narration, action })
}

/// How long a verb waits, if `--timeout` does not say another time.
const PATIENCE: Duration = Duration::from_secs(10);

/// The verbs, each with its option.
fn verbs(options: &Options) -> Vec<&'static str> {
    let all = [
        ("--freeze", options.freeze),
        ("--thaw", options.thaw),
        ("--kill", options.kill),
        ("--move", options.move_pids),
        ("--reclaim", options.reclaim.is_some()),
        ("--remove", options.remove),
    ];
    all.into_iter().filter(|(_, is_given)| *is_given).map(|(option, _)| option).collect()
}

fn verb(options: &Options, limits: Limits) -> Result<Verb, Fault> {
    let given = verbs(options);
    if let [one, other, ..] = given[..] {
        return Err(Fault::usage(format!("{one} cannot be used with {other}")));
    }
    if let (Some(verb), Some(limit)) = (given.first(), limits.first()) {
        return Err(Fault::usage(format!("{verb} cannot be used with --{limit}")));
    }
    if !options.move_pids && !options.command.is_empty() {
        return Err(Fault::usage("--cgroup takes a verb or limits, and no COMMAND; -g joins an existing group"));
    }
    Ok(match given.first() {
        Some(&"--freeze") => Verb::Freeze,
        Some(&"--thaw") => Verb::Thaw,
        Some(&"--kill") => Verb::Kill,
        Some(&"--move") => Verb::Move(pids(&options.command)?),
        Some(&"--remove") => Verb::Remove,
        Some(_) => match options.reclaim {
            Some(Limit::Amount(bytes)) => Verb::Reclaim(bytes),
            _ => return Err(Fault::usage("--reclaim takes a size such as 64M")),
        },
        None if limits.is_empty() => {
            return Err(Fault::usage("--cgroup needs a verb such as --freeze or --kill, or a limit such as --memory"));
        }
        None => Verb::Set(limits),
    })
}

/// Reads the operands of `--move`.
fn pids(words: &[OsString]) -> Result<Vec<i32>, Fault> {
    let pid = |word: &OsString| {
        word.to_str().and_then(|word| word.parse().ok()).filter(|pid| *pid > 0).ok_or_else(|| {
            Fault::usage(format!("--move takes pids, not '{}'; expected numbers such as 4242", word.display()))
        })
    };
    if words.is_empty() {
        return Err(Fault::usage("--move needs the pid of a process"));
    }
    words.iter().map(pid).collect()
}

/// Returns an option that needs us outside of the group.
fn supervision(options: &Options) -> Option<&'static str> {
    let all = [
        ("--report", options.report.is_some()),
        ("--suggest", options.suggest),
        ("--max-time", options.max_time.is_some()),
    ];
    all.into_iter().find(|(_, is_given)| *is_given).map(|(option, _)| option)
}

fn supervise(options: Options, limits: Limits) -> Result<Action, Fault> {
    let time_limit = options.max_time.map(|after| TimeLimit {
        after: Duration::from_millis(after),
        grace: options.grace.map_or(GRACE, Duration::from_millis),
    });
    let word = options.report.as_deref();
    let json = options.json || word == Some(Path::new("json"));
    let is_given = options.report.is_some();
    let wish = Wish { is_given, file: word.and_then(report::file), json, suggest: options.suggest };
    Ok(Action::Supervise { place: place(&options, limits)?, command: options.command, time_limit, wish })
}

fn place(options: &Options, limits: Limits) -> Result<Place, Fault> {
    if !limits.is_empty() || supervision(options).is_some() {
        let name = options.name.as_deref().map(group_name).transpose()?;
        return Ok(Place::Ephemeral { limits, name, leaf: options.leaf });
    }
    match options.group.as_slice() {
        [] => Ok(Place::Unchanged),
        groups => Ok(Place::Existing(groups.iter().map(|group| Existing::parse(group)).collect::<Result<_, _>>()?)),
    }
}

/// Refuses a second group: it would take the processes out of the first one, and so out of its limits.
pub(crate) fn refuse_second(record: &Record) -> Result<(), Fault> {
    match record.member::<Cgroup>()? {
        None => Ok(()),
        Some(cgroup) => Err(Fault::new(format!(
            "cannot limit {}: its record already has a cgroup, {}; give all limits to one cgexec-rs",
            record.shown_name(),
            cgroup.path.shown()
        ))),
    }
}

/// Checks which options need others, and which exclude others. The errors name both; clap's do not, since it drops a
/// requirement that conflicts with a given argument, and does not name the option that has the requirement.
fn require(options: &Options, limits: &Limits) -> Result<(), Fault> {
    exclude(options, limits)?;
    needs(options, limits)
}

fn exclude(options: &Options, limits: &Limits) -> Result<(), Fault> {
    let limit = limits.first().map(|option| format!("--{option}"));
    let given = |option: &'static str, is_given: bool| is_given.then(|| option.to_owned());
    let (show, gc, pipe) = (given("--show", options.show), given("--gc", options.gc), given("--pipe", options.pipe));
    let why = given("--why", options.why);
    let cgroup = given("--cgroup", options.cgroup.is_some());
    let group = given("-g", !options.group.is_empty());
    let json = given("--json", options.json);
    let supervised = supervision(options).map(str::to_owned);
    let command = given("COMMAND", !options.command.is_empty());
    for (one, others) in [
        (&gc, &[&limit, &group, &pipe, &show, &supervised, &command][..]),
        (&supervised, &[&pipe, &show, &group]),
        (&given("--leaf", options.leaf), &[&pipe, &cgroup]),
        (&cgroup, &[&why, &show, &gc, &group, &pipe, &supervised, &json, &given("--name", options.name.is_some())]),
        (&why, &[&limit, &group, &pipe, &show, &gc, &supervised]),
        (&show, &[&limit, &group, &given("--keep-on-error", options.keep_on_error)]),
        (&group, &[&limit]),
        (&pipe, &[&command, &json]),
    ] {
        if let (Some(one), Some(other)) = (one, others.iter().find_map(|other| other.as_ref())) {
            return Err(Fault::usage(format!("{one} cannot be used with {other}")));
        }
    }
    Ok(())
}

fn needs(options: &Options, limits: &Limits) -> Result<(), Fault> {
    let verbs = verbs(options);
    let verb = verbs.first().copied();
    let has_group = limits.first().is_some() || supervision(options).is_some();
    for (given, option, is_met, needed) in [
        (options.keep_on_error, "--keep-on-error", options.pipe, "--pipe"),
        (
            options.json,
            "--json",
            options.show || options.why || options.gc || options.report.is_some(),
            "--show, --why, --report or --gc",
        ),
        (verb.is_some(), verb.unwrap_or("a verb"), options.cgroup.is_some(), "--cgroup"),
        (options.timeout.is_some(), "--timeout", options.cgroup.is_some(), "--cgroup"),
        (options.grace.is_some(), "--grace", options.max_time.is_some(), "--max-time"),
        (options.leaf, "--leaf", has_group, "a limit such as --memory or --pids, or --report"),
        (options.name.is_some(), "--name", has_group, "a limit such as --memory, --swap, --pids or --cpus"),
    ] {
        if given && !is_met {
            return Err(Fault::usage(format!("{option} needs {needed}")));
        }
    }
    Ok(())
}

/// Parses the operand of `--show` and `--why`: at most one pid.
fn shown_pid(option: &str, operands: &[OsString]) -> Result<Option<i32>, Fault> {
    let wrong = |word: &OsStr| {
        Fault::usage(format!(
            "{option} takes the pid of a process, not '{}'; expected a number such as 4242 (of a container, \
             nsenter-rs --find NAME --json prints it)",
            word.display()
        ))
    };
    match operands {
        [] => Ok(None),
        [word] => match word.to_str().and_then(|word| word.parse().ok()) {
            Some(pid) if pid > 0 => Ok(Some(pid)),
            _ => Err(wrong(word)),
        },
        [_, second, ..] => Err(wrong(second)),
    }
}

/// Checks a name that becomes a part of a file name: 200 bytes leave room for our prefix and a number.
pub(crate) fn group_name(name: &OsStr) -> Result<OsString, Fault> {
    let wrong =
        |valid| format!("'{}' cannot be the name of a group (--name); {valid}", name.to_string_lossy().escape_debug());
    plumbing::pipeline::name::check(name, 200).map(|()| name.to_owned()).map_err(|valid| Fault::usage(wrong(valid)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumbing::process::startup::Parsed;

    fn parse(line: &str) -> Result<Plan, String> {
        let argv = std::iter::once("cgexec-rs").chain(line.split_whitespace()).map(OsString::from).collect();
        match Plan::parse(argv) {
            Ok(Parsed::Plan(plan)) => Ok(plan),
            Ok(Parsed::Text(text)) => Err(text),
            Err(fault) => Err(fault.to_string()),
        }
    }

    #[test]
    fn limits_make_a_group_and_no_limits_make_none() {
        let plan = parse("--memory 256M --name web -- sh --pids").unwrap();
        let Action::Run { place: Place::Ephemeral { limits, name, .. }, command } = plan.action else {
            panic!("a group")
        };
        assert_eq!(limits.amount("memory"), Some(256 << 20));
        assert_eq!((name, command), (Some("web".into()), vec!["sh".into(), "--pids".into()]));
        let unchanged = parse("true").unwrap().action;
        assert!(matches!(unchanged, Action::Run { place: Place::Unchanged, .. }));
    }

    #[test]
    fn options_that_contradict_each_other_are_both_named() {
        for (line, first, second) in [
            ("--show --memory 1M", "--show", "--memory"),
            ("--show -g memory:/x", "--show", "-g"),
            ("-g memory:/x --pids 3 true", "-g", "--pids"),
            ("--pipe true", "--pipe", "COMMAND"),
            ("--keep-on-error true", "--keep-on-error", "--pipe"),
            ("--json true", "--json", "--show"),
            ("--gc --pids 3", "--gc", "--pids"),
            ("--gc true", "--gc", "COMMAND"),
            ("--gc --show", "--gc", "--show"),
            ("--gc --pipe", "--gc", "--pipe"),
            ("--name web true", "--name", "--memory"),
            ("--pipe --show --json", "--json", "--pipe"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(first) && error.contains(second), "{line}: {error}");
        }
    }

    #[test]
    fn the_error_of_a_wrong_value_says_what_is_valid() {
        for (line, valid) in [
            ("--memory 12Q true", "1.5G"),
            ("--pids many true", "100"),
            ("--cpus 0 true", "150%"),
            ("--show web", "4242"),
            ("--show 1 2", "4242"),
            ("--memory 1M --name a/b true", "without /"),
            ("-g memory true", "CONTROLLERS:PATH"),
            ("--memory 1M", "a command is missing"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(valid), "{line}: {error}");
        }
    }
}
