//! From argv to a plan: the grammars, the defaults, and the contradictions between options. `nsenter(1)`, `lsns(8)`.
//!
//! The surprise: there are three grammars, because options of lsns and nsenter have the same letters. `--list` and
//! `--list --containers` must come first, and all words after them are read by their own grammar. Called by the name
//! `lsns`, through a link, the tool reads the line as lsns does.

use std::ffi::OsString;
use std::path::Path;

use plumbing::Fault;
use plumbing::command_line::options as command_line;
use plumbing::process::namespace::Kind;
use plumbing::process::startup::Parsed;

use crate::enter::chroot_chdir::Directories;
use crate::enter::command::{Command, Handover};
use crate::enter::credentials::{Credentials, Id};
use crate::enter::setns::{Selection, Source};
use crate::enter::toolbox::Tools;
use crate::enter::{Enter, LastStage};
use crate::find::{Reference, Runtime};
use crate::inspect::Subject;
use crate::list::{Listing, containers};
use crate::options::{CommandOptions, InspectionOptions, NamespaceOptions, Options};
use crate::plan::{Action, Plan};
use crate::{attached_values, list};

/// Parses argv; pure.
pub(crate) fn plan(mut argv: Vec<OsString>) -> Result<Parsed<Plan>, Fault> {
    match &argv[..] {
        [tool, ..] if Path::new(tool).file_name().is_some_and(|name| name == "lsns") => {
            let parsed = list::options::parse_as_lsns(argv).map_err(list::with_status_of_lsns)?;
            parsed.and_then(|options| of_list(options, Action::Lsns))
        }
        [_, list, containers, ..] if list == "--list" && containers == "--containers" => {
            argv.drain(1..=2);
            command_line::parse_by_clap::<containers::Options>(argv)?.and_then(of_containers)
        }
        [_, list, ..] if list == "--list" => {
            argv.remove(1);
            list::options::parse(argv)?.and_then(|options| of_list(options, Action::List))
        }
        _ => {
            let argv = attached_values::spell_out(argv, crate::options::command);
            command_line::parse::<Options>(argv)?.and_then(of_options)
        }
    }
}

fn of_list(options: list::options::Options, action: fn(Box<Listing>) -> Action) -> Result<Plan, Fault> {
    Ok(Plan { narration: options.narration, action: action(Box::new(Listing::of(options))) })
}

fn of_containers(options: containers::Options) -> Result<Plan, Fault> {
    Ok(Plan { narration: options.narration, action: Action::ListContainers(options) })
}

fn of_options(options: Options) -> Result<Plan, Fault> {
    if options.list {
        return Err(Fault::usage("--list has its own options and must be the first option"));
    }
    let is_shell = options.shell.is_some();
    let Options { find, pipe, rm, keep_on_error, stdin, narration, json, .. } = options;
    if let Some(name) = find {
        return Ok(Plan { narration, action: find_by_name(name.of_runtime(options.runtime)?, options.stopped, json)? });
    }
    let is_asked = options.copying.is_given() || options.inspection.why.is_some();
    if options.runtime.is_some() && options.target.is_empty() && !is_shell && !is_asked {
        return Err(Fault::usage(
            "option '--type' needs '--target NAME', '--shell NAME', '--find NAME', '--copy' or '--why NAME'",
        ));
    }
    let copy = options.copying.read(options.runtime)?;
    let targets = options.target.into_iter().chain(options.shell).map(|target| target.of_runtime(options.runtime));
    let targets = targets.collect::<Result<Vec<_>, _>>()?;
    if targets.len() > 1 {
        return Err(Fault::usage("option '--target' can be given only once"));
    }
    let enter = Enter::of(options.namespaces, options.command_options, options.command);
    let enter = Enter { target: targets.into_iter().next(), ..enter };
    let enter = if is_shell { enter.with_a_shell() } else { enter };
    enter.check()?;
    if enter.command.handover.is_needed() && !pipe && enter.is_nothing() {
        return Err(Fault::usage(
            "options '--detach', '--pid-file' and '--console-socket' need a container: --target, --pipe or a FILE",
        ));
    }
    if let Some(action) = options.inspection.action(pipe, json, options.runtime)?.or(copy.map(Action::Copy)) {
        if enter.is_nothing() && !rm && !keep_on_error && stdin.is_none() {
            return Ok(Plan { narration, action });
        }
        return Err(Fault::usage(
            "--inspect, --diff, --why and --copy take no command and cannot be combined with options for entering",
        ));
    }
    let action = match (pipe, enter.is_nothing()) {
        (true, true) => Action::EnterRecord(LastStage { remove: rm, keep_on_error, stdin, command: enter.command }),
        (true, false) => {
            return Err(Fault::usage(
                "--pipe enters all namespaces; to choose some of them, use --target PID or a FILE",
            ));
        }
        (false, true) => Action::Stay(enter.command),
        (false, false) => Action::Enter(Box::new(enter)),
    };
    Ok(Plan { narration, action })
}

fn find_by_name(name: Reference, is_stopped: bool, json: bool) -> Result<Action, Fault> {
    match (is_stopped, json) {
        (true, json) => Ok(Action::FindStopped { name, json }),
        (false, true) => Ok(Action::Find(name)),
        (false, false) => Err(Fault::usage("option '--find' needs '--json', or '--stopped'")),
    }
}

impl Enter {
    /// Collects the options about entering, without a target.
    fn of(namespaces: NamespaceOptions, options: CommandOptions, words: Vec<OsString>) -> Enter {
        let (all, user_parent) = (namespaces.all, namespaces.user_parent);
        let like_target = options.like_target();
        Enter {
            target: None,
            selection: Selection { all, sources: namespaces.sources(), user_parent },
            directories: Directories { root: options.root, wd: options.wd, wdns: options.wdns },
            credentials: Credentials {
                uid: options.setuid,
                gid: options.setgid,
                preserve: options.preserve_credentials,
                keep_capabilities: options.keep_caps,
            },
            environment: options.env,
            join_cgroup: options.join_cgroup,
            follow_context: options.follow_context,
            like_target,
            tools: options.tools.map(|directory| Tools { directory, only_without_shell: false }),
            command: Command {
                words,
                preserve_fds: options.preserve_fds,
                no_pty: options.no_pty,
                no_fork: options.no_fork,
                sealed_copy: options.sealed_copy,
                handover: Handover::of(options.handover),
            },
        }
    }

    /// Refuses contradictions.
    fn check(&self) -> Result<(), Fault> {
        let enters = self.selection.all || !self.selection.sources.is_empty();
        if let Some(text) = self.selection.sources.iter().find_map(|(_, source)| bad_id(source)) {
            return Err(Fault::usage(format!(
                "'{text}' is not a valid id; for a file whose name begins with a colon, write './{text}'"
            )));
        }
        if self.target.is_none() {
            self.check_without_target()?;
        }
        let changes_root = self.selection.all || self.directories.root.is_some();
        if self.tools.is_some() && !changes_root && !self.selection.sources.iter().any(|(kind, _)| *kind == Kind::Mnt) {
            return Err(Fault::usage("option '--tools' needs the root that has no programs: --all, --mount or --root"));
        }
        if self.selection.user_parent && !enters {
            return Err(Fault::usage("option '--user-parent' needs a namespace that has an owner: --user, --net …"));
        }
        if self.target.is_some() && !enters && self.is_about_namespaces_only() {
            return Err(Fault::usage("option '--target' needs the namespaces to enter: --all, or --mount, --net …"));
        }
        Ok(())
    }

    fn check_without_target(&self) -> Result<(), Fault> {
        let needs_target = |what: &str| Err(Fault::usage(format!("{what} needs '--target PID'")));
        if let Some((kind, _)) = self.selection.sources.iter().find(|(_, source)| *source == Source::Target) {
            return needs_target(&format!("option '--{}' without a FILE", kind.option()));
        }
        if self.directories.need_target() {
            return needs_target("option '--root', '--wd' or '--wdns' without a DIR");
        }
        if [self.credentials.uid, self.credentials.gid].contains(&Some(Id::Follow)) {
            return needs_target("'follow'");
        }
        Ok(())
    }

    /// Reports whether the options request nothing but to run the command.
    fn is_nothing(&self) -> bool {
        self.target.is_none() && self.selection.sources.is_empty() && self.is_about_namespaces_only()
    }

    fn is_about_namespaces_only(&self) -> bool {
        let credentials = Credentials { keep_capabilities: false, preserve: false, ..self.credentials.clone() };
        self.directories == Directories::default()
            && credentials == Credentials::default()
            && !(self.environment || self.join_cgroup || self.follow_context || self.like_target.is_some())
    }
}

/// Returns the text of a source that begins with a colon but has no number.
fn bad_id(source: &Source) -> Option<&str> {
    match source {
        Source::File(path) => path.to_str().filter(|text| text.starts_with(':')),
        _ => None,
    }
}

impl InspectionOptions {
    fn action(self, pipe: bool, json: bool, runtime: Option<Runtime>) -> Result<Option<Action>, Fault> {
        if let Some(subject) = self.why {
            return Ok(Some(Action::Why { subject: subject.of_runtime(runtime)?, json }));
        }
        if let Some([one, other]) = self.diff.and_then(|words| <[OsString; 2]>::try_from(words).ok()) {
            return Ok(Some(Action::Diff { subjects: [Subject::read(&one)?, Subject::read(&other)?], json }));
        }
        match (self.inspect, pipe) {
            (None, _) => Ok(None),
            (Some(None), true) => Ok(Some(Action::InspectRecords)),
            (Some(Some(word)), false) => Ok(Some(Action::Inspect { subject: Subject::read(&word)?, json })),
            (Some(None), false) => Err(Fault::usage("--inspect needs a pid or a name, or --pipe and records on stdin")),
            (Some(Some(_)), true) => {
                Err(Fault::usage("--inspect takes no name with --pipe: the records name the containers"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Plan, Fault> {
        let argv = std::iter::once(&"nsenter-rs").chain(words).map(OsString::from).collect();
        match plan(argv)? {
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
            &["--tools", "true"],
            &["--tools", "--target", "1", "--net", "true"],
            &["--tools", "--pipe", "true"],
            &["--shell"],
            &["--shell", "web", "--target", "1"],
            &["--shell", "web", "--pipe"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_copy_takes_no_options_for_entering() {
        for words in [
            &["--copy", "web:/a"][..],
            &["--copy", "web:/a", "b", "true"],
            &["--copy", "web:/a", "b", "--target", "web", "--all"],
            &["--copy", "web:/a", "b", "--setuid", "1"],
            &["--copy", "web:/a", "b", "--inspect", "web"],
            &["--copy", "7:/a", "b", "--type", "docker"],
            &["--archive"],
            &["--why", "web", "true"],
            &["--why", "web", "--target", "web", "--all"],
            &["--why", "web", "--inspect", "web"],
            &["--stopped"],
            &["--find", "web", "--stopped", "true"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
        let words = ["--archive", "--copy", "web:/a", "b", "--type", "docker"];
        assert!(matches!(parse(&words).unwrap().action, Action::Copy(_)));
    }

    #[test]
    fn namespaces_and_identities_need_no_target() {
        for words in
            [&["--net=/x"][..], &["-n/x", "-F"], &["-S", "5"], &["-r/usr"], &["-W/usr"], &["-u=x", "--user-parent"]]
        {
            assert!(matches!(parse(words).unwrap().action, Action::Enter(_)), "{words:?}");
        }
    }

    #[test]
    fn a_shell_is_short_for_the_options_that_a_person_would_type() {
        let entry = |words: &[&str]| match parse(words).unwrap().action {
            Action::Enter(enter) => *enter,
            action => panic!("{action:?}"),
        };
        let short = entry(&["--shell", "web"]);
        let tools = Some(Tools { directory: None, only_without_shell: true });
        assert_eq!(short, Enter { tools, ..entry(&["-t", "web", "-a", "-c", "-e", "-r", "-w"]) });
        let long = entry(&["--shell", "web", "--wdns=/x", "--tools=/y", "ls"]);
        let same = ["-t", "web", "-a", "-c", "-e", "-r", "-W/x", "--tools=/y", "ls"];
        assert_eq!(long, entry(&same));
    }

    #[test]
    fn without_a_target_nothing_is_entered() {
        let plan = parse(&["--", "true"]).unwrap();
        assert!(matches!(plan.action, Action::Stay(_)));
    }
}
