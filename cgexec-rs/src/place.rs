//! The group to run in: a new one, existing ones, or the current one. `cgroups(7)`.
//!
//! A new group belongs to a guardian, which watches the process or the container that the group is for. The surprise:
//! in a chain that process is ourselves, because we become the command.

use std::ffi::OsString;
use std::os::fd::AsFd;

use plumbing::Fault;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::cgroup::usage;
use plumbing::kernel::look;
use plumbing::pipeline::pipe::Stage;
use plumbing::pipeline::record::Cgroup;
use plumbing::text::Text;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::existing::{self, Existing};
use crate::limit_set::Limits;
use crate::sites::{Counting, Manner};
use crate::{ephemeral, kept, membership, request};

/// The group to run in.
#[derive(Debug)]
pub(crate) enum Place {
    /// Our current group.
    Unchanged,
    /// A new group, which is removed after its use.
    Ephemeral { limits: Limits, name: Option<OsString>, leaf: bool },
    /// Groups that exist already.
    Existing(Vec<Existing>),
    /// A group that is made if it is missing, and kept.
    Kept { group: Existing, limits: Limits },
}

impl Place {
    /// Returns the group, if it is another one than the current one.
    pub(crate) fn given(&self) -> Option<&Place> {
        Some(self).filter(|place| !matches!(place, Place::Unchanged))
    }

    /// Moves this process to the group.
    pub(crate) fn enter(&self, hierarchies: &Hierarchies) -> Result<(), Fault> {
        match self {
            Place::Unchanged => Ok(()),
            Place::Ephemeral { limits, name, leaf } => {
                membership::join(&own(hierarchies, (limits, limited(*leaf)), name.as_ref())?, hierarchies)
            }
            Place::Existing(groups) => membership::join_all(&existing::open(groups, hierarchies)?),
            Place::Kept { group, limits } => kept::enter(group, limits, hierarchies),
        }
    }

    /// Makes the group, and stays outside: it exists as long as this process or a process in it.
    pub(crate) fn make(&self, hierarchies: &Hierarchies) -> Result<Cgroup, Fault> {
        match self {
            Place::Ephemeral { limits, name, leaf } => own(hierarchies, (limits, counted(*leaf)), name.as_ref()),
            Place::Unchanged => own(hierarchies, (&Limits::default(), counted(false)), None),
            Place::Existing(_) | Place::Kept { .. } => {
                Err(Fault::usage("a report needs a new group, which is removed after the command"))
            }
        }
    }

    /// Returns the group for the container of a record; makes it if it is a new one.
    pub(crate) fn of_container(&self, stage: &Stage, hierarchies: &Hierarchies) -> Result<Cgroup, Fault> {
        match self {
            Place::Ephemeral { limits, name, leaf } => {
                let name = name.clone().map_or_else(|| name_in_record(stage), Ok)?;
                ephemeral::guarded(
                    (stage.target.pid(), stage.target.pidfd()),
                    hierarchies,
                    (limits, Manner { is_recorded: true, ..limited(*leaf) }),
                    &name,
                )
            }
            Place::Existing(groups) => usage::describe(existing::open(groups, hierarchies)?.iter()),
            Place::Unchanged | Place::Kept { .. } => {
                Err(Fault::new("cannot describe the cgroup: no group was asked for"))
            }
        }
    }
}

fn limited(leaf: bool) -> Manner {
    Manner { counting: Counting::Limited, leaf, is_recorded: false }
}

fn counted(leaf: bool) -> Manner {
    Manner { counting: Counting::All, ..limited(leaf) }
}

/// Makes a group that lasts as long as this process and the processes in it.
fn own(hierarchies: &Hierarchies, limits: (&Limits, Manner), name: Option<&OsString>) -> Result<Cgroup, Fault> {
    let name = name.cloned().unwrap_or_else(|| getpid().as_raw_nonzero().to_string().into());
    let ourselves = look("watch this process", "pidfd_open(getpid())", || pidfd_open(getpid(), PidfdFlags::empty()))?;
    ephemeral::guarded((getpid().as_raw_nonzero().get(), ourselves.as_fd()), hierarchies, limits, &name)
}

/// Returns the container's name if it can be the name of a directory, otherwise its pid.
fn name_in_record(stage: &Stage) -> Result<OsString, Fault> {
    let name: Option<Text> = stage.record.get("name")?;
    let usable = name.and_then(|Text(name)| request::group_name(&name).ok());
    Ok(usable.unwrap_or_else(|| stage.target.pid().to_string().into()))
}
