//! `-r`, `-c`, `--map-user` and `--map-group`: which id the caller has inside. Of those that speak of the same id, the
//! last one counts; which one that is, clap tells by their places on the command line.

use clap::error::Error;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::mapping::Id;
use crate::values;

/// What counts in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SingleIds {
    pub(crate) user: Option<Id>,
    pub(crate) group: Option<Id>,
}

#[derive(Args)]
struct Declared {
    /// Map the calling user and group to root (implies --user, as all of this group)
    #[arg(short = 'r', long, help_heading = "Users and groups")]
    map_root_user: bool,
    /// Map the calling user and group to themselves
    #[arg(short = 'c', long, help_heading = "Users and groups")]
    map_current_user: bool,
    /// Map the calling user to this one
    #[arg(long, value_name = "UID|NAME", value_parser = values::id_or_name, help_heading = "Users and groups")]
    map_user: Option<Id>,
    /// Map the calling group to this one
    #[arg(long, value_name = "GID|NAME", value_parser = values::id_or_name, help_heading = "Users and groups")]
    map_group: Option<Id>,
}

impl FromArgMatches for SingleIds {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let declared = Declared::from_arg_matches(matches)?;
        let place = |option| match matches.value_source(option) {
            Some(ValueSource::CommandLine) => matches.indices_of(option).and_then(|places| places.max()),
            _ => None,
        };
        let both = |id: Id| (Some(id.clone()), Some(id));
        let mut said = [
            (place("map_root_user"), both(Id::Number(0))),
            (place("map_current_user"), both(Id::Own)),
            (place("map_user"), (declared.map_user, None)),
            (place("map_group"), (None, declared.map_group)),
        ];
        said.sort_by_key(|(place, _)| *place);
        let mut last = SingleIds::default();
        for (_, (user, group)) in said.into_iter().filter(|(place, _)| place.is_some()) {
            last.user = user.or(last.user);
            last.group = group.or(last.group);
        }
        Ok(last)
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
