//! A snapshot of the machine, taken twice and compared: a row that cleans up after itself leaves no difference.
//!
//! Processes are our own descendants (see `children`); cgroups, interfaces, mounts, named network namespaces and
//! firewall rules are those of the whole machine, as far as this user may see them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::children;
use crate::harness::mounts::mounts_of;
use crate::harness::stat::Stat;

/// A snapshot: the identity of each object, and further details (a process can change its name).
pub struct Scan {
    objects: BTreeMap<String, String>,
}

impl Scan {
    /// Takes a snapshot.
    pub fn take() -> Self {
        children::collect();
        let mut objects: BTreeMap<_, _> = descendants().into_iter().map(Process::object).collect();
        let mut add = |kind: &str, names: Vec<String>| {
            objects.extend(names.iter().map(|name| (format!("{kind} {name}"), String::new())));
        };
        for hierarchy in mounts_of("cgroup").into_iter().chain(mounts_of("cgroup2")) {
            let mut groups = Vec::new();
            directories_below(Path::new(&hierarchy.point), &mut groups);
            add("cgroup", groups);
        }
        let interfaces = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
        add(
            "interface",
            interfaces.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect(),
        );
        add(
            "mount",
            fs::read_to_string("/proc/self/mountinfo").unwrap_or_default().lines().map(str::to_owned).collect(),
        );
        add("named network namespace", names_in("/run/netns"));
        add("firewall", firewall());
        Self { objects }
    }

    /// Lists the objects that are new in `after`, and those that are gone. A process that ended is not a difference.
    pub fn difference(&self, after: &Self) -> Vec<String> {
        let missing_in = |other: &Self, word: &str, all: &Self| -> Vec<String> {
            let only = all.objects.iter().filter(|(object, _)| !other.objects.contains_key(*object));
            only.map(|(object, detail)| format!("{word}: {object}{detail}")).collect()
        };
        let mut gone = missing_in(after, "gone", self);
        gone.retain(|line| !line.starts_with("gone: process "));
        [missing_in(self, "new", after), gone].concat()
    }

    /// Repeats the snapshot until it is the same, and panics with the difference if it is not after `limit`.
    #[track_caller]
    pub fn wait_until_same(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let difference = self.difference(&Self::take());
            if difference.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind after {limit:?}:\n{}", difference.join("\n"));
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Lists the processes that are still alive when the row has ended and `grace` is over. One of them would be seen by the
/// rows that follow.
pub fn descendants_after(grace: Duration) -> Vec<String> {
    let deadline = Instant::now() + grace;
    loop {
        if !children::collect() {
            return Vec::new();
        }
        if Instant::now() >= deadline {
            return descendants().iter().map(Process::description).collect();
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Kills the processes that a failed row left. First those in pid namespaces, so that a process which waits for the end of a
/// container to clean up after it has a second to do so; then the others.
pub fn end_descendants() {
    let start = Instant::now();
    loop {
        children::collect();
        let processes = descendants();
        // A process of another user, which we may not kill, ends the attempt.
        if processes.is_empty() || start.elapsed() > Duration::from_secs(5) {
            return;
        }
        let is_late = start.elapsed() > Duration::from_secs(1);
        for process in processes.iter().filter(|process| is_late || process.is_in_pid_namespace()) {
            // A process that has ended in between is fine.
            kill(Pid::from_raw(process.pid), Signal::SIGKILL).ok();
        }
        thread::sleep(Duration::from_millis(10));
    }
}

struct Process {
    pid: i32,
    parent: i32,
    name: String,
    start: String,
}

impl Process {
    /// Returns the process if it is alive.
    fn of(pid: i32) -> Option<Self> {
        let stat = Stat::of(pid).filter(Stat::is_alive)?;
        let (parent, start) = (stat.field(4).parse().ok()?, stat.field(22).to_owned());
        Some(Self { pid, parent, name: stat.name, start })
    }

    /// Returns its identity (a pid that is used again has another start time), and its current name.
    fn object(self) -> (String, String) {
        (format!("process {} started at {}", self.pid, self.start), format!(" ({})", self.name))
    }

    fn description(&self) -> String {
        let arguments = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        format!("process {} ({}): {arguments}", self.pid, self.name)
    }

    fn is_in_pid_namespace(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        pids.is_some_and(|pids| pids.split_whitespace().count() > 1)
    }
}

/// Lists all living descendants of this process.
fn descendants() -> Vec<Process> {
    let pids = names_in("/proc").into_iter().filter_map(|name| name.parse().ok());
    let mut rest: Vec<Process> = pids.filter_map(Process::of).collect();
    let mut family = BTreeSet::from([std::process::id().cast_signed()]);
    let mut found = Vec::new();
    loop {
        let (ours, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|process| family.contains(&process.parent));
        if ours.is_empty() {
            return found;
        }
        family.extend(ours.iter().map(|process| process.pid));
        found.extend(ours);
        rest = others;
    }
}

fn directories_below(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path().display().to_string());
            directories_below(&entry.path(), found);
        }
    }
}

fn names_in(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Lists the rules without counters, each line with its chain; empty if we may not read them.
fn firewall() -> Vec<String> {
    let Ok(output) = Command::new("nft").args(["--stateless", "list", "ruleset"]).output() else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut inside = String::new();
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("table ") || line.starts_with("chain ") {
            inside = line.trim_end_matches(" {").to_owned();
        }
        lines.push(format!("{inside}: {line}"));
    }
    lines
}
