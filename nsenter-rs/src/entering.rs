//! Entering what the options name, step by step, in the order in which the kernel wants it. `nsenter(1)`.
//!
//! All that is meant as it is outside is opened before the first namespace is joined: afterwards each path means
//! something else. The surprise is our own executable, which a container could reach; so it is sealed before that, too.

use std::borrow::Cow;
use std::ffi::OsString;

use plumbing::assembly::has_mark;
use plumbing::environment::Environment;
use plumbing::namespace::Kind;
use plumbing::privilege::Process;
use plumbing::target::{Target, own_namespace_inode};
use plumbing::{Fault, Status, narrate};

use crate::address::{Address, Opened};
use crate::command::Command;
use crate::credentials::{Credentials, Id};
use crate::directory::Directories;
use crate::enter::{self, Entry, Surroundings};
use crate::entrance::{Asked, Entrances, Source};
use crate::environ::Theirs;
use crate::like_target::{Like, Untold};
use crate::options::{CommandAs, Namespaces};
use crate::{find, like_target, membership, plan};

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entering {
    target: Option<Address>,
    asked: Asked,
    directories: Directories,
    credentials: Credentials,
    /// The target's environment.
    environment: bool,
    join_cgroup: bool,
    follow_context: bool,
    like_target: Option<Untold>,
    pub(crate) command: Command,
}

impl Entering {
    /// From the options; refuses what contradicts itself.
    pub(crate) fn of(
        targets: Vec<Address>,
        namespaces: Namespaces,
        how: CommandAs,
        words: Vec<OsString>,
    ) -> Result<Entering, Fault> {
        if targets.len() > 1 {
            return Err(Fault::usage("option '--target' may be given once only"));
        }
        let (all, user_parent) = (namespaces.all, namespaces.user_parent);
        let like_target = how.like_target();
        let entering = Entering {
            target: targets.into_iter().next(),
            asked: Asked { all, sources: namespaces.sources(), user_parent },
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
                "'{text}' is neither a file nor an id; a file whose name begins with a colon is './{text}'"
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
        match self.target.is_some() && !enters && self.is_about_namespaces_only() {
            true => Err(Fault::usage("option '--target' needs the namespaces to enter: --all, or --mount, --net …")),
            false => Ok(()),
        }
    }

    /// Whether a command can be run without doing anything for it.
    pub(crate) fn is_nothing(&self) -> bool {
        self.target.is_none() && self.asked.sources.is_empty() && self.is_about_namespaces_only()
    }

    fn is_about_namespaces_only(&self) -> bool {
        let credentials = Credentials { keep_capabilities: false, preserve: false, ..self.credentials.clone() };
        self.directories == Directories::default()
            && credentials == Credentials::default()
            && !(self.environment || self.join_cgroup || self.follow_context || self.like_target.is_some())
    }

    /// What shows what confines the target: a command in it, or itself. What an init of ours is confined to is its own
    /// affair.
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

    /// Says so where a container that was named has less rights than a program of its root will have here. Of a pid we
    /// say nothing, as nsenter(1).
    fn remark_on_rights(&self, entrances: &Entrances<'_>, example: &Target) -> Result<(), Fault> {
        let Some(Address::Named(reference)) = &self.target else { return Ok(()) };
        let more = match entrances.kinds().contains(Kind::Mnt) {
            true => like_target::more_than(example)?,
            false => Vec::new(),
        };
        if !more.is_empty() {
            narrate::remark(format_args!(
                "the command has more rights than {} ({}); --like-target gives it no more",
                reference.shown(),
                more.join(", ")
            ));
        }
        Ok(())
    }

    /// The target, and what is asked of it. A named network namespace is no process, but has a file.
    fn open(&self) -> Result<(Option<Target>, Cow<'_, Asked>), Fault> {
        let file = match self.target.as_ref().map(Address::open).transpose()? {
            None => return Ok((None, Cow::Borrowed(&self.asked))),
            Some(Opened::Process(target)) => return Ok((Some(target), Cow::Borrowed(&self.asked))),
            Some(Opened::Network(file)) => file,
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
                "cannot take more than the network of {}: it is a named network namespace, which has no process",
                file.display()
            )));
        }
        if self.asked.all || !of_target.is_empty() {
            sources.push((Kind::Net, Source::File(file)));
        }
        Ok((None, Cow::Owned(Asked { all: false, sources, user_parent: self.asked.user_parent })))
    }

    /// Does it.
    pub(crate) fn apply(&self) -> Result<Status, Fault> {
        let (target, asked) = self.open()?;
        let entrances = asked.open(target.as_ref())?;
        if entrances.cross_border() {
            // Not before it is known to be needed. Where we go on in a copy, that opens all this once more.
            plan::seal(&self.command)?;
        }
        let is_asked = self.like_target.is_some() || matches!(self.target, Some(Address::Named(_)));
        let command = target.as_ref().filter(|_| is_asked).and_then(find::command_of);
        let example = self.example(target.as_ref().filter(|_| is_asked), command.as_ref())?;
        let like = match (example, self.like_target) {
            (Some(example), Some(untold)) => Some(like(example, &entrances, untold)?),
            (Some(example), None) => {
                self.remark_on_rights(&entrances, example)?;
                None
            }
            _ => None,
        };
        let groups = match (&target, self.join_cgroup || self.like_target.is_some()) {
            (Some(target), true) => membership::of_target(target)?,
            _ => None,
        };
        let environment = match (&target, self.environment) {
            (Some(target), true) => {
                let enters = |kind| entrances.kinds().contains(kind);
                let expects_host = !enters(Kind::Mnt) && self.directories.root.is_none();
                Surroundings::OfTarget(Theirs::of(target, enters(Kind::User), expects_host)?)
            }
            _ => Surroundings::Known(Environment::inherited()),
        };
        let stays = entrances.kinds().contains(Kind::Pid) && !self.command.no_fork;
        let mut entry = Entry {
            target: target.as_ref(),
            entrances,
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
            true => enter::enter(&mut entry, || Ok(())),
            false => enter::become_command(&entry),
        }
    }
}

fn no_command(init: &Target) -> Fault {
    Fault::new(format!(
        "cannot be like process {}: it is the init of a held container, and no command is known to run in it",
        init.pid()
    ))
}

fn like<'a>(target: &'a Target, entrances: &Entrances<'_>, untold: Untold) -> Result<Like<'a>, Fault> {
    let is_foreign = target.namespace_inode(Kind::User)? != own_namespace_inode(Kind::User);
    match is_foreign && !entrances.kinds().contains(Kind::User) {
        true => Err(Fault::new(format!(
            "cannot be like process {}: its capabilities count in its user namespace only; enter that by --user or --all",
            target.pid()
        ))),
        false => Like::of(target, untold),
    }
}

/// `:…`, but no number.
fn namespace_id(source: &Source) -> Option<&str> {
    match source {
        Source::File(path) => path.to_str().filter(|text| text.starts_with(':')),
        _ => None,
    }
}
