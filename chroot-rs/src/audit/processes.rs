//! Processes that are not the container's: whether they can be seen, signalled, read. `pid_namespaces(7)`, `ptrace(2)`.
//!
//! A process is foreign if its mount namespace is not ours. The surprise: a container's own init often has more privileges
//! than we have, so its namespaces cannot be read; only in the host's pid namespace this means that it is foreign.

use nix::unistd::getpgrp;
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
        why: "without one, the host's processes are visible, and with enough privileges can be signalled and read; pid_namespaces(7)",
        by: By::Looking(namespace),
    },
    Probe {
        name: "process-list",
        severity: Severity::Medium,
        why: "command lines of other processes reveal names and secrets; proc(5)",
        by: By::Looking(list),
    },
    Probe {
        name: "signals",
        severity: Severity::High,
        why: "a process outside can be killed, by its number or by kill(0); kill(2)",
        by: By::Looking(signals),
    },
    Probe {
        name: "process-memory",
        severity: Severity::Critical,
        why: "a process outside can be read and controlled; ptrace(2)",
        by: By::Looking(memory),
    },
    Probe {
        name: "oom-score",
        severity: Severity::Low,
        why: "when memory is short, the kernel kills other containers' processes first; proc_pid_oom_score_adj(5)",
        by: By::Looking(oom_score),
    },
];

/// The limit of foreign processes that are tried.
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
        _ if is_kthreadd => Finding::open("/proc shows kernel threads"),
        Some(false) => Finding::held("it is not the host's"),
        None => Finding::unknown("there is no /proc"),
    })
}

fn list() -> Result<Finding, Fault> {
    let all = processes();
    if all.is_empty() {
        return Ok(Finding::not_here("there is no /proc"));
    }
    if link("/proc/self").is_none_or(|pid| pid != std::process::id().to_string()) {
        return Ok(Finding::open(format!("/proc shows another pid namespace, with {} processes", all.len())));
    }
    let foreign: Vec<_> = foreign().into_iter().map(named).collect();
    Ok(Finding::none_of(&foreign, format!("{} processes, all in our mount namespace", all.len())))
}

fn signals() -> Result<Finding, Fault> {
    let mut open = Vec::new();
    // A group or session whose leader is outside has no number here.
    if getpgrp().as_raw() == 0 {
        open.push("kill(0) reaches the process group of a process outside".to_owned());
    }
    for pid in foreign().into_iter().take(TRIED) {
        let Some(to) = Pid::from_raw(pid) else { continue };
        let why = "signal 0 only checks the permission; kill(2)";
        if call("check whether a signal is permitted", format!("kill({pid}, 0)"), why, || test_kill_process(to)).is_ok()
        {
            open.push(named(pid));
        }
    }
    Ok(Finding::none_of(&open, "no foreign process can be signalled"))
}

/// Tries to lower the score of this process, which ends afterwards.
fn oom_score() -> Result<Finding, Fault> {
    const PATH: &str = "/proc/self/oom_score_adj";
    let Ok(file) = open(PATH, OFlags::WRONLY) else {
        return Ok(if std::path::Path::new(PATH).exists() {
            Finding::held("it is not writable")
        } else {
            Finding::not_here("there is no /proc")
        });
    };
    let why = "the lowest possible value; proc_pid_oom_score_adj(5)";
    let text = format!("write({PATH:?}, \"-1000\")");
    Ok(match call("lower the score", text, why, || rustix::io::write(&file, b"-1000")) {
        Ok(_) => Finding::open("it can be lowered to -1000"),
        Err(fault) => Finding::held(fault.errno().map_or_else(|| fault.to_string(), |errno| format!("{errno:?}"))),
    })
}

fn memory() -> Result<Finding, Fault> {
    // A kernel thread has no program and no memory.
    let foreign = foreign().into_iter().filter(|pid| link(&format!("/proc/{pid}/exe")).is_some());
    let open = foreign.take(TRIED).filter(|pid| open(format!("/proc/{pid}/mem"), OFlags::RDWR).is_ok());
    Ok(Finding::none_of(&open.map(named).collect::<Vec<_>>(), "the memory of no foreign process can be opened"))
}
