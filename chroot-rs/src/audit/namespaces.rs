//! Namespaces that are the host's, and those that can be made or joined. `namespaces(7)`.
//!
//! Two facts reveal the host's: the first namespace of most kinds has the same inode on every machine
//! (<linux/proc_ns.h>), and some settings of /proc/sys/net exist only in the first network namespace.

use std::path::Path;

use nix::sched::{CloneFlags, setns};
use plumbing::Fault;
use plumbing::kernel::call;
use plumbing::process::trial;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::look::{link, read, some};
use super::trials::{Answer, attempted};
use super::{By, Finding, Probe, Severity};

pub(super) const PROBES: &[Probe] = &[
    Probe {
        name: "net-namespace",
        severity: Severity::High,
        why: "the container shares the host's interfaces, loopback services and firewall; network_namespaces(7)",
        by: By::Looking(net),
    },
    Probe {
        name: "abstract-sockets",
        severity: Severity::High,
        why: "services of the host listen on them, and can be reached by name (CVE-2020-15257); unix(7)",
        by: By::Looking(abstract_sockets),
    },
    Probe {
        name: "ipc-namespace",
        severity: Severity::Medium,
        why: "the container shares the host's shared memory and message queues; ipc_namespaces(7)",
        by: By::Looking(ipc),
    },
    Probe {
        name: "host-name",
        severity: Severity::Medium,
        why: "the host's own name can be changed; uts_namespaces(7)",
        by: By::Looking(host_name),
    },
    Probe {
        name: "clock",
        severity: Severity::High,
        why: "the clock is that of the whole machine, and certificates and logs depend on it; settimeofday(2)",
        by: By::Calling(&[trial::SETTIMEOFDAY]),
    },
    Probe {
        name: "setns",
        severity: Severity::Medium,
        why: "a process that may join namespaces can use any that it can open; setns(2)",
        by: By::Looking(join),
    },
    Probe {
        name: "new-user-namespace",
        severity: Severity::Medium,
        why: "inside one, a process has all capabilities for parts of the kernel that otherwise only root can reach; user_namespaces(7)",
        by: By::Calling(&[trial::UNSHARE_USER]),
    },
];

/// The inodes of the first namespaces, `PROC_*_INIT_INO`.
const INITIAL: [(&str, &str); 6] = [
    ("ipc", "ipc:[4026531839]"),
    ("uts", "uts:[4026531838]"),
    ("user", "user:[4026531837]"),
    ("pid", "pid:[4026531836]"),
    ("cgroup", "cgroup:[4026531835]"),
    ("net", "net:[4026531833]"),
];

/// Reports whether our namespace of that kind is the first one; nothing if there is no /proc.
pub(super) fn is_initial(kind: &str) -> Option<bool> {
    let ours = link(&format!("/proc/self/ns/{kind}"))?;
    Some(INITIAL.iter().any(|(_, first)| *first == ours))
}

/// Reports whether the network namespace is the first one. On older kernels its inode shows nothing, but only the first has
/// this setting.
fn is_initial_net() -> Option<bool> {
    let has_setting = Path::new("/proc/sys/net/core/netdev_budget").exists();
    is_initial("net").map(|by_inode| by_inode || has_setting)
}

fn net() -> Result<Finding, Fault> {
    let devices = read("/proc/self/net/dev").unwrap_or_default();
    let names: Vec<String> =
        devices.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect();
    Ok(match is_initial_net() {
        Some(true) => Finding::open(format!("it is the host's, with {}", some(&names))),
        Some(false) => Finding::held(format!("it is not the host's: {}", some(&names))),
        None => Finding::unknown("there is no /proc"),
    })
}

fn abstract_sockets() -> Result<Finding, Fault> {
    let Some(sockets) = read("/proc/self/net/unix") else {
        return Ok(Finding::unknown("there is no /proc"));
    };
    let names = sockets.lines().filter_map(|line| line.split_whitespace().nth(7)).filter(|name| name.starts_with('@'));
    let names: Vec<String> = names.map(str::to_owned).collect();
    Ok(match is_initial_net() {
        Some(true) => Finding::none_of(&names, "the host has none"),
        _ => Finding::held("in a network namespace that is not the host's"),
    })
}

fn ipc() -> Result<Finding, Fault> {
    let objects = ["msg", "sem", "shm"]
        .map(|kind| read(format!("/proc/sysvipc/{kind}")).map_or(0, |list| list.lines().count().saturating_sub(1)));
    Ok(match is_initial("ipc") {
        Some(true) => Finding::open(format!("it is the host's, with {} objects", objects.iter().sum::<usize>())),
        Some(false) => Finding::held("it is not the host's"),
        None => Finding::unknown("there is no /proc"),
    })
}

fn host_name() -> Result<Finding, Fault> {
    Ok(match (attempted(&trial::SETHOSTNAME)?, is_initial("uts")) {
        (Answer::Refused(text), _) => Finding::held(text),
        (Answer::Untried(text), _) => Finding::unknown(text),
        (Answer::Answered(_), Some(false)) => Finding::held("it can be set, but is not the host's"),
        (Answer::Answered(text), Some(true)) => Finding::open(format!("{text}, and it is the host's")),
        (Answer::Answered(text), None) => Finding::unknown(format!("{text}; without /proc it is unknown whose it is")),
    })
}

/// Joins the namespace that we are in already: that changes nothing, but needs the same privilege.
fn join() -> Result<Finding, Fault> {
    let Ok(ourselves) = pidfd_open(getpid(), PidfdFlags::empty()) else {
        return Ok(Finding::unknown("pidfd_open is refused"));
    };
    let why = "the namespace that we are in; setns(2)";
    let joined =
        call("join a namespace", "setns(fd, CLONE_NEWUTS)", why, || setns(&ourselves, CloneFlags::CLONE_NEWUTS));
    Ok(match joined.map_err(|fault| fault.errno()) {
        Ok(()) => Finding::open("setns succeeds"),
        Err(errno) => Finding::held(errno.map_or_else(String::new, |errno| format!("setns: {errno:?}"))),
    })
}
