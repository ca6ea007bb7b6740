//! Entering what the options name, step by step, in the order that the kernel requires. `nsenter(1)`.
//!
//! Everything that is looked up outside is opened before the first namespace is joined, because afterwards each path
//! means something else. The surprise is our own executable: a container could write to it, so it is sealed before
//! that.

use std::borrow::Cow;
use std::ffi::OsString;

use plumbing::confinement::privilege::Process;
use plumbing::pipeline::assembly::has_mark;
use plumbing::process::environment::Environment;
use plumbing::process::namespace::Kind;
use plumbing::process::target::{Target, own_namespace_inode};
use plumbing::{Fault, Status, narrate};

use crate::enter::chroot_chdir::Directories;
use crate::enter::command::Command;
use crate::enter::credentials::{Credentials, Id};
use crate::enter::environ::{Surroundings, Theirs};
use crate::enter::fork::Entry;
use crate::enter::like_target::{Like, Unreadable};
use crate::enter::pid_or_name::{OpenTarget, PidOrName};
use crate::enter::setns::{OpenNamespaces, Selection, Source};
use crate::enter::{fork, join_cgroup, like_target};
use crate::options::{CommandAs, Namespaces};
use crate::{find, plan};

/// The request that the options make.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entering {
    target: Option<PidOrName>,
    asked: Selection,
    directories: Directories,
    credentials: Credentials,
    /// Whether the command gets the target's environment.
    environment: bool,
    join_cgroup: bool,
    follow_context: bool,
    like_target: Option<Unreadable>,
    pub(crate) command: Command,
}

impl Entering {
    /// Builds the request from the options; refuses contradictions.
    pub(crate) fn of(
        targets: Vec<PidOrName>,
        namespaces: Namespaces,
        how: CommandAs,
        words: Vec<OsString>,
    ) -> Result<Entering, Fault> {
        if targets.len() > 1 {
            return Err(Fault::usage("option '--target' can be given only once"));
        }
        let (all, user_parent) = (namespaces.all, namespaces.user_parent);
        let like_target = how.like_target();
        let entering = Entering {
            target: targets.into_iter().next(),
            asked: Selection { all, sources: namespaces.sources(), user_parent },
            directories: Directories { root: how.root, wd: how.wd, wdns: how.wdns },
            credentials: Credentials {
                uid: how.setuid,
                gid: how.setgid,
                preserve: how.preserve_credentials,
                keep_capabilities: how.keep_caps,
            },
            environment: how.env,
            join_cgroup: how.join_cgroup,
            follow_context: how.follow_context,
            like_target,
            command: Command {
                words,
                preserve_fds: how.preserve_fds,
                no_pty: how.no_pty,
                no_fork: how.no_fork,
                sealed_copy: how.sealed_copy,
            },
        };
        entering.check().map(|()| entering)
    }

    fn check(&self) -> Result<(), Fault> {
        let needs = |what: &str| Err(Fault::usage(format!("{what} needs '--target PID'")));
        let enters = self.asked.all || !self.asked.sources.is_empty();
        if let Some(text) = self.asked.sources.iter().find_map(|(_, source)| namespace_id(source)) {
            return Err(Fault::usage(format!(
                "'{text}' is not a valid id; for a file whose name begins with a colon, write './{text}'"
            )));
        }
        if self.target.is_none() {
            if let Some((kind, _)) = self.asked.sources.iter().find(|(_, source)| *source == Source::Target) {
                return needs(&format!("option '--{}' without a FILE", kind.option()));
            }
            if self.directories.need_target() {
                return needs("option '--root', '--wd' or '--wdns' without a DIR");
            }
            if [self.credentials.uid, self.credentials.gid].contains(&Some(Id::Follow)) {
                return needs("'follow'");
            }
        }
        if self.asked.user_parent && !enters {
            return Err(Fault::usage("option '--user-parent' needs a namespace that has an owner: --user, --net …"));
        }
        if self.target.is_some() && !enters && self.is_about_namespaces_only() {
            return Err(Fault::usage("option '--target' needs the namespaces to enter: --all, or --mount, --net …"));
        }
        Ok(())
    }

    /// Reports whether the options request nothing but to run the command.
    pub(crate) fn is_nothing(&self) -> bool {
        self.target.is_none() && self.asked.sources.is_empty() && self.is_about_namespaces_only()
    }

    fn is_about_namespaces_only(&self) -> bool {
        let credentials = Credentials { keep_capabilities: false, preserve: false, ..self.credentials.clone() };
        self.directories == Directories::default()
            && credentials == Credentials::default()
            && !(self.environment || self.join_cgroup || self.follow_context || self.like_target.is_some())
    }

    /// Returns a process that shows how the target is confined: a command in it, or the target itself. An init of
    /// `--hold` is no example, because it confines itself in its own way.
    fn example<'a>(
        &self,
        target: Option<&'a Target>,
        command: Option<&'a Target>,
    ) -> Result<Option<&'a Target>, Fault> {
        match (target, command) {
            (Some(target), None) if has_mark(target).unwrap_or(false) => match self.like_target {
                Some(_) => Err(no_command(target)),
                None => Ok(None),
            },
            _ => Ok(command.or(target)),
        }
    }

    /// Prints a warning if the container was named and its root has fewer rights than the command will have here. For a
    /// pid, like nsenter(1), it prints none.
    fn remark_on_rights(&self, namespaces: &OpenNamespaces<'_>, example: &Target) -> Result<(), Fault> {
        let Some(PidOrName::Named(reference)) = &self.target else { return Ok(()) };
        let more = match namespaces.kinds().contains(Kind::Mnt) {
            true => like_target::more_than(example)?,
            false => Vec::new(),
        };
        if !more.is_empty() {
            narrate::remark(format_args!(
                "the command has more rights than {} ({}); use --like-target to give it the same rights",
                reference.shown(),
                more.join(", ")
            ));
        }
        Ok(())
    }

    /// Opens the target, and returns what is requested of it. A named network namespace has no process, but a file.
    fn open(&self) -> Result<(Option<Target>, Cow<'_, Selection>), Fault> {
        let file = match self.target.as_ref().map(PidOrName::open).transpose()? {
            None => return Ok((None, Cow::Borrowed(&self.asked))),
            Some(OpenTarget::Process(target)) => return Ok((Some(target), Cow::Borrowed(&self.asked))),
            Some(OpenTarget::Network(file)) => file,
        };
        let (of_target, mut sources): (Vec<_>, Vec<_>) =
            self.asked.sources.iter().cloned().partition(|(_, source)| !matches!(source, Source::File(_)));
        let needs_process = self.directories.need_target()
            || self.environment
            || self.join_cgroup
            || self.follow_context
            || self.like_target.is_some()
            || [self.credentials.uid, self.credentials.gid].contains(&Some(Id::Follow))
            || of_target.iter().any(|asked| *asked != (Kind::Net, Source::Target));
        if needs_process {
            return Err(Fault::new(format!(
                "cannot use more than the network of {}: it is a named network namespace, which has no process",
                file.display()
            )));
        }
        if self.asked.all || !of_target.is_empty() {
            sources.push((Kind::Net, Source::File(file)));
        }
        Ok((None, Cow::Owned(Selection { all: false, sources, user_parent: self.asked.user_parent })))
    }

    /// Enters, and runs the command.
    pub(crate) fn apply(&self) -> Result<Status, Fault> {
        let (target, asked) = self.open()?;
        let namespaces = asked.open(target.as_ref())?;
        if namespaces.cross_border() {
            // Not before it is known to be necessary. If a sealed copy is executed, the copy opens all this again.
            plan::seal(&self.command)?;
        }
        let is_asked = self.like_target.is_some() || matches!(self.target, Some(PidOrName::Named(_)));
        let asked_of = target.as_ref().filter(|_| is_asked);
        let command = match self.like_target {
            Some(unreadable) => asked_of.map(|init| model(init, unreadable)).transpose()?.flatten(),
            None => asked_of.and_then(find::command_of),
        };
        let example = self.example(asked_of, command.as_ref())?;
        let like = match (example, self.like_target) {
            (Some(example), Some(unreadable)) => Some(like(example, &namespaces, unreadable)?),
            (Some(example), None) => {
                self.remark_on_rights(&namespaces, example)?;
                None
            }
            _ => None,
        };
        let groups = match (&target, self.join_cgroup || self.like_target.is_some()) {
            (Some(target), true) => join_cgroup::of_target(target)?,
            _ => None,
        };
        let environment = match (&target, self.environment) {
            (Some(target), true) => {
                let enters = |kind| namespaces.kinds().contains(kind);
                let expects_host = !enters(Kind::Mnt) && self.directories.root.is_none();
                Surroundings::OfTarget(Theirs::of(target, enters(Kind::User), expects_host)?)
            }
            _ => Surroundings::Known(Environment::inherited()),
        };
        let stays = namespaces.kinds().contains(Kind::Pid) && !self.command.no_fork;
        let mut entry = Entry {
            target: target.as_ref(),
            namespaces,
            groups,
            follow_context: self.follow_context,
            directories: self.directories.open(target.as_ref())?,
            credentials: self.credentials.clone(),
            like,
            process: Process::default(),
            environment,
            command: &self.command,
            stdin: None,
        };
        match stays || (entry.needs_terminal() && !self.command.no_fork) {
            true => fork::enter(&mut entry, || Ok(())),
            false => fork::become_command(&entry),
        }
    }
}

/// Returns the command of a held container whose rights the command gets.
fn model(init: &Target, unreadable: Unreadable) -> Result<Option<Target>, Fault> {
    match find::model_of(init) {
        Err(fault) if unreadable == Unreadable::Remarked => {
            let command = find::command_of(init);
            if let Some(command) = &command {
                narrate::remark(format!("{fault}; the command is made like process {}", command.pid()));
            }
            Ok(command)
        }
        model => model,
    }
}

fn no_command(init: &Target) -> Fault {
    Fault::new(format!(
        "cannot make the command like process {}: it is the init of a held container, and no command is known to run \
         in it",
        init.pid()
    ))
}

fn like<'a>(target: &'a Target, namespaces: &OpenNamespaces<'_>, unreadable: Unreadable) -> Result<Like<'a>, Fault> {
    let is_foreign = target.namespace_inode(Kind::User)? != own_namespace_inode(Kind::User);
    if is_foreign && !namespaces.kinds().contains(Kind::User) {
        return Err(Fault::new(format!(
            "cannot make the command like process {}: its capabilities apply only in its user namespace; enter that \
             with --user or --all",
            target.pid()
        )));
    }
    Like::of(target, unreadable)
}

/// Returns the text of a source that begins with a colon but has no number.
fn namespace_id(source: &Source) -> Option<&str> {
    match source {
        Source::File(path) => path.to_str().filter(|text| text.starts_with(':')),
        _ => None,
    }
}
