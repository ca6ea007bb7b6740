//! `suite --look`: the command that both tools run. It prints what a process can find out about itself, one `key: value`
//! per line, without interpreting it.
//!
//! Without a proc of its pid namespace many values are unknown, which is a finding too. The disposition of SIGPIPE is
//! not reported, because Rust's start-up code changes it before we can read it.

use std::env;
use std::fmt::Display;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use nix::sys::stat::{Mode, umask};
use nix::unistd::{getcwd, getegid, geteuid, getgid, getgroups, getpgrp, getpid, getppid, getsid, getuid};
use rustix::process::parent_process_death_signal;
use rustix::thread::capabilities_secure_bits;
use rustix::time::{ClockId, clock_gettime};

const NAMESPACES: [&str; 10] =
    ["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"];
/// The fields of /proc/self/status to print.
const STATUS: [&str; 13] = [
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "SigBlk",
    "SigIgn",
    "SigPnd",
    "ShdPnd",
    "Uid",
    "Gid",
];

/// Prints what this process finds out about itself.
pub fn look() -> ExitCode {
    processes();
    credentials();
    surroundings();
    clocks();
    for kind in NAMESPACES {
        say(&format!("namespace {kind}"), link(&format!("/proc/self/ns/{kind}")));
    }
    for file in ["uid_map", "gid_map", "setgroups", "timens_offsets", "cgroup", "oom_score_adj", "limits"] {
        say(file, content(&format!("/proc/self/{file}")));
    }
    let status = content("/proc/self/status");
    for (name, value) in status.split("; ").filter_map(|line| line.split_once(": ")) {
        if STATUS.contains(&name) {
            say(name, if name.starts_with("Sig") { of_interest(value) } else { value.to_owned() });
        }
    }
    mounts();
    ExitCode::SUCCESS
}

fn say(key: &str, value: impl Display) {
    println!("{key}: {value}");
}

fn processes() {
    say("pid", getpid());
    say("parent", getppid());
    say("group", getpgrp());
    say("session", getsid(None).map_or_else(|errno| errno.to_string(), |session| session.to_string()));
    say("proc is ours", link("/proc/self") == getpid().to_string());
    say("dies with its parent", parent_process_death_signal().map_or_else(|errno| errno.to_string(), death_signal));
    for (index, argument) in env::args_os().enumerate().skip(2) {
        say(&format!("argument {index}"), format!("{argument:?}"));
    }
}

fn credentials() {
    say("user", format!("{} {}", getuid(), geteuid()));
    say("own group", format!("{} {}", getgid(), getegid()));
    say("groups", format!("{:?}", getgroups()));
    say("secure bits", format!("{:?}", capabilities_secure_bits()));
}

fn surroundings() {
    say("directory", getcwd().map_or_else(|errno| errno.to_string(), |path| path.display().to_string()));
    let root = fs::metadata("/").map(|root| format!("{}:{}", root.dev(), root.ino()));
    say("root", root.unwrap_or_else(|error| error.to_string()));
    let name = rustix::system::uname();
    say("host", format!("{:?} {:?}", name.nodename(), name.domainname()));
    let mask = umask(Mode::empty());
    say("umask", format!("{:03o}", mask.bits()));
    let mut variables: Vec<_> = env::vars_os().collect();
    variables.sort();
    for (name, value) in variables {
        say(&format!("variable {}", name.display()), format!("{value:?}"));
    }
    let descriptors = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    for number in descriptors.filter_map(|entry| entry.file_name().into_string().ok()) {
        let target = link(&format!("/proc/self/fd/{number}"));
        // Without the descriptor that lists the directory; and without the number of a pipe, which differs in each run.
        if !target.starts_with("/proc/") {
            say(&format!("descriptor {number}"), target.split(':').next().unwrap_or_default());
        }
    }
}

fn clocks() {
    for (name, clock) in
        [("realtime", ClockId::Realtime), ("monotonic", ClockId::Monotonic), ("boottime", ClockId::Boottime)]
    {
        say(&format!("clock {name}"), clock_gettime(clock).tv_sec);
    }
}

/// Prints the number of mounts, their propagation, and the mounts on / and /proc.
fn mounts() {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    say("mounts", table.lines().count());
    let mut propagations: Vec<_> = table.lines().map(propagation).collect();
    propagations.sort_unstable();
    propagations.dedup();
    say("propagation", propagations.join(", "));
    for point in ["/", "/proc"] {
        let here: Vec<_> = table.lines().filter(|line| line.split(' ').nth(4) == Some(point)).collect();
        say(&format!("mounts on {point}"), here.len());
        if let Some(last) = here.last() {
            let options = last.split(' ').nth(5).unwrap_or_default();
            say(&format!("mount on {point}"), format!("{options} {}", propagation(last)));
        }
    }
}

fn propagation(line: &str) -> String {
    let tags = line.split(' ').skip(6).take_while(|field| *field != "-");
    let kinds: Vec<_> = tags.map(|tag| tag.split(':').next().unwrap_or_default()).collect();
    if kinds.is_empty() { "private".to_owned() } else { kinds.join("+") }
}

fn link(path: &str) -> String {
    fs::read_link(path).map_or_else(|error| error.to_string(), |target| target.display().to_string())
}

fn death_signal(signal: Option<rustix::process::Signal>) -> String {
    signal.map_or_else(|| "no".to_owned(), |signal| format!("by signal {}", signal.as_raw()))
}

/// Returns all lines of a file as one, with single spaces.
fn content(path: &str) -> String {
    match fs::read_to_string(path) {
        Ok(text) => text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
            .join("; "),
        Err(error) => error.to_string(),
    }
}

/// Removes SIGPIPE from a signal mask, and the two signals that glibc reserves: whether posix_spawn(3) passes these on
/// ignored depends on how many threads the spawning process has had.
fn of_interest(mask: &str) -> String {
    const OTHERS: u64 = 1 << 12 | 1 << 31 | 1 << 32;
    u64::from_str_radix(mask, 16).map_or_else(|error| error.to_string(), |mask| format!("{:x}", mask & !OTHERS))
}
