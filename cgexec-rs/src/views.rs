//! Views of many groups: which one the options ask for, of which groups. Pure, except for [`View::show`].

use std::time::Duration;

use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::process::startup;
use plumbing::process::top::{DELAY, Manner};
use plumbing::{Fault, Status};

use crate::options::Options;
use crate::pressure::{self, Condition};
use crate::subject::Subject;
use crate::{events, groups, listing, top, why};

/// A view.
#[derive(Debug)]
pub(crate) enum View {
    /// `--list`
    List,
    /// `--tree`
    Tree,
    /// `--tree --svg`
    Picture,
    /// `--top`
    Top(Manner),
    /// `--events`, for a time.
    Events(Option<Duration>),
    /// `--wait-until`, for a time at most.
    WaitUntil(Condition, Option<Duration>),
}

impl View {
    /// Returns the view that the options ask for.
    pub(crate) fn of(options: &Options) -> Option<View> {
        let views = &options.views;
        let patience = options.timeout.map(Duration::from_millis);
        let manner = Manner {
            delay: views.delay.map_or(DELAY, Duration::from_millis),
            iterations: views.iterations,
            batch: views.batch,
            json: options.json,
        };
        let wait = views.wait_until.map(|condition| View::WaitUntil(condition, patience));
        let others = [
            (views.list, View::List),
            (views.tree && views.svg, View::Picture),
            (views.tree, View::Tree),
            (views.top, View::Top(manner)),
            (views.events, View::Events(patience)),
        ];
        wait.or_else(|| others.into_iter().find(|(is_given, _)| *is_given).map(|(_, view)| view))
    }

    /// Shows the groups at and below the subject, or all.
    pub(crate) fn show(&self, subject: Option<&Subject>, json: bool) -> Result<Status, Fault> {
        let hierarchies = match (subject, self) {
            (Some(subject), _) => subject.to_view()?,
            (None, View::WaitUntil(..)) => Hierarchies::discover()?,
            (None, _) => {
                Hierarchies::discover()?.with_groups(|hierarchy| hierarchy.mount_root().map(std::path::Path::to_owned))
            }
        };
        // A dash in the columns is also what no limit looks like.
        if matches!(self, View::List | View::Tree | View::Picture | View::Top(_)) {
            why::remark_unreadable(&Hierarchies::discover()?.unreadable());
        }
        match self {
            View::List => startup::print(&listing::list(&groups::read(&hierarchies)?, json)?),
            View::Tree => startup::print(&listing::tree(&groups::read(&hierarchies)?, json)?),
            View::Picture => startup::print(&listing::picture(&groups::read(&hierarchies)?)),
            View::Top(manner) => top::show(&hierarchies, *manner),
            View::Events(patience) => events::follow(&hierarchies, *patience),
            View::WaitUntil(condition, patience) => pressure::wait_until(*condition, &hierarchies, *patience),
        }
    }
}
