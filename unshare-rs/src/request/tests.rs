//! Implied options, and contradictions.

use std::ffi::OsString;

use nix::sys::signal::Signal;
use plumbing::process::startup::Parsed;

use super::*;
use crate::mapping::Id;

fn parse(words: &[&str]) -> Result<Plan, Fault> {
    let argv = std::iter::once(&"unshare-rs").chain(words).map(OsString::from).collect();
    match Plan::parse(argv)? {
        Parsed::Plan(plan) => Ok(plan),
        Parsed::Text(text) => panic!("a plan, not {text}"),
    }
}

fn run_of(words: &[&str]) -> Box<Run> {
    match parse(words) {
        Ok(Plan { action: Action::Run(run), .. }) => run,
        other => panic!("a run, not {other:?}"),
    }
}

#[test]
fn implied_namespaces_are_in_the_plan() {
    let run = run_of(&["-r", "--mount-proc", "--kill-child", "true"]);
    assert_eq!(run.namespaces.kinds.names().to_string(), "user and mount");
    assert_eq!((run.fork, run.kill_child), (Some(Forward::Nothing), Some(Signal::SIGKILL)));
    assert_eq!(run.mount_proc, Some(PathBuf::from("/proc")));
    for words in [
        &["--map-user", "0"][..],
        &["--map-groups", "auto"],
        &["--map-auto"],
        &["--map-subids"],
        &["--owner", "1:1"],
        &["-c"],
    ] {
        assert_eq!(run_of(words).namespaces.kinds.names().to_string(), "user", "{words:?}");
    }
    assert_eq!(run_of(&["-l", ":x"]).namespaces.kinds.names().to_string(), "user and mount");
}

#[test]
fn short_options_can_be_joined_and_only_long_ones_take_a_file() {
    let run = run_of(&["-muinpUCTfr", "--net=/run/n", "--mount=m", "true"]);
    assert_eq!(run.namespaces.kinds.iter().count(), 8);
    assert_eq!(run.persist, [(Kind::Mnt, "m".into()), (Kind::Net, "/run/n".into())]);
    assert_eq!(run.command.words, ["true"]);
    assert_eq!(run_of(&["-m", "file"]).command.words, ["file"]);
}

#[test]
fn a_repeated_option_counts_once_but_ranges_are_collected() {
    let run = run_of(&["-m", "-m", "-f", "-f", "--propagation", "slave", "--propagation=shared"]);
    assert_eq!(run.namespaces.propagation, crate::options::Propagation::Shared);
    let run = run_of(&["--map-users", "0:1:1", "--map-users", "auto", "--map-auto"]);
    assert_eq!(run.namespaces.mapping.users.ranges.len(), 3);
}

#[test]
fn the_last_option_that_maps_the_callers_id_counts() {
    let ids = |words: &[&str]| {
        let mapping = run_of(words).namespaces.mapping;
        (mapping.users.single, mapping.groups.single)
    };
    let (web, root) = (Some(Id::Name("web".to_owned())), Some(Id::Number(0)));
    assert_eq!(ids(&["--map-user", "web", "-r"]), (root.clone(), root.clone()));
    assert_eq!(ids(&["-r", "--map-user=web", "--", "-c"]), (web.clone(), root.clone()));
    assert_eq!(ids(&["-r", "-c"]), (Some(Id::Own), Some(Id::Own)));
    assert_eq!(ids(&["-r", "-c", "-r", "--map-group", "5"]), (root, Some(Id::Number(5))));
    assert_eq!(ids(&["-U"]), (None, None));
}

#[test]
fn a_long_option_can_be_abbreviated_if_it_stays_unique() {
    assert_eq!(run_of(&["--map-root", "--cg", "--use"]).namespaces.kinds.names().to_string(), "user and cgroup");
    assert_eq!(run_of(&["--mount"]).namespaces.kinds.names().to_string(), "mount");
    assert!(parse(&["--map"]).is_err());
}

#[test]
fn signals_and_offsets_and_variables_are_read() {
    assert_eq!(run_of(&["--forward-signals"]).fork, Some(Forward::Termination));
    assert_eq!(run_of(&["--init", "--forward-signals"]).fork, Some(Forward::AllButStops));
    assert_eq!(run_of(&["-T", "--monotonic", "-5"]).offsets.monotonic, Some(-5));
    assert_eq!(run_of(&["--clear-env"]).command.variables, Some(Vec::new()));
    assert_eq!(run_of(&["--whitelist-env", "A,B"]).command.variables, Some(vec!["A".into(), "B".into()]));
    assert_eq!(run_of(&[]).command.variables, None);
}

#[test]
fn binfmt_without_a_directory_implies_a_new_proc() {
    let run = run_of(&["--mount-binfmt=/b", "-l", ":x"]);
    assert_eq!((run.mount_proc.as_deref(), run.binfmt.dir), (None, Some("/b".into())));
    let run = run_of(&["--load-interp", ":x", "--mount-proc=/p"]);
    assert_eq!((run.mount_proc, run.binfmt.dir), (Some("/p".into()), Some(binfmt::DEFAULT.into())));
}

#[test]
fn contradictions_are_usage_errors() {
    for words in [
        &["--hostname", "x", "true"][..],
        &["--domainname", "x"],
        &["--monotonic", "1"],
        &["--boottime", "1"],
        &["--setgroups", "deny"],
        &["--setgroups", "allow", "-r"],
        &["--setgroups", "perhaps", "-U"],
        &["--hold", "--fork"],
        &["--hold", "true"],
        &["--hold", "--net=/run/n"],
        &["--hold", "--boottime", "1"],
        &["--name", "x"],
        &["--ttl", "soon", "--hold"],
        &["--kill-child=NONE", "true"],
        &["--propagation", "upwards", "true"],
        &["--pid=/run/p", "true"],
        &["--net=", "true"],
        &["--map-users", "0:0:2", "--map-users", "5:1:1"],
        &["--map-users", "0:0:0"],
        &["--owner", "root:root"],
        &["-S", "root"],
        &["--ready-fd", "-1"],
    ] {
        assert!(parse(words).is_err(), "{words:?}");
    }
    assert!(parse(&["--setgroups", "allow", "-r", "--map-groups", "auto"]).is_ok());
    assert!(parse(&["--pid=/run/p", "--fork"]).is_ok() && parse(&["--init", "--name", "x"]).is_ok());
}
