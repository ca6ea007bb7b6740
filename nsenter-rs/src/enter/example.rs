//! The example after which the command is confined: the target, or a command that runs in a held container.
//! `proc_pid_status(5)`.
//!
//! The surprise: the init of a hold is no example, because it confines itself in its own way. But it keeps what
//! chroot-rs recorded. If that is nothing, a command that runs in the hold is an example. A process of another user is an
//! example like any other, although it has the mark of an init: what it keeps could be more than it may do.

use plumbing::pipeline::assembly::Hold;
use plumbing::pipeline::kept_process;
use plumbing::pipeline::mark::has_mark;
use plumbing::pipeline::ownership;
use plumbing::pipeline::pipe::Stage;
use plumbing::pipeline::record::{Process, Record};
use plumbing::process::namespace::Kind;
use plumbing::process::target::{Target, own_namespace_inode};
use plumbing::{Fault, narrate};

use super::Enter;
use super::chroot_chdir::Directories;
use super::like_target::{self, Like, Unreadable};
use super::setns::OpenNamespaces;
use crate::find;
use crate::find::PidOrName;

/// How a held container is confined.
pub(crate) enum Held {
    /// As its init keeps it.
    Kept(Box<Process>),
    /// As this command in it.
    Command(Target),
    /// Unknown, or the container is not held.
    Unknown,
}

impl Held {
    /// Returns the confinement that the init keeps.
    pub(crate) fn kept(&self) -> Option<&Process> {
        if let Held::Kept(process) = self { Some(process) } else { None }
    }

    fn command(&self) -> Option<&Target> {
        if let Held::Command(command) = self { Some(command) } else { None }
    }

    fn of_command(command: Option<Target>) -> Held {
        command.map_or(Held::Unknown, Held::Command)
    }
}

/// Returns how a held container is confined, if the target is the init of one and the options need an example.
pub(crate) fn held(enter: &Enter, target: Option<&Target>) -> Result<Held, Fault> {
    let Some(init) = target.filter(|_| needs_example(enter)) else { return Ok(Held::Unknown) };
    if has_mark(init).unwrap_or(false) {
        if !ownership::may_give_rights(init)? {
            return Ok(Held::Unknown);
        }
        match kept(init) {
            Ok(Some(kept)) => return Ok(kept),
            Ok(None) => {}
            Err(fault) if enter.like_target == Some(Unreadable::Fatal) => return Err(fault),
            Err(fault) => narrate::remark(fault),
        }
    }
    match enter.like_target {
        Some(unreadable) => model(init, unreadable).map(Held::of_command),
        None => Ok(Held::of_command(find::command_of(init))),
    }
}

/// Returns what the init of a hold keeps; `None` if that does not confine a command.
fn kept(init: &Target) -> Result<Option<Held>, Fault> {
    let process = kept_process::of(init)?;
    Ok(process.confines().then(|| Held::Kept(Box::new(process))))
}

/// Returns the properties of the example that `--like-target` gives to the command, or the confinement that it gets.
/// Without that option, prints a warning if the command will have more rights.
pub(crate) fn like<'a>(
    enter: &Enter,
    target: Option<&'a Target>,
    held: &'a Held,
    namespaces: &OpenNamespaces<'_>,
) -> Result<(Option<Like<'a>>, Process), Fault> {
    let none = (None, Process::default());
    let Some(target) = target.filter(|_| needs_example(enter)) else { return Ok(none) };
    if let Some(kept) = held.kept() {
        if enter.like_target.is_none() {
            return remark_on_rights(enter, namespaces, || like_target::more_than_recorded(kept)).map(|()| none);
        }
        require_user_namespace(target, namespaces)?;
        let cwd = kept.cwd.clone().filter(|_| enter.directories == Directories::default());
        return Ok((None, Process { cwd, ..kept.clone() }));
    }
    let is_init = || has_mark(target).unwrap_or(false) && ownership::may_give_rights(target).unwrap_or(false);
    let is_bare_init = || held.command().is_none() && is_init();
    let example = held.command().unwrap_or(target);
    match enter.like_target {
        Some(_) if is_bare_init() => Err(no_command(target)),
        Some(unreadable) => {
            require_user_namespace(example, namespaces)?;
            Ok((Some(Like::of(example, unreadable)?), Process::default()))
        }
        None if is_bare_init() => Ok(none),
        None => remark_on_rights(enter, namespaces, || like_target::more_than(example)).map(|()| none),
    }
}

/// Reports whether an example is needed: to be like it, or to compare a container that was named with it.
fn needs_example(enter: &Enter) -> bool {
    enter.like_target.is_some() || matches!(enter.target, Some(PidOrName::Named(_)))
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

/// Demands that the command enters the user namespace in which the capabilities of the example count.
fn require_user_namespace(example: &Target, namespaces: &OpenNamespaces<'_>) -> Result<(), Fault> {
    let is_foreign = example.namespace_inode(Kind::User)? != own_namespace_inode(Kind::User);
    if is_foreign && !namespaces.kinds().contains(Kind::User) {
        return Err(Fault::new(format!(
            "cannot make the command like process {}: its capabilities apply only in its user namespace; enter that \
             with --user or --all",
            example.pid()
        )));
    }
    Ok(())
}

/// Prints a warning if the container was named and its root has fewer rights than the command will have here. For a
/// pid, like nsenter(1), it prints none.
fn remark_on_rights(
    enter: &Enter,
    namespaces: &OpenNamespaces<'_>,
    more: impl FnOnce() -> Result<Vec<&'static str>, Fault>,
) -> Result<(), Fault> {
    let Some(PidOrName::Named(reference)) = &enter.target else { return Ok(()) };
    if !namespaces.kinds().contains(Kind::Mnt) {
        return Ok(());
    }
    let more = more()?;
    if !more.is_empty() {
        narrate::remark(format_args!(
            "the command has more rights than {} ({}); use --like-target to give it the same rights",
            reference.shown(),
            more.join(", ")
        ));
    }
    Ok(())
}

/// Returns how the held container of a record is confined, if the record does not contain that.
pub(crate) fn held_of_record(stage: &Stage) -> Result<Held, Fault> {
    if !lacks_confinement(&stage.record)? {
        return Ok(Held::Unknown);
    }
    if !matches!(stage.hold, Hold::Foreign)
        && let Some(kept) = kept(&stage.target).map_err(loosen)?
    {
        return Ok(kept);
    }
    find::model_of(&stage.target).map(Held::of_command).map_err(loosen)
}

/// Returns the properties that the command gets from a process in the container, if neither the record nor the init
/// contains its confinement.
pub(crate) fn like_record<'a>(stage: &'a Stage, held: &'a Held) -> Result<Option<Like<'a>>, Fault> {
    if held.kept().is_some() || !lacks_confinement(&stage.record)? {
        return Ok(None);
    }
    let example = if matches!(stage.hold, Hold::Foreign) { Some(&stage.target) } else { held.command() };
    if example.is_none() {
        narrate::remark(format_args!(
            "the command runs unconfined: the record does not contain its confinement, and no command in {} shows it; \
             use the record that chroot-rs printed",
            stage.record.shown_name()
        ));
    }
    example.map(|example| Like::of(example, Unreadable::FatalFilters).map_err(loosen)).transpose()
}

/// Reports whether the record was found by name and does not contain the confinement of its command. The command is
/// then made like the container, because `docker exec` confines what it runs, too.
fn lacks_confinement(record: &Record) -> Result<bool, Fault> {
    let has = |key: &str| record.get::<serde_json::Value>(key).map(|value| value.is_some());
    Ok(has("container")? && !has("process")?)
}

/// Adds how to enter a container whose confinement cannot be copied.
fn loosen(fault: Fault) -> Fault {
    fault.with_remedy(
        "use the record that chroot-rs printed, or --target NAME --all --like-target-try, which leaves out what cannot be \
         read; to run the command unconfined, pass the record through jq -c '.process={}'",
    )
}
