//! Processes that are not the container's: seen, signalled, read. `pid_namespaces(7)`, `ptrace(2)`.
//!
//! A process is foreign when its mount namespace is not ours. The surprise: a container's own init often has more rights
//! than we have, and then its namespaces cannot be told; only in the host's pid namespace is that a sign.

use plumbing::Fault;
use plumbing::kernel::call;
use rustix::fs::OFlags;
use rustix::process::{Pid, test_kill_process};

use super::look::{link, named, open, processes, read};
use super::namespaces::is_initial;
use super::{By, Finding, Probe, Severity};

pub(super) const PROBES: &[Probe] = &[
    Probe {
        name: "pid-namespace",
        severity: Severity::High,
        why: "without one, the host's processes can be seen, and with enough rights signalled and read; pid_namespaces(7)",
        by: By::Looking(namespace),
    },
    Probe {
        name: "process-list",
        severity: Severity::Medium,
        why: "command lines of others tell names and secrets; proc(5)",
        by: By::Looking(list),
    },
    Probe {
        name: "signals",
        severity: Severity::High,
        why: "a process outside can be ended; kill(2)",
        by: By::Looking(signals),
    },
    Probe {
        name: "process-memory",
        severity: Severity::Critical,
        why: "a process outside can be read and made to do anything; ptrace(2)",
        by: By::Looking(memory),
    },
    Probe {
        name: "oom-score",
        severity: Severity::Low,
        why: "short of memory, the kernel ends other containers' processes before ours; proc_pid_oom_score_adj(5)",
        by: By::Looking(oom_score),
    },
];

/// As many as are tried.
const TRIED: usize = 8;

pub(super) fn foreign() -> Vec<i32> {
    let ours = link("/proc/self/ns/mnt");
    let theirs = |pid: &i32| link(&format!("/proc/{pid}/ns/mnt"));
    let is_hosts = is_initial("pid") != Some(false);
    let is_foreign = |pid: &i32| theirs(pid).map_or(is_hosts, |theirs| Some(theirs) != ours);
    processes().into_iter().filter(is_foreign).collect()
}

fn namespace() -> Result<Finding, Fault> {
    let is_kthreadd = read("/proc/2/comm").is_some_and(|name| name.trim_end() == "kthreadd");
    Ok(match is_initial("pid") {
        Some(true) => Finding::open("it is the host's"),
        _ if is_kthreadd => Finding::open("/proc shows the kernel's own threads"),
        Some(false) => Finding::held("it is not the host's"),
        None => Finding::unknown("there is no /proc to tell"),
    })
}

fn list() -> Result<Finding, Fault> {
    let all = processes();
    if all.is_empty() {
        return Ok(Finding::not_here("there is no /proc"));
    }
    if link("/proc/self").is_none_or(|pid| pid != std::process::id().to_string()) {
        return Ok(Finding::open(format!("/proc is of another pid namespace, with {} processes", all.len())));
    }
    let foreign: Vec<_> = foreign().into_iter().map(named).collect();
    Ok(Finding::none_of(&foreign, format!("{} processes, all in our mount namespace", all.len())))
}

fn signals() -> Result<Finding, Fault> {
    let mut open = Vec::new();
    for pid in foreign().into_iter().take(TRIED) {
        let Some(to) = Pid::from_raw(pid) else { continue };
        let why = "signal 0 is only asked about; kill(2)";
        if call("ask about a signal", format!("kill({pid}, 0)"), why, || test_kill_process(to)).is_ok() {
            open.push(named(pid));
        }
    }
    Ok(Finding::none_of(&open, "no foreign process could be signalled"))
}

/// Of this process alone, which ends with it.
fn oom_score() -> Result<Finding, Fault> {
    const PATH: &str = "/proc/self/oom_score_adj";
    let Ok(file) = open(PATH, OFlags::WRONLY) else {
        return Ok(match std::path::Path::new(PATH).exists() {
            true => Finding::held("it does not open for writing"),
            false => Finding::not_here("there is no /proc"),
        });
    };
    let why = "as low as it goes; proc_pid_oom_score_adj(5)";
    let text = format!("write({PATH:?}, \"-1000\")");
    Ok(match call("lower the score", text, why, || rustix::io::write(&file, b"-1000")) {
        Ok(_) => Finding::open("it can be lowered to -1000"),
        Err(fault) => Finding::held(fault.errno().map_or_else(|| fault.to_string(), |errno| format!("{errno:?}"))),
    })
}

fn memory() -> Result<Finding, Fault> {
    // A thread of the kernel has no program, and no memory.
    let foreign = foreign().into_iter().filter(|pid| link(&format!("/proc/{pid}/exe")).is_some());
    let open = foreign.take(TRIED).filter(|pid| open(format!("/proc/{pid}/mem"), OFlags::RDWR).is_ok());
    Ok(Finding::none_of(&open.map(named).collect::<Vec<_>>(), "no memory of a foreign process opens"))
}
