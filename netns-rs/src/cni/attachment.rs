//! An attachment of a container to a CNI network: ADD in the order of the plugins, DEL in the opposite one, and CHECK.
//! `containernetworking/cni SPEC.md`, section 3.
//!
//! The surprise: DEL has to be executed for all plugins, also if ADD failed at the first one, and also if the namespace is
//! gone: a plugin removes what it finds, and finding nothing is no error.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use plumbing::pipeline::record::Interface;
use plumbing::{Fault, narrate};
use rustix::fs::{CWD, Mode, OFlags, openat};
use serde_json::Value;

use super::cache::{Entry, Known};
use super::network::kind;
use super::plugin::Call;
use super::{PREFIX, result};
use crate::connection::Connection;
use crate::name::{self, Name};
use crate::{directory, namespace};

/// An attachment.
pub struct Attachment {
    /// Its file in the cache.
    pub entry: Entry,
    /// The longest time that a plugin may take.
    pub patience: Duration,
}

impl Attachment {
    /// Executes ADD, and keeps the result.
    pub fn add(&mut self) -> Result<(), Fault> {
        let known = self.entry.known.clone();
        let (network, mut previous) = (&known.network, None);
        for plugin in &network.plugins {
            let given = previous.as_ref().filter(|_| network.has_previous_result());
            let input = network.input(plugin, &known.arguments, given);
            let answer = self.call("ADD", &known.path).execute(kind(plugin), &input)??;
            let Some(answer) = answer else { continue };
            let wrong = |error| {
                let (kind, name) = (kind(plugin), &network.name);
                Fault::new(format!(
                    "cannot understand the answer of the plugin {kind} of the CNI network {name}: {error}"
                ))
            };
            previous = Some(serde_json::from_slice::<Value>(&answer).map_err(wrong)?);
        }
        match previous {
            Some(result) => self.entry.keep(result),
            None => Ok(()),
        }
    }

    /// Executes CHECK of each plugin; returns what they find wrong, and the plugins that failed otherwise.
    fn check(&self) -> (Vec<Fault>, Vec<Fault>) {
        let (mut wrong, mut failed) = (Vec::new(), Vec::new());
        let known = &self.entry.known;
        let is_possible = known.network.has_check() && !known.network.disable_check;
        for plugin in known.network.plugins.iter().filter(|_| is_possible) {
            let input = known.network.input(plugin, &known.arguments, known.result.as_ref());
            match self.call("CHECK", &known.path).execute(kind(plugin), &input) {
                Ok(answer) => wrong.extend(answer.err()),
                Err(fault) => failed.push(fault),
            }
        }
        (wrong, failed)
    }

    /// Executes DEL, and forgets the attachment if all plugins were successful. If not, `gc` tries again.
    pub fn remove(self, why: &str) -> Result<(), Fault> {
        self.delete()?;
        if let Some(pin) = self.pin().filter(Name::exists) {
            directory::delete(&pin)?;
        }
        self.entry.remove(why)
    }

    /// Removes what an attempt that failed has made.
    pub fn undo(self) {
        if let Err(left) = self.remove("it could not be made") {
            narrate::remark(format_args!("{left}; netns-rs gc tries to remove the rest again"));
        }
    }

    /// Executes DEL of each plugin, even if that of another one fails; returns the first failure.
    fn delete(&self) -> Result<(), Fault> {
        let known = &self.entry.known;
        // The path may lead to another namespace now, whose interface is not ours.
        let namespace = if self.is_reachable() || narrate::is_dry_run() { known.path.as_path() } else { Path::new("") };
        let given = known.result.as_ref().filter(|_| known.network.has_check());
        let mut outcome = Ok(());
        for plugin in known.network.plugins.iter().rev() {
            let input = known.network.input(plugin, &known.arguments, given);
            let deleted = self.call("DEL", namespace).execute(kind(plugin), &input).and_then(|answer| answer);
            match deleted {
                Err(fault) if outcome.is_err() => narrate::remark(fault),
                deleted => outcome = outcome.and(deleted.map(drop)),
            }
        }
        outcome
    }

    fn call<'a>(&'a self, command: &'static str, namespace: &'a Path) -> Call<'a> {
        let known = &self.entry.known;
        Call {
            command,
            container: &known.container,
            namespace,
            interface: &known.interface,
            network: &known.network.name,
            patience: self.patience,
        }
    }

    /// Returns whether its path leads to its namespace.
    pub fn is_reachable(&self) -> bool {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = openat(CWD, &self.entry.known.path, flags, Mode::empty()).ok();
        opened.is_some_and(|file| {
            name::is_namespace(file.as_fd()).unwrap_or(false)
                && namespace::inode(file.as_fd()).is_ok_and(|inode| inode == self.entry.known.namespace)
        })
    }

    /// Returns the name that keeps its namespace, if that is a name of ours.
    pub fn pin(&self) -> Option<Name> {
        let Known { path, owner: Some(_), .. } = &self.entry.known else { return None };
        let name = path.file_name().filter(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))?;
        Name::parse(name).ok().filter(|name| name.path() == *path)
    }

    /// Returns its name in lists.
    pub fn name(&self) -> String {
        let known = &self.entry.known;
        format!("{} {} {}", known.network.name, known.container, known.interface)
    }

    /// Describes it for the record.
    pub fn description(&self, asked: &Connection) -> Interface {
        let found = self.entry.known.result.as_ref();
        let mut interface = found.map(|found| result::interface(found, &asked.interface)).unwrap_or_default();
        interface.name.clone_from(&asked.interface);
        interface.published = asked.published.iter().map(ToString::to_string).collect();
        interface
    }
}

/// What plugins find wrong.
pub struct Problems {
    /// The network.
    pub network: String,
    /// The interface inside.
    pub interface: String,
    /// The errors of the plugins.
    pub wrong: Vec<Fault>,
    /// Why others could not be asked.
    pub failed: Vec<Fault>,
}

/// Executes CHECK for all attachments of a namespace.
pub fn problems(container: BorrowedFd<'_>) -> Result<Vec<Problems>, Fault> {
    let problems = |it: &Attachment| {
        let ((wrong, failed), known) = (it.check(), &it.entry.known);
        Problems { network: known.network.name.clone(), interface: known.interface.clone(), wrong, failed }
    };
    Ok(super::of(container)?.iter().map(problems).collect())
}
