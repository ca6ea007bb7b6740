//! The example after which the command is confined: the target, or a command that runs in a held container.
//! `proc_pid_status(5)`.
//!
//! The surprise: the init of a hold is no example, because it confines itself in its own way. A command that runs in the
//! hold is one.

use plumbing::pipeline::assembly::{Hold, has_mark};
use plumbing::pipeline::pipe::Stage;
use plumbing::pipeline::record::Record;
use plumbing::process::namespace::Kind;
use plumbing::process::target::{Target, own_namespace_inode};
use plumbing::{Fault, narrate};

use super::like_target::{self, Like, Unreadable};
use super::pid_or_name::PidOrName;
use super::setns::OpenNamespaces;
use crate::find;
use crate::plan::Enter;

/// Returns the command that shows how a held container is confined, if the target is the init of one and the options
/// need an example.
pub(crate) fn held_command(enter: &Enter, target: Option<&Target>) -> Result<Option<Target>, Fault> {
    match (target.filter(|_| needs_example(enter)), enter.like_target) {
        (Some(init), Some(unreadable)) => model(init, unreadable),
        (Some(init), None) => Ok(find::command_of(init)),
        (None, _) => Ok(None),
    }
}

/// Returns the properties that `--like-target` gives to the command. Without that option, prints a warning if the
/// command will have more rights than the example.
pub(crate) fn like<'a>(
    enter: &Enter,
    target: Option<&'a Target>,
    held: Option<&'a Target>,
    namespaces: &OpenNamespaces<'_>,
) -> Result<Option<Like<'a>>, Fault> {
    let Some(target) = target.filter(|_| needs_example(enter)) else { return Ok(None) };
    let is_bare_init = || held.is_none() && has_mark(target).unwrap_or(false);
    let example = held.unwrap_or(target);
    match enter.like_target {
        Some(_) if is_bare_init() => Err(no_command(target)),
        Some(unreadable) => like_in(example, namespaces, unreadable).map(Some),
        None if is_bare_init() => Ok(None),
        None => remark_on_rights(enter, namespaces, example).map(|()| None),
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

fn like_in<'a>(
    example: &'a Target,
    namespaces: &OpenNamespaces<'_>,
    unreadable: Unreadable,
) -> Result<Like<'a>, Fault> {
    let is_foreign = example.namespace_inode(Kind::User)? != own_namespace_inode(Kind::User);
    if is_foreign && !namespaces.kinds().contains(Kind::User) {
        return Err(Fault::new(format!(
            "cannot make the command like process {}: its capabilities apply only in its user namespace; enter that \
             with --user or --all",
            example.pid()
        )));
    }
    Like::of(example, unreadable)
}

/// Prints a warning if the container was named and its root has fewer rights than the command will have here. For a
/// pid, like nsenter(1), it prints none.
fn remark_on_rights(enter: &Enter, namespaces: &OpenNamespaces<'_>, example: &Target) -> Result<(), Fault> {
    let Some(PidOrName::Named(reference)) = &enter.target else { return Ok(()) };
    if !namespaces.kinds().contains(Kind::Mnt) {
        return Ok(());
    }
    let more = like_target::more_than(example)?;
    if !more.is_empty() {
        narrate::remark(format_args!(
            "the command has more rights than {} ({}); use --like-target to give it the same rights",
            reference.shown(),
            more.join(", ")
        ));
    }
    Ok(())
}

/// Returns the command that shows how the container of a record is confined, if the record does not contain that.
pub(crate) fn held_command_of_record(stage: &Stage) -> Result<Option<Target>, Fault> {
    if lacks_confinement(&stage.record)? { find::model_of(&stage.target).map_err(loosen) } else { Ok(None) }
}

/// Returns the properties that the command gets from the container if the record does not contain its confinement.
pub(crate) fn like_record<'a>(stage: &'a Stage, held: Option<&'a Target>) -> Result<Option<Like<'a>>, Fault> {
    if !lacks_confinement(&stage.record)? {
        return Ok(None);
    }
    let example = if matches!(stage.hold, Hold::Foreign) { Some(&stage.target) } else { held };
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
