//! Tests which plan a command line gives, and which command lines are refused.

use super::*;

fn plan(words: &[&str]) -> Result<Plan, Fault> {
    let argv = ["chroot-rs"].iter().chain(words).map(OsString::from).collect();
    match Plan::parse(argv)? {
        Parsed::Plan(plan) => Ok(plan),
        Parsed::Text(text) => panic!("{text}"),
    }
}

#[test]
fn a_run_with_its_own_mount_namespace_pivots_by_default() {
    for (words, leave) in [
        (&["--std", "/new"][..], Leave::ByPivot),
        (&["--pivot", "/new"], Leave::ByPivot),
        (&["--read-only", "/new"], Leave::ByPivot),
        (&["--tmpfs-root"], Leave::ByPivot),
        (&["--tmpfs", "/t", "--no-pivot", "/new"], Leave::ByChroot),
    ] {
        assert_eq!(plan(words).unwrap().form, Form::Container { preserve_fds: 0, leave }, "{words:?}");
    }
    for words in [&["/new"][..], &["--no-pivot", "/new"]] {
        assert_eq!(plan(words).unwrap().form, Form::Plain { skip_chdir: false }, "{words:?}");
    }
}

#[test]
fn options_end_at_the_new_root() {
    let plan = plan(&["--userspec=web", "/new", "ls", "--std", "--", "x"]).unwrap();
    assert_eq!(plan.source, Some(Source::Directory("/new".into())));
    assert_eq!(plan.form, Form::Plain { skip_chdir: false });
    assert_eq!(plan.command, ["ls", "--std", "--", "x"].map(OsString::from));
}

#[test]
fn a_double_dash_may_precede_the_command() {
    assert_eq!(plan(&["--std", "/new", "--", "ls"]).unwrap().command, ["ls"]);
    let host = plan(&["--std", "--host-root", "--", "ls"]).unwrap();
    assert_eq!((host.source, host.command), (Some(Source::Host), vec!["ls".into()]));
}

#[test]
fn a_bundle_takes_no_new_root() {
    let plan = plan(&["--oci", "/bundle", "--bind", "/a:/b", "--exec-fifo", "/f", "--", "ls"]).unwrap();
    assert_eq!((plan.source, plan.bundle, plan.command), (None, Some("/bundle".into()), vec!["ls".into()]));
    assert_eq!(plan.gates.fifo, Some("/f".into()));
}

#[test]
fn contradicting_options_are_refused() {
    for words in [
        &[][..],
        &["--std"],
        &["--host-root", "--", "ls"],
        &["--pipe", "/new"],
        &["--pipe", "--std", "/new", "--", "ls"],
        &["--keep-on-error", "--std", "/new"],
        &["--std", "--skip-chdir", "/"],
        &["--capabilities", "fly", "/new"],
        &["--groups", ",", "/new"],
        &["--group", "1,2", "/new"],
        &["--userspec", "a:b", "--group", "c", "/new"],
        &["--oci", "/bundle", "--group", "c"],
        &["--audit", "--group", "c"],
        &["--oci", "/bundle", "--std"],
        &["--oci", "/bundle", "--capabilities", "none"],
        &["--oci", "/bundle", "--tmpfs-root"],
        &["--pipe", "--bind", "/a:/b", "/new"],
        &["--exec-fifo", "/f", "--std", "--pipe", "/new"],
        &["--no-pivot", "--pivot", "/new"],
        &["--no-pivot", "--std", "--pipe", "/new"],
        &["--no-pivot", "--audit"],
    ] {
        assert!(plan(words).is_err(), "{words:?}");
    }
}

#[test]
fn the_last_of_two_userspecs_wins_and_abbreviated_options_are_accepted() {
    let plan = plan(&["--user=a", "--userspec=b:c", "/new"]).unwrap();
    assert_eq!(plan.identity.user.as_deref(), Some("b"));
    assert_eq!(plan.identity.group.as_deref(), Some("c"));
}
