//! `--events`: OOM kills, reached limits, frozen or empty groups and pressure, as JSON lines when they happen, in a group
//! and all groups in it. `inotify(7)`, the kernel's `Documentation/accounting/psi.rst`. Changes nothing.
//!
//! The surprise: inotify names the file that has changed, and nothing else, so all counters of that group are read again
//! and compared. A group that is made later is found by its parent's directory.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};
use plumbing::kernel::{look, own};
use plumbing::process::startup;
use plumbing::text::Text;
use plumbing::{Fault, Status, json, narrate};
use rustix::fs::fstat;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use serde::Serialize;
use serde_json::Value;

use crate::event_files::{self, Values};
use crate::groups;
use crate::node_files;
use crate::pressure::{self, Condition};

/// How often the counters are read that the kernel does not report.
const PAUSE: Duration = Duration::from_secs(1);

/// The most groups whose pressure is watched: each costs three descriptors, and as root three kernel threads.
const MOST_PRESSURE: usize = 64;

/// The pressure that is an event: for each resource, tasks waited so much of two seconds.
const PRESSURE: [Condition; 3] = [
    Condition::of_two_seconds("cpu", 50),
    Condition::of_two_seconds("memory", 10),
    Condition::of_two_seconds("io", 20),
];

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

/// A group that is watched.
struct Watched<'h> {
    hierarchy: &'h Hierarchy,
    path: PathBuf,
    dir: OwnedFd,
    values: Values,
    triggers: Vec<(&'static str, OwnedFd)>,
}

/// Prints the events of the own groups of `hierarchies` and of those in them, until `patience` is over.
pub(crate) fn follow(hierarchies: &Hierarchies, patience: Option<Duration>) -> Result<Status, Fault> {
    let goal = "watch the cgroups";
    let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
    let inotify = own(goal, "inotify_init1(IN_CLOEXEC|IN_NONBLOCK)", || inotify::init(flags))?;
    let mut watch = Watch { inotify, groups: HashMap::new(), by_watch: HashMap::new(), next: 0, unwatched: 0 };
    for hierarchy in hierarchies.iter().filter(|hierarchy| hierarchy.is_mounted()) {
        let is_counted = |name: &String| ["memory", "pids", "cpu"].contains(&name.as_str());
        if hierarchy.version == 1 && !hierarchy.controllers.iter().any(is_counted) {
            continue;
        }
        let group = hierarchy.open(hierarchy.own_path())?;
        let Some(dir) = group.dir() else { continue };
        let dir = look(goal, format!("openat({:?})", group.shown()), || groups::open(dir, ".".as_ref()))?;
        watch.add(hierarchy, group.path().to_owned(), dir, false)?;
    }
    if watch.groups.is_empty() {
        return Err(Fault::new("cannot watch the cgroups: no hierarchy that counts events is mounted here"));
    }
    if hierarchies.v2().is_none() {
        narrate::remark("cgroup v1 does not count pressure, and its other counters are read every second");
    }
    if watch.unwatched > 0 {
        narrate::remark(format_args!(
            "the pressure of {} groups is not watched: name one of them with --cgroup",
            watch.unwatched
        ));
    }
    watch.run(patience.map(|patience| Instant::now() + patience))
}

/// A new group: its path and its directory.
type Made = (PathBuf, OwnedFd);

struct Watch<'h> {
    inotify: OwnedFd,
    groups: HashMap<usize, Watched<'h>>,
    /// The group of each watch.
    by_watch: HashMap<i32, usize>,
    next: usize,
    /// Groups whose pressure is not watched.
    unwatched: usize,
}

impl<'h> Watch<'h> {
    /// Watches a group and those in it. The events before are not printed, unless the group `is_new`.
    fn add(&mut self, hierarchy: &'h Hierarchy, path: PathBuf, dir: OwnedFd, is_new: bool) -> Result<(), Fault> {
        let number = self.next;
        self.next += 1;
        let place = format!("/proc/self/fd/{}", dir.as_raw_fd());
        self.watch(number, &place, WatchFlags::CREATE | WatchFlags::DELETE_SELF | WatchFlags::ONLYDIR)?;
        if hierarchy.version == 2 {
            for file in event_files::reported() {
                self.watch(number, &format!("{place}/{file}"), WatchFlags::MODIFY)?;
            }
        }
        let triggers = self.triggers(hierarchy, &path)?;
        let mut group = Watched { hierarchy, path, dir, values: Values::default(), triggers };
        // After the watches: an event in between is seen twice rather than never.
        group.read(is_new)?;
        let names = groups::directories(group.dir.as_fd()).unwrap_or_default();
        let inner: Vec<_> = names
            .into_iter()
            .filter_map(|name| Some((group.path.join(&name), groups::open(group.dir.as_fd(), &name).ok()?)))
            .collect();
        self.groups.insert(number, group);
        inner.into_iter().try_for_each(|(path, dir)| self.add(hierarchy, path, dir, is_new))
    }

    fn watch(&mut self, number: usize, path: &str, flags: WatchFlags) -> Result<(), Fault> {
        match inotify::add_watch(&self.inotify, path, flags) {
            Ok(watch) => {
                self.by_watch.insert(watch, number);
                Ok(())
            }
            // A file that this kernel or this group does not have; a group that was removed meanwhile.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NODEV) => Ok(()),
            Err(errno) => look("watch the cgroups", format!("inotify_add_watch({path:?})"), || Err(errno)),
        }
    }

    fn triggers(&mut self, hierarchy: &Hierarchy, path: &Path) -> Result<Vec<(&'static str, OwnedFd)>, Fault> {
        let mut triggers = Vec::new();
        if hierarchy.version != 2 {
            return Ok(triggers);
        }
        if self.groups.len() >= MOST_PRESSURE {
            self.unwatched += 1;
            return Ok(triggers);
        }
        let Ok(group) = hierarchy.open(path) else { return Ok(triggers) };
        for condition in PRESSURE {
            match pressure::trigger(Some(&group), condition) {
                Ok(trigger) => triggers.extend(trigger.map(|trigger| (condition.resource(), trigger))),
                Err(fault) => {
                    narrate::remark(fault);
                    break;
                }
            }
        }
        Ok(triggers)
    }

    fn run(&mut self, deadline: Option<Instant>) -> Result<Status, Fault> {
        let mut due = Instant::now() + PAUSE;
        loop {
            if narrate::is_dry_run() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Status::SUCCESS);
            }
            let until = deadline.map_or(due, |deadline| deadline.min(due));
            let rest = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            for (number, resource) in self.wait(rest)? {
                let Some(group) = self.groups.get_mut(&number) else { continue };
                match resource {
                    Some(resource) => group.stalled(resource)?,
                    None => {
                        if !group.read(true)? {
                            self.forget(number);
                        }
                    }
                }
            }
            if Instant::now() >= due {
                due = Instant::now() + PAUSE;
                let mut gone = Vec::new();
                for (number, group) in &mut self.groups {
                    if !group.read(true)? {
                        gone.push(*number);
                    }
                }
                gone.into_iter().for_each(|number| self.forget(number));
            }
        }
    }

    /// Waits for events; returns the groups whose counters have changed, and those under pressure with the resource.
    fn wait(&mut self, limit: Duration) -> Result<Vec<(usize, Option<&'static str>)>, Fault> {
        let mut places = Vec::new();
        let mut watched = vec![PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
        for (number, group) in &self.groups {
            for (resource, trigger) in &group.triggers {
                places.push((*number, Some(*resource)));
                watched.push(PollFd::new(trigger.as_fd(), PollFlags::POLLPRI));
            }
        }
        match poll(&mut watched, PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Fault::kernel("wait for events", "poll(inotify, triggers)", errno)),
        }
        let fires = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| events.contains(PollFlags::POLLPRI));
        let is_gone = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| events.contains(PollFlags::POLLERR));
        let mut found: Vec<_> =
            places.iter().zip(&watched[1..]).filter(|(_, fd)| fires(fd)).map(|(place, _)| *place).collect();
        let gone: Vec<usize> =
            places.iter().zip(&watched[1..]).filter(|(_, fd)| is_gone(fd)).map(|(place, _)| place.0).collect();
        drop(watched);
        // A trigger of a removed group stays ready.
        for number in gone {
            self.groups.entry(number).and_modify(|group| group.triggers.clear());
        }
        for (number, made) in self.changes()? {
            match made {
                Some((path, dir)) => {
                    let Some(hierarchy) = self.groups.get(&number).map(|group| group.hierarchy) else { continue };
                    // A group that was made while its parent was listed is found twice.
                    if !self.knows(hierarchy, &path, &dir) {
                        self.add(hierarchy, path, dir, true)?;
                    }
                }
                None => found.push((number, None)),
            }
        }
        Ok(found)
    }

    fn knows(&self, hierarchy: &Hierarchy, path: &Path, dir: &OwnedFd) -> bool {
        let inode = |dir: &OwnedFd| fstat(dir).ok().map(|stat| stat.st_ino);
        let is_same = |known: &Watched<'_>| {
            std::ptr::eq(known.hierarchy, hierarchy) && known.path == path && inode(&known.dir) == inode(dir)
        };
        self.groups.values().any(is_same)
    }

    /// Ends the watches of a group that was removed.
    fn forget(&mut self, number: usize) {
        self.groups.remove(&number);
        self.by_watch.retain(|_, group| *group != number);
    }

    /// Reads what inotify reports: groups whose files have changed, and new groups in them.
    fn changes(&self) -> Result<Vec<(usize, Option<Made>)>, Fault> {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 16 << 10];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut found = Vec::new();
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(rustix::io::Errno::AGAIN) => return Ok(found),
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return look("read the events", "read(inotify)", || Err(errno)),
            };
            let Some(number) = self.by_watch.get(&event.wd()).copied() else { continue };
            let made = event.events().contains(ReadFlags::CREATE | ReadFlags::ISDIR);
            match (event.file_name().filter(|_| made), self.groups.get(&number)) {
                (Some(name), Some(group)) => {
                    use std::os::unix::ffi::OsStrExt;
                    let name = std::ffi::OsStr::from_bytes(name.to_bytes());
                    if let Ok(dir) = groups::open(group.dir.as_fd(), name) {
                        found.push((number, Some((group.path.join(name), dir))));
                    }
                }
                _ if found.iter().any(|(known, made)| *known == number && made.is_none()) => {}
                _ => found.push((number, None)),
            }
        }
    }
}

impl Watched<'_> {
    /// Reads the counters, and prints those that have changed if `is_event`; returns whether the group still exists.
    fn read(&mut self, is_event: bool) -> Result<bool, Fault> {
        let changed = match self.values.update(self.dir.as_fd(), self.hierarchy) {
            Ok(changed) => changed,
            Err(rustix::io::Errno::NODEV | rustix::io::Errno::NOENT) => return Ok(false),
            Err(errno) => {
                let goal = format!("read the events of {}", Text::from(self.path.as_path()).shown());
                return look(goal, "read()", || Err(errno));
            }
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
        Ok(true)
    }

    fn stalled(&self, resource: &str) -> Result<(), Fault> {
        let event = format!("pressure.{resource}");
        let (time, group) = (now_in_seconds(), Text::from(self.path.as_path()));
        Event { time, group, event: &event, count: None, added: None, limit: None, value: None }.print()
    }
}

fn now_in_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
