//! Tests of the way from a command line to a plan.

use std::ffi::OsString;

use plumbing::process::startup::Parsed;

use super::*;

fn action(line: &str) -> Result<Action, String> {
    let argv = std::iter::once("netns-rs").chain(line.split(' ').filter(|word| !word.is_empty()));
    match Plan::parse(argv.map(OsString::from).collect()) {
        Ok(Parsed::Plan(plan)) => Ok(plan.action),
        Ok(Parsed::Text(text)) => Err(text),
        Err(fault) => Err(fault.to_string()),
    }
}

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

#[test]
fn the_command_keeps_its_own_words() {
    let (command, relays) = (words("sh -c true --new -- x"), Relays::default());
    let expected = Action::RunInNew { connection: None, relays, dns: None, command };
    assert_eq!(action("exec --new -- sh -c true --new -- x"), Ok(expected));
    let name = Name::parse("web".as_ref()).unwrap();
    let expected = Action::RunIn { name, etc: false, command: words("ip -j link") };
    assert_eq!(action("exec web -- ip -j link").as_ref(), Ok(&expected));
    assert_eq!(action("exec web ip -j link").as_ref(), Ok(&expected));
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (line, said) in [
        ("exec", "exec needs --new"),
        ("exec --new", "a command is missing"),
        ("exec web", "a command is missing"),
        ("exec a/b -- true", "not a name"),
        ("exec --new --address 10.0.0.2/24 -- true", "--bridge"),
        ("exec --bridge b --address 10.0.0.2/24 web true", "--new"),
        ("exec --new --bridge b -- true", "--address"),
        ("exec --new --bridge b --address 10.0.0.2 -- true", "10.88.0.2/24"),
        ("exec --new --bridge b --address 10.0.0.2/24 --nat -- true", "--gateway"),
        ("exec --new --bridge sixteen-letters-x --address 10.0.0.2/24 -- true", "1 to 15"),
        ("exec --new --publish 80 -- true", "--publish"),
        ("exec --new --publish 80:80/udp -- true", "UDP needs --bridge"),
        ("exec --new --publish 80:80 --publish 80:81 -- true", "published twice"),
        ("exec --new --bridge b --address 10.0.0.2/24 --publish 80:80 -- true", "needs --nat"),
        ("exec --new --reach a:1=2 --reach b:2 -- true", "port 2 inside is given twice"),
        ("exec --new --reach 80 -- true", "HOST:PORT"),
        ("exec --reach a:1 web true", "--new"),
        ("connect --bridge b --address 10.0.0.2/24", "--pipe"),
        ("connect web --pipe --bridge b --address 10.0.0.2/24", "--pipe"),
        ("exec --new --bridge b --address auto --address auto -- true", "one address"),
        ("connect --pipe", "--bridge"),
        ("show --pipe web", "--pipe"),
        ("add a/b", "without /"),
        ("frobnicate", "frobnicate"),
    ] {
        let fault = action(line).unwrap_err();
        assert!(fault.contains(said) && !fault.contains('\n'), "{line}: {fault}");
    }
}

#[test]
fn without_a_subcommand_the_names_are_listed() {
    assert_eq!(action(""), Ok(Action::List { json: false }));
    assert_eq!(action("list --json"), Ok(Action::List { json: true }));
    assert!(action("--explain exec --new -- true").is_ok() && action("exec --new --explain -- true").is_ok());
}
