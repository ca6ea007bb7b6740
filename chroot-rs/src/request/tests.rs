//! Tests which plan a command line gives, and which command lines are refused.

use std::path::Path;

use plumbing::process::startup::Parsed;

use super::*;

fn plan(words: &[&str]) -> Result<Action, Fault> {
    let argv = ["chroot-rs"].iter().chain(words).map(OsString::from).collect();
    match Plan::parse(argv)? {
        Parsed::Plan(plan) => Ok(plan.action),
        Parsed::Text(text) => panic!("{text}"),
    }
}

fn chroot(words: &[&str]) -> Chroot {
    match plan(words) {
        Ok(Action::Chroot(chroot)) => *chroot,
        other => panic!("{words:?} is a plain chroot, not {other:?}"),
    }
}

fn container(words: &[&str]) -> Container {
    match plan(words) {
        Ok(Action::Container(container)) => container,
        other => panic!("{words:?} is a container, not {other:?}"),
    }
}

fn source(root: &Unread) -> Option<&Source> {
    match &root.by {
        UnreadBy::Options(options) => Some(&options.source),
        UnreadBy::Bundle(..) => None,
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
        assert_eq!(container(words).leave, leave, "{words:?}");
    }
    for words in [&["/new"][..], &["--no-pivot", "/new"]] {
        assert!(!chroot(words).skip_chdir, "{words:?}");
    }
}

#[test]
fn options_end_at_the_new_root() {
    let chroot = chroot(&["--userspec=web", "/new", "ls", "--std", "--", "x"]);
    assert_eq!(chroot.directory, PathBuf::from("/new"));
    assert_eq!(chroot.command.words, ["ls", "--std", "--", "x"].map(OsString::from));
}

#[test]
fn a_double_dash_may_precede_the_command() {
    assert_eq!(container(&["--std", "/new", "--", "ls"]).command.words, ["ls"]);
    let host = container(&["--std", "--host-root", "--", "ls"]);
    assert_eq!((source(&host.root), host.command.words), (Some(&Source::Host), vec!["ls".into()]));
}

#[test]
fn a_bundle_takes_no_new_root() {
    let container = container(&["--oci", "/bundle", "--bind", "/a:/b", "--exec-fifo", "/f", "--", "ls"]);
    assert!(
        matches!(container.root.by, UnreadBy::Bundle(files) if files.directory == Path::new("/bundle") && files.config.is_none())
    );
    assert_eq!((container.root.mounts.len(), container.command.words), (1, vec!["ls".into()]));
    assert_eq!(container.gates.fifo, Some("/f".into()));
}

#[test]
fn a_stage_makes_the_root_of_a_held_container() {
    let Ok(Action::Held(held)) = plan(&["--pipe", "--keep-on-error", "--std", "/new"]) else { panic!("a stage") };
    assert!(held.keep_on_error && source(&held.root) == Some(&Source::Directory("/new".into())));
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
        &["--audit", "--oci", "/bundle"],
        &["--audit", "--keep-root"],
        &["--audit", "--block-fd", "0"],
        &["--audit", "--exec-fifo", "/f"],
    ] {
        assert!(plan(words).is_err(), "{words:?}");
    }
}

#[test]
fn the_last_of_two_userspecs_wins_and_abbreviated_options_are_accepted() {
    let chroot = chroot(&["--user=a", "--userspec=b:c", "/new"]);
    assert_eq!(chroot.identity.user.as_deref(), Some("b"));
    assert_eq!(chroot.identity.group.as_deref(), Some("c"));
}
