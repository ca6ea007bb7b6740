//! The groups that `--events` watches: those that exist, and those that are made later. `inotify(7)`.
//!
//! The surprise: a group that is made while its parent is listed is found twice, by the list and by inotify.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use plumbing::cgroup::hierarchy::Hierarchy;
use plumbing::text::Text;
use plumbing::{Fault, narrate};
use rustix::io::Errno;

use super::Watch;
use crate::event_files::Values;
use crate::groups;
use crate::pressure::{self, Condition};
use crate::watched::{self, Seen, Watched, identity};

/// The most groups whose pressure is watched: each costs three descriptors, and as root three kernel threads.
const MOST_PRESSURE: usize = 64;

/// The most groups that are named because they cannot be watched: others may make such groups without end.
const MOST_NAMED: usize = 32;

/// The pressure that is an event: for each resource, tasks waited so much of two seconds.
const PRESSURE: [Condition; 3] = [
    Condition::of_two_seconds("cpu", 50),
    Condition::of_two_seconds("memory", 10),
    Condition::of_two_seconds("io", 20),
];

impl<'h> Watch<'h> {
    /// Watches the groups in these groups, those at the top first. The events before are not printed, unless they are new.
    pub(super) fn add_inner(&mut self, numbers: Vec<usize>, is_new: bool) -> Result<(), Fault> {
        let mut due = VecDeque::from(numbers);
        while let Some(number) = due.pop_front() {
            let Some(group) = self.groups.get(&number) else { continue };
            match groups::directories(group.dir.as_fd()) {
                Ok(names) => {
                    for name in names {
                        due.extend(self.add_named(number, &name, is_new)?);
                    }
                }
                Err(errno) => {
                    let path = group.path.clone();
                    self.leave_out("groups in ", &path, errno);
                }
            }
        }
        Ok(())
    }

    /// Watches a group in a group, unless it is known.
    pub(super) fn add_named(&mut self, number: usize, name: &OsStr, is_new: bool) -> Result<Option<usize>, Fault> {
        let Some(group) = self.groups.get(&number) else { return Ok(None) };
        let (hierarchy, path) = (group.hierarchy, group.path.join(name));
        if groups::is_too_much(&path, self.bytes) {
            self.leave_out("", &path, Errno::NAMETOOLONG);
            return Ok(None);
        }
        match groups::open(group.dir.as_fd(), name) {
            Ok(dir) => self.add(hierarchy, path, dir, is_new),
            Err(errno) => {
                self.leave_out("", &path, errno);
                Ok(None)
            }
        }
    }

    /// Watches a group, unless it is known: one that was made while its parent was listed is found twice.
    pub(super) fn add(
        &mut self,
        hierarchy: &'h Hierarchy,
        path: PathBuf,
        dir: OwnedFd,
        is_new: bool,
    ) -> Result<Option<usize>, Fault> {
        let number = self.next;
        self.next += 1;
        let begun = identity(&dir).and_then(|identity| {
            let is_known = self.known.contains_key(&identity);
            Ok((identity, if is_known { None } else { Some(watched::watches(&self.inotify, hierarchy, &dir)?) }))
        });
        let (identity, watches) = match begun {
            Ok((identity, Some(watches))) => (identity, watches),
            Ok((_, None)) => return Ok(None),
            Err(errno) => {
                self.leave_out("", &path, errno);
                return Ok(None);
            }
        };
        let triggers = self.triggers(hierarchy, &path)?;
        let mut group = Watched { hierarchy, path, dir, identity, values: Values::default(), triggers, watches };
        // After the watches: an event in between is seen twice rather than never. And while the directory is open: so one
        // descriptor at least is left for reading the counters of all groups.
        match group.read(is_new)? {
            Seen::Counted => {
                self.by_watch.extend(group.watches.iter().map(|watch| (*watch, number)));
                self.known.insert(identity, number);
                self.bytes += group.path.as_os_str().len();
                self.groups.insert(number, group);
                Ok(Some(number))
            }
            Seen::Gone => Ok(None),
            Seen::Refused(errno) => {
                watched::end_watches(&self.inotify, &group.watches);
                self.leave_out("", &group.path, errno);
                Ok(None)
            }
        }
    }

    /// Names a group that cannot be watched.
    pub(super) fn leave_out(&mut self, what: &str, path: &Path, errno: Errno) {
        if matches!(errno, Errno::NOENT | Errno::NODEV) {
            return;
        }
        let path = Text::from(path).shown();
        self.name(format_args!("{what}{path}, with those in it, cannot be watched and is left out: {errno}"));
    }

    fn name(&mut self, text: std::fmt::Arguments<'_>) {
        self.named += 1;
        match self.named {
            ..=MOST_NAMED => narrate::remark(text),
            number if number == MOST_NAMED + 1 => narrate::remark("more groups cannot be watched; they are not named"),
            _ => {}
        }
    }

    fn triggers(&mut self, hierarchy: &Hierarchy, path: &Path) -> Result<Vec<(&'static str, OwnedFd)>, Fault> {
        let mut triggers = Vec::new();
        if hierarchy.version != 2 {
            return Ok(triggers);
        }
        if self.groups.len() >= MOST_PRESSURE {
            self.unwatched += 1;
            self.say_later(path);
            return Ok(triggers);
        }
        let Ok(group) = hierarchy.open(path) else { return Ok(triggers) };
        for condition in PRESSURE {
            match pressure::trigger(Some(&group), condition) {
                Ok(trigger) => triggers.extend(trigger.map(|trigger| (condition.resource(), trigger))),
                Err(fault) => {
                    self.name(format_args!("{fault}"));
                    break;
                }
            }
        }
        Ok(triggers)
    }

    /// Says once that the pressure of groups which are made later is not watched.
    fn say_later(&mut self, path: &Path) {
        if std::mem::take(&mut self.says_unwatched) {
            let path = Text::from(path).shown();
            narrate::remark(format_args!(
                "the pressure of {path}, and of groups made after it, is not watched: that of {MOST_PRESSURE} groups is; \
                 name one of them with --cgroup"
            ));
        }
    }
}
