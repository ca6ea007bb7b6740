//! Which options need others, and which exclude others. Pure.

use plumbing::Fault;

use crate::limit_set::Limits;
use crate::options::Options;
use crate::request::{supervision, verbs};

/// Checks which options need others, and which exclude others. The errors name both; clap's do not, since it drops a
/// requirement that conflicts with a given argument, and does not name the option that has the requirement.
pub(crate) fn require(options: &Options, limits: &Limits) -> Result<(), Fault> {
    exclude(options, limits)?;
    needs(options, limits)
}

fn exclude(options: &Options, limits: &Limits) -> Result<(), Fault> {
    if let [one, other, ..] = options.views.given()[..] {
        return Err(Fault::usage(format!("{one} cannot be used with {other}")));
    }
    let view = options.views.given().first().map(|view| (*view).to_owned());
    let limit = limits.first().map(|option| format!("--{option}"));
    let given = |option: &'static str, is_given: bool| is_given.then(|| option.to_owned());
    let (show, gc, pipe) = (given("--show", options.show), given("--gc", options.gc), given("--pipe", options.pipe));
    let why = given("--why", options.why);
    let verb = verbs(options).first().map(|verb| (*verb).to_owned());
    let target = given("--target", options.target.is_some());
    let kept = given("--keep-on-error", options.keep_on_error);
    let cgroup = given("--cgroup", options.cgroup.is_some());
    let group = given("-g", !options.group.is_empty());
    let json = given("--json", options.json);
    let supervised = supervision(options).map(str::to_owned);
    let command = given("COMMAND", !options.command.is_empty());
    for (one, others) in [
        (&gc, &[&limit, &group, &pipe, &show, &supervised, &command][..]),
        (&supervised, &[&pipe, &show, &group]),
        (&given("--leaf", options.leaf), &[&pipe, &cgroup, &target]),
        (&cgroup, &[&target, &gc, &group, &pipe, &supervised, &given("--name", options.name.is_some())]),
        (&target, &[&gc, &group, &pipe, &supervised, &given("--name", options.name.is_some())]),
        (&view, &[&verb, &limit, &show, &why, &gc, &group, &pipe, &supervised, &kept]),
        (&verb, &[&limit, &show, &why, &gc, &group, &supervised, &json, &kept]),
        (&why, &[&limit, &group, &show, &gc, &supervised, &kept]),
        (&show, &[&limit, &group, &kept]),
        (&group, &[&limit]),
        (&pipe, &[&command, &json]),
        (&given("--svg", options.views.svg), &[&json]),
    ] {
        if let (Some(one), Some(other)) = (one, others.iter().find_map(|other| other.as_ref())) {
            return Err(Fault::usage(format!("{one} cannot be used with {other}")));
        }
    }
    Ok(())
}

fn needs(options: &Options, limits: &Limits) -> Result<(), Fault> {
    let has_end = !verbs(options).is_empty() || options.views.events || options.views.wait_until.is_some();
    let has_group = limits.first().is_some() || supervision(options).is_some();
    for (given, option, is_met, needed) in [
        (options.keep_on_error, "--keep-on-error", options.pipe, "--pipe"),
        (
            options.json,
            "--json",
            options.show
                || options.why
                || options.gc
                || options.report.is_some()
                || options.views.given().iter().any(|view| *view != "--wait-until"),
            "--show, --why, --report, --list, --tree, --top or --gc",
        ),
        (options.timeout.is_some(), "--timeout", has_end, "a verb such as --freeze or --kill, or --events"),
        (options.views.svg, "--svg", options.views.tree, "--tree"),
        (options.views.batch, "--batch", options.views.top, "--top"),
        (options.views.delay.is_some(), "--delay", options.views.top, "--top"),
        (options.views.iterations.is_some(), "--iterations", options.views.top, "--top"),
        (
            options.grace.is_some(),
            "--grace",
            options.max_time.is_some() || options.oom_guard,
            "--max-time or --oom-guard",
        ),
        (options.leaf, "--leaf", has_group, "a limit such as --memory or --pids, or --report"),
        (options.name.is_some(), "--name", has_group, "a limit such as --memory, --swap, --pids or --cpus"),
    ] {
        if given && !is_met {
            return Err(Fault::usage(format!("{option} needs {needed}")));
        }
    }
    Ok(())
}
