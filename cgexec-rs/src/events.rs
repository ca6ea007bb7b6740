//! `--events`: OOM kills, reached limits, frozen or empty groups and pressure, as JSON lines when they happen, in a group
//! and all groups in it. `inotify(7)`, the kernel's `Documentation/accounting/psi.rst`. Changes nothing.
//!
//! The surprise: inotify names the file that has changed, and nothing else, so all counters of that group are read again
//! and compared. A group that is made later is found by its parent's directory. Groups of other users must not end the view:
//! a group that cannot be watched is left out, and named.

mod finding;

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::kernel::{look, own};
use plumbing::{Fault, Status, narrate};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::groups;
use crate::watched::{self, Identity, Seen, Watched};

/// How often the counters are read that the kernel does not report.
const PAUSE: Duration = Duration::from_secs(1);

/// Prints the events of the own groups of `hierarchies` and of those in them, until `patience` is over.
pub(crate) fn follow(hierarchies: &Hierarchies, patience: Option<Duration>) -> Result<Status, Fault> {
    let goal = "watch the cgroups";
    allow_descriptors()?;
    let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
    let inotify = own(goal, "inotify_init1(IN_CLOEXEC|IN_NONBLOCK)", || inotify::init(flags))?;
    let mut watch = Watch::new(inotify);
    let mut tops = Vec::new();
    for hierarchy in hierarchies.iter().filter(|hierarchy| hierarchy.is_mounted()) {
        let is_counted = |name: &String| ["memory", "pids", "cpu"].contains(&name.as_str());
        if hierarchy.version == 1 && !hierarchy.controllers.iter().any(is_counted) {
            continue;
        }
        let group = hierarchy.open(hierarchy.own_path())?;
        let Some(dir) = group.dir() else { continue };
        let dir = look(goal, format!("openat({:?})", group.shown()), || groups::open(dir, ".".as_ref()))?;
        tops.extend(watch.add(hierarchy, group.path().to_owned(), dir, false)?);
    }
    watch.add_inner(tops, false)?;
    if watch.groups.is_empty() {
        return Err(Fault::new(match watch.named {
            0 => "cannot watch the cgroups: no hierarchy that counts events is mounted here",
            _ => "cannot watch the cgroups: none of them can be watched",
        }));
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

/// Raises the soft limit of descriptors: each group needs one, and others make groups.
fn allow_descriptors() -> Result<(), Fault> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return Ok(());
    }
    let shown = maximum.map_or("RLIM64_INFINITY".to_owned(), |maximum| maximum.to_string());
    let text = format!("prlimit64(0, RLIMIT_NOFILE, {{rlim_cur={shown}, rlim_max={shown}}}, NULL)");
    own("open more files", text, || setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }))
}

struct Watch<'h> {
    inotify: OwnedFd,
    groups: HashMap<usize, Watched<'h>>,
    /// The group of each watch.
    by_watch: HashMap<i32, usize>,
    known: HashMap<Identity, usize>,
    next: usize,
    /// The bytes of the paths of the groups.
    bytes: usize,
    /// Groups whose pressure is not watched.
    unwatched: usize,
    /// Groups that were named because they cannot be watched.
    named: usize,
    /// Whether to say when the pressure of a group is not watched: at the start the number is said.
    says_unwatched: bool,
}

/// What inotify has reported.
#[derive(Default)]
struct Changes {
    /// Groups whose files have changed.
    changed: BTreeSet<usize>,
    /// New groups: the group in which it is, and its name.
    made: Vec<(usize, OsString)>,
    /// Whether the kernel has dropped reports.
    has_lost: bool,
}

impl<'h> Watch<'h> {
    fn new(inotify: OwnedFd) -> Watch<'h> {
        Watch {
            inotify,
            groups: HashMap::new(),
            by_watch: HashMap::new(),
            known: HashMap::new(),
            next: 0,
            bytes: 0,
            unwatched: 0,
            named: 0,
            says_unwatched: false,
        }
    }

    fn run(&mut self, deadline: Option<Instant>) -> Result<Status, Fault> {
        self.says_unwatched = true;
        let mut due = Instant::now() + PAUSE;
        loop {
            if narrate::is_dry_run() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Status::SUCCESS);
            }
            let until = deadline.map_or(due, |deadline| deadline.min(due));
            let rest = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            for (number, resource) in self.wait(rest)? {
                match resource {
                    Some(resource) => self.groups.get(&number).map_or(Ok(()), |group| group.stalled(resource))?,
                    None => self.read(number)?,
                }
            }
            if Instant::now() >= due {
                due = Instant::now() + PAUSE;
                let numbers: Vec<usize> = self.groups.keys().copied().collect();
                numbers.into_iter().try_for_each(|number| self.read(number))?;
            }
        }
    }

    /// Reads the counters of a group; forgets a group that was removed, or that may no longer be read.
    fn read(&mut self, number: usize) -> Result<(), Fault> {
        let Some(group) = self.groups.get_mut(&number) else { return Ok(()) };
        match group.read(true)? {
            Seen::Counted => {}
            Seen::Gone => drop(self.forget(number)),
            // Of the whole machine; the next reading may succeed.
            Seen::Refused(rustix::io::Errno::NFILE | rustix::io::Errno::NOMEM) => {}
            Seen::Refused(errno) => {
                if let Some(group) = self.forget(number) {
                    watched::end_watches(&self.inotify, &group.watches);
                    self.leave_out("", &group.path, errno);
                }
            }
        }
        Ok(())
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
        let Changes { mut changed, made, has_lost } = self.changes()?;
        for (number, name) in made {
            let added = self.add_named(number, &name, true)?;
            self.add_inner(added.into_iter().collect(), true)?;
        }
        if has_lost {
            let numbers: Vec<usize> = self.groups.keys().copied().collect();
            changed.extend(&numbers);
            self.add_inner(numbers, true)?;
        }
        found.extend(changed.into_iter().map(|number| (number, None)));
        Ok(found)
    }

    /// Ends the watches of a group that was removed.
    fn forget(&mut self, number: usize) -> Option<Watched<'h>> {
        let group = self.groups.remove(&number)?;
        self.known.remove(&group.identity);
        self.bytes -= group.path.as_os_str().len();
        for watch in &group.watches {
            self.by_watch.remove(watch);
        }
        Some(group)
    }

    /// Reads what inotify reports.
    fn changes(&self) -> Result<Changes, Fault> {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 16 << 10];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut changes = Changes::default();
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(rustix::io::Errno::AGAIN) => return Ok(changes),
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return look("read the events", "read(inotify)", || Err(errno)),
            };
            changes.has_lost |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            let Some(number) = self.by_watch.get(&event.wd()).copied() else { continue };
            let is_made = event.events().contains(ReadFlags::CREATE | ReadFlags::ISDIR);
            match event.file_name().filter(|_| is_made) {
                Some(name) => changes.made.push((number, OsStr::from_bytes(name.to_bytes()).to_owned())),
                None => drop(changes.changed.insert(number)),
            }
        }
    }
}
