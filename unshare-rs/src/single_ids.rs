//! `-r`, `-c`, `--map-user` and `--map-group`: the caller's ids inside. Of those that set the same id, the last one
//! counts, so they are read in the order of the command line.

use std::ffi::{OsStr, OsString};

use clap::error::Error;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use plumbing::command_line::ordinary::{self, Declared as Known, Name, Ordinary};

use crate::mapping::Id;
use crate::values;

/// The result: at most one user id and one group id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SingleIds {
    pub(crate) user: Option<Id>,
    pub(crate) group: Option<Id>,
}

#[derive(Default, Args, Ordinary)]
struct Declared {
    /// Map the calling user and group to root (implies --user, like all --map options)
    #[arg(short = 'r', long, help_heading = "Users and groups")]
    map_root_user: bool,
    /// Map the calling user and group to themselves
    #[arg(short = 'c', long, help_heading = "Users and groups")]
    map_current_user: bool,
    /// Map the calling user to this user inside
    #[arg(long, value_name = "UID|NAME", value_parser = values::id_or_name, help_heading = "Users and groups")]
    map_user: Option<Id>,
    /// Map the calling group to this group inside
    #[arg(long, value_name = "GID|NAME", value_parser = values::id_or_name, help_heading = "Users and groups")]
    map_group: Option<Id>,
}

fn both(id: Id) -> (Option<Id>, Option<Id>) {
    (Some(id.clone()), Some(id))
}

impl SingleIds {
    fn put(&mut self, (user, group): (Option<Id>, Option<Id>)) {
        self.user = user.or(self.user.take());
        self.group = group.or(self.group.take());
    }
}

impl FromArgMatches for SingleIds {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        ordinary::in_order(matches, &["map_root_user", "map_current_user", "map_user", "map_group"])
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = SingleIds::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for SingleIds {
    fn augment_args(command: Command) -> Command {
        Declared::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Declared::augment_args_for_update(command)
    }
}

/// Both ways through argv call `set` in the order of the command line, so the last call counts.
impl Ordinary for SingleIds {
    fn declared(name: Name<'_>) -> Option<&'static Known> {
        Declared::declared(name)
    }

    fn set(&mut self, id: &str, value: Option<&OsStr>) -> Option<()> {
        let mut one = Declared::default();
        one.set(id, value)?;
        self.put(match (one.map_root_user, one.map_current_user) {
            (true, _) => both(Id::Number(0)),
            (_, true) => both(Id::Own),
            _ => (one.map_user, one.map_group),
        });
        Some(())
    }

    fn take_rest(&mut self, _: &[OsString]) -> Option<&'static str> {
        None
    }
}
