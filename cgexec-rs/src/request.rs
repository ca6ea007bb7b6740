//! The way from options to a plan: contradictions between options, and the syntax of operands. Pure.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use plumbing::Fault;
use plumbing::command_line::units::Limit;
use plumbing::find::PidOrName;
use plumbing::pipeline::record::{Cgroup, Record};
use plumbing::text::Text;

use crate::exclusions;
use crate::existing::Existing;
use crate::limit_set::Limits;
use crate::options::Options;
use crate::place::Place;
use crate::plan::{Action, Plan};
use crate::report::{self, Wish};
use crate::subject::Subject;
use crate::supervise::{Ends, TimeLimit};
use crate::verbs::Verb;
use crate::views::View;

/// The time between SIGTERM and SIGKILL, if `--grace` does not say another.
const GRACE: Duration = Duration::from_secs(5);

/// Returns the plan that the options ask for.
pub(crate) fn plan(options: Options) -> Result<Plan, Fault> {
    let limits = Limits::parse(&options.limits)?;
    exclusions::require(&options, &limits)?;
    let narration = options.narration;
    let json = options.json;
    if let (Some(view), Some(option)) = (View::of(&options), options.views.given().first()) {
        return Ok(Plan { narration, action: Action::View { view, subject: subject(option, &options)?, json } });
    }
    let action = match (options.show, options.pipe) {
        _ if !verbs(&options).is_empty() => change(&options)?,
        _ if options.gc => Action::Collect { json },
        (_, true) if options.why => Action::WhyRecords,
        _ if options.why => Action::Why { subject: viewed("--why", &options)?, json },
        (true, true) => Action::ShowRecords,
        (true, false) => Action::Show { subject: viewed("--show", &options)?, json },
        (false, true) => Action::Assign { place: place(&options, limits)?, keep_on_error: options.keep_on_error },
        (false, false) => run(options, limits)?,
    };
    Ok(Plan { narration, action })
}

/// Returns the action of a command line that has neither a verb nor a view: a command, or limits of a group that exists.
fn run(options: Options, limits: Limits) -> Result<Action, Fault> {
    let named = given(&options)?;
    match (named, options.command.is_empty()) {
        (None, true) => Err(Fault::usage("a command is missing")),
        (Some(_), true) if limits.is_empty() => Err(Fault::usage(format!(
            "{} needs a verb such as --freeze or --kill, a limit such as --memory, or a command",
            if options.target.is_some() { "--target" } else { "--cgroup" }
        ))),
        (Some(subject), true) => Ok(Action::Change { verb: Verb::Set(limits), subject, patience: PATIENCE }),
        (Some(Subject::Path(group)), false) => {
            Ok(Action::Run { place: Place::Kept { group, limits }, command: options.command })
        }
        (Some(_), false) => {
            Err(Fault::usage("--target takes a verb or limits, and no COMMAND; -g joins an existing group"))
        }
        (None, false) if supervision(&options).is_some() => supervise(options, limits),
        (None, false) => Ok(Action::Run { place: place(&options, limits)?, command: options.command }),
    }
}

/// How long a verb waits, if `--timeout` does not say another time.
const PATIENCE: Duration = Duration::from_secs(10);

/// The verbs, each with its option.
pub(crate) fn verbs(options: &Options) -> Vec<&'static str> {
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

/// Returns the group that `--cgroup` or `--target` names.
fn given(options: &Options) -> Result<Option<Subject>, Fault> {
    Ok(match (&options.cgroup, &options.target) {
        (Some(path), _) => Some(Subject::Path(Existing::of_path(path)?)),
        (None, target) => target.clone().map(Subject::Process),
    })
}

/// Returns the group of a verb or a view: that of `--cgroup`, of `--target` or of the only operand.
fn subject(option: &str, options: &Options) -> Result<Option<Subject>, Fault> {
    let named = given(options)?;
    match (&options.command[..], named) {
        ([], named) => Ok(named),
        ([word], None) => {
            let process = PidOrName::read(word);
            let wrong =
                |valid| Fault::usage(format!("{option} does not take '{}': {valid}", Text::from(&**word).shown()));
            process.map(|process| Some(Subject::Process(process))).map_err(wrong)
        }
        ([word, ..], Some(_)) | ([_, word, ..], None) => {
            let word = Text::from(&**word).shown();
            let why = if word.starts_with('-') { "options come before it" } else { "only one at a time" };
            Err(Fault::usage(format!(
                "{option} takes one process, container or group, and no '{word}' after it: {why}"
            )))
        }
    }
}

fn viewed(option: &str, options: &Options) -> Result<Subject, Fault> {
    Ok(subject(option, options)?.unwrap_or(Subject::Ourselves))
}

/// Returns the action of a verb.
fn change(options: &Options) -> Result<Action, Fault> {
    let patience = options.timeout.map_or(PATIENCE, Duration::from_millis);
    let verb = verb(options)?;
    let option = verbs(options)[0];
    if options.pipe {
        return match verb {
            Verb::Move(_) => Err(Fault::usage("--move cannot be used with --pipe")),
            verb => Ok(Action::ChangeRecords { verb, patience }),
        };
    }
    let subject = if options.move_pids { given(options)? } else { subject(option, options)? };
    let needed = if options.move_pids {
        "--cgroup PATH"
    } else {
        "the PID of a process, the NAME of a container, or --cgroup PATH"
    };
    let subject = subject.ok_or_else(|| Fault::usage(format!("{option} needs {needed}")))?;
    Ok(Action::Change { verb, subject, patience })
}

fn verb(options: &Options) -> Result<Verb, Fault> {
    let given = verbs(options);
    if let [one, other, ..] = given[..] {
        return Err(Fault::usage(format!("{one} cannot be used with {other}")));
    }
    Ok(match given.first() {
        Some(&"--freeze") => Verb::Freeze,
        Some(&"--thaw") => Verb::Thaw,
        Some(&"--kill") => Verb::Kill,
        Some(&"--move") => Verb::Move(pids(&options.command)?),
        Some(&"--remove") => Verb::Remove,
        _ => match options.reclaim {
            Some(Limit::Amount(bytes)) => Verb::Reclaim(bytes),
            _ => return Err(Fault::usage("--reclaim takes a size such as 64M")),
        },
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
pub(crate) fn supervision(options: &Options) -> Option<&'static str> {
    let all = [
        ("--report", options.report.is_some()),
        ("--suggest", options.suggest),
        ("--max-time", options.max_time.is_some()),
        ("--oom-guard", options.oom_guard),
    ];
    all.into_iter().find(|(_, is_given)| *is_given).map(|(option, _)| option)
}

fn supervise(options: Options, limits: Limits) -> Result<Action, Fault> {
    let grace = options.grace.map_or(GRACE, Duration::from_millis);
    let time_limit = options.max_time.map(|after| TimeLimit { after: Duration::from_millis(after), grace });
    let ends = Ends { time_limit, guard: options.oom_guard.then_some(grace) };
    let limits = if options.oom_guard { limits.guarded()? } else { limits };
    let word = options.report.as_deref();
    let json = options.json || word == Some(Path::new("json"));
    let is_given = options.report.is_some();
    let wish = Wish { is_given, file: word.and_then(report::file), json, suggest: options.suggest };
    Ok(Action::Supervise { place: place(&options, limits)?, command: options.command, ends, wish })
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
            ("--freeze --pids 3 web", "--freeze", "--pids"),
            ("--freeze --kill web", "--freeze", "--kill"),
            ("--pipe --freeze web", "--pipe", "COMMAND"),
            ("--list --tree", "--list", "--tree"),
            ("--events --pids 3", "--events", "--pids"),
            ("--top --kill web", "--top", "--kill"),
            ("--delay 3s --list", "--delay", "--top"),
            ("--cgroup /a --target web --kill", "--cgroup", "--target"),
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
            ("--show 0", "4242"),
            ("--show web --json", "options come before"),
            ("--show web other", "no 'other'"),
            ("--cgroup /a --freeze web", "no 'web'"),
            ("--freeze", "the NAME of a container"),
            ("--kill --cgroup ..", "/box/web"),
            ("--move 3", "--cgroup PATH"),
            ("--target web true", "-g"),
            ("--memory 1M --name a/b true", "without /"),
            ("-g memory true", "CONTROLLERS:PATH"),
            ("--memory 1M", "a command is missing"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(valid), "{line}: {error}");
        }
    }
}
