//! `cgset` and `cgxset`: writes parameters of groups, or copies them from another group. `cgset(1)`.

use std::ffi::OsStr;

use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::{Fault, narrate};
use rustix::fs::Mode;

use super::convert::Notation;
use super::spec::{controller_of, each, is_missing, may, open, open_in, parameters};
use crate::existing::Existing;
use crate::refusal::explain;

/// A command line of cgset or cgxset.
#[derive(Debug)]
pub(crate) struct Set {
    pub(super) assignments: Vec<Assignment>,
    pub(super) copy_from: Option<Existing>,
    pub(super) recursive: bool,
    pub(super) paths: Vec<Existing>,
    pub(super) notation: Notation,
}

/// `NAME=VALUE`; the value may contain further equals signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    name: String,
    value: String,
}

impl Assignment {
    /// Parses `NAME=VALUE`.
    pub(super) fn read(word: &OsStr) -> Result<Assignment, String> {
        let word = word.to_str().ok_or("expected UTF-8 text")?;
        let (name, value) = word.split_once('=').ok_or("expected NAME=VALUE such as memory.max=64M")?;
        controller_of(name).map_err(|fault| fault.to_string())?;
        Ok(Assignment { name: name.to_owned(), value: value.to_owned() })
    }
}

impl Set {
    /// Writes all parameters of the first group, then those of the next.
    pub(super) fn apply(&self) -> Result<(), Fault> {
        let all = Hierarchies::discover()?;
        for path in &self.paths {
            if let Some(source) = &self.copy_from {
                copy(&all, source, path)?;
            }
            for assignment in &self.assignments {
                self.assign(&all, path, assignment)?;
            }
        }
        Ok(())
    }

    fn assign(&self, all: &Hierarchies, path: &Existing, assignment: &Assignment) -> Result<(), Fault> {
        let (hierarchy, group) = open(all, path, controller_of(&assignment.name)?)?;
        let write_one = |group: &Group| {
            let pairs = self.notation.as_written(group, hierarchy.version, &assignment.name, &assignment.value)?;
            pairs.iter().try_for_each(|(name, value)| write(group, name, value))
        };
        if self.recursive { each(&group, write_one) } else { write_one(&group) }
    }
}

fn write(group: &Group, name: &str, value: &str) -> Result<(), Fault> {
    group.write(name, value, "as cgset asks").map_err(|fault| {
        let is_missing = is_missing(&fault);
        let fault = explain(fault, group, name);
        if is_missing { fault.with_status(super::NO_VALUE) } else { fault }
    })
}

/// Copies what can be read and written, in each hierarchy that has both groups. A parameter that the kernel does not take
/// back is named on stderr: some files print what they do not accept.
fn copy(all: &Hierarchies, source: &Existing, target: &Existing) -> Result<(), Fault> {
    let mut found = false;
    for hierarchy in all.iter().filter(|hierarchy| hierarchy.is_mounted()) {
        let from = match open_in(hierarchy, source) {
            Err(fault) if is_missing(&fault) => continue,
            opened => opened?,
        };
        let to = open_in(hierarchy, target)?;
        found = true;
        let controllers = if hierarchy.version == 2 { from.read("cgroup.controllers")? } else { hierarchy.name() };
        for controller in controllers.split([',', ' ']).filter(|name| !name.is_empty()) {
            copy_controller(&from, &to, controller)?;
        }
    }
    if found {
        return Ok(());
    }
    Err(Fault::new(format!("cannot find the cgroup {}", source.path().display())).with_status(super::NO_GROUP))
}

fn copy_controller(from: &Group, to: &Group, controller: &str) -> Result<(), Fault> {
    for name in parameters(from, controller)?.iter().filter(|name| may(from, name, Mode::WUSR)) {
        let (value, kept) = (from.read(name)?, to.read(name)?);
        if value != kept
            && let Err(fault) = write(to, name, &value)
        {
            narrate::remark(fault);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_has_a_parameter_and_a_value() {
        let read = |word: &str| Assignment::read(word.as_ref()).map(|it| (it.name, it.value));
        assert_eq!(read("memory.max=64M"), Ok(("memory.max".into(), "64M".into())));
        assert_eq!(read("io.max=8:0 rbps=1"), Ok(("io.max".into(), "8:0 rbps=1".into())));
        for wrong in ["memory.max", "nodot=1", "=1", "../x.y=1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
