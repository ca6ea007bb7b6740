//! One group that `--events` watches: its watches, its counters, and the lines that are printed when they change.
//! `inotify(7)`.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use plumbing::cgroup::hierarchy::Hierarchy;
use plumbing::process::startup;
use plumbing::text::Text;
use plumbing::{Fault, json};
use rustix::fs::fstat;
use rustix::fs::inotify::{self, WatchFlags};
use rustix::io::Errno;
use serde::Serialize;
use serde_json::Value;

use crate::event_files::{self, Values};
use crate::node_files;

/// One line of the output.
#[derive(Debug, Serialize)]
struct Event<'e> {
    /// Seconds since 1970.
    time: f64,
    group: Text,
    event: &'e str,
    /// The counter, or the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// What was added to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<u64>,
    /// The file of the limit, and its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

impl Event<'_> {
    fn print(&self) -> Result<(), Fault> {
        startup::print(&json::line("the event", self)?).map(drop)
    }
}

/// The device and the inode of a directory.
pub(crate) type Identity = (u64, u64);

/// A group that is watched.
pub(crate) struct Watched<'h> {
    pub(crate) hierarchy: &'h Hierarchy,
    pub(crate) path: PathBuf,
    pub(crate) dir: OwnedFd,
    /// Of its directory.
    pub(crate) identity: Identity,
    pub(crate) values: Values,
    pub(crate) triggers: Vec<(&'static str, OwnedFd)>,
    pub(crate) watches: Vec<i32>,
}

/// What reading the counters of a group has shown.
pub(crate) enum Seen {
    Counted,
    /// It was removed.
    Gone,
    Refused(Errno),
}

impl Watched<'_> {
    /// Reads the counters, and prints those that have changed if `is_event`.
    pub(crate) fn read(&mut self, is_event: bool) -> Result<Seen, Fault> {
        let changed = match self.values.update(self.dir.as_fd(), self.hierarchy) {
            Ok(changed) => changed,
            Err(Errno::NODEV | Errno::NOENT) => return Ok(Seen::Gone),
            Err(errno) => return Ok(Seen::Refused(errno)),
        };
        for (counter, before, now) in changed.into_iter().filter(|_| is_event) {
            let value = counter.limit.and_then(|file| node_files::text(self.dir.as_fd(), file).ok()?);
            let value = value.map(|text| {
                let text = text.trim_end();
                text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from)
            });
            Event {
                time: now_in_seconds(),
                group: Text::from(self.path.as_path()),
                event: counter.event,
                count: Some(now),
                added: (!counter.is_state).then(|| now.saturating_sub(before)),
                limit: counter.limit,
                value,
            }
            .print()?;
        }
        Ok(Seen::Counted)
    }

    /// Prints that tasks wait for this resource.
    pub(crate) fn stalled(&self, resource: &str) -> Result<(), Fault> {
        let event = format!("pressure.{resource}");
        let (time, group) = (now_in_seconds(), Text::from(self.path.as_path()));
        Event { time, group, event: &event, count: None, added: None, limit: None, value: None }.print()
    }
}

fn now_in_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Returns the identity of a directory.
pub(crate) fn identity(dir: &OwnedFd) -> Result<Identity, Errno> {
    fstat(dir).map(|stat| (stat.st_dev, stat.st_ino))
}

/// Asks for reports of a group; returns the watches.
pub(crate) fn watches(inotify: &OwnedFd, hierarchy: &Hierarchy, dir: &OwnedFd) -> Result<Vec<i32>, Errno> {
    let place = format!("/proc/self/fd/{}", dir.as_raw_fd());
    let directory = WatchFlags::CREATE | WatchFlags::DELETE_SELF | WatchFlags::ONLYDIR;
    let files = event_files::reported().filter(|_| hierarchy.version == 2);
    let files = files.map(|file| (format!("{place}/{file}"), WatchFlags::MODIFY));
    let mut watches = Vec::new();
    for (path, flags) in std::iter::once((place.clone(), directory)).chain(files) {
        match inotify::add_watch(inotify, path, flags) {
            Ok(watch) => watches.push(watch),
            // A file that this kernel or this group does not have; a group that was removed meanwhile.
            Err(Errno::NOENT | Errno::NODEV) => {}
            Err(errno) => {
                end_watches(inotify, &watches);
                return Err(errno);
            }
        }
    }
    Ok(watches)
}

/// Ends these reports.
pub(crate) fn end_watches(inotify: &OwnedFd, watches: &[i32]) {
    for watch in watches {
        // The kernel has ended those of files that are gone.
        let _ended = inotify::remove_watch(inotify, *watch);
    }
}
