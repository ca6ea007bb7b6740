//! /proc and /sys: writable settings of the machine, and files that reveal information about the machine. `proc(5)`,
//! `sysfs(5)`.
//!
//! The measure is Docker's list of masked and read-only paths. A file that can be opened for writing is not written to.

use std::fs;
use std::path::Path;

use plumbing::Fault;
use plumbing::process::mountinfo::Mount;
use plumbing::process::trial;
use rustix::fs::OFlags;

use super::look::{files_below, has_content, is_writable, mounts, open};
use super::trials::{Answer, attempted};
use super::{By, Finding, Probe, Severity};

pub(super) const PROBES: &[Probe] = &[
    Probe {
        name: "proc-sys",
        severity: Severity::Critical,
        why: "a program named in core_pattern or modprobe runs as root on the host; proc_sys_kernel(5)",
        by: By::Looking(settings),
    },
    Probe {
        name: "proc-sysrq-trigger",
        severity: Severity::High,
        why: "a letter written there restarts the host; proc_sysrq-trigger(5)",
        by: By::Looking(sysrq),
    },
    Probe {
        name: "proc-read-only",
        severity: Severity::Medium,
        why: "settings of interrupts, buses and file systems affect the whole machine; Docker makes them read-only",
        by: By::Looking(read_only),
    },
    Probe {
        name: "proc-kcore",
        severity: Severity::Critical,
        why: "it is the memory of the machine; proc_kcore(5)",
        by: By::Looking(kcore),
    },
    Probe {
        name: "proc-keys",
        severity: Severity::Medium,
        why: "keys have no namespace: it lists those of the host; keyrings(7)",
        by: By::Looking(keys),
    },
    Probe {
        name: "proc-masked",
        severity: Severity::Low,
        why: "they reveal information about the whole machine, even the timing of other containers (CVE-2018-10892)",
        by: By::Looking(masked),
    },
    Probe {
        name: "sys-writable",
        severity: Severity::High,
        why: "a program named in uevent_helper runs as root on the host; the other files are settings of the machine",
        by: By::Looking(sys_writable),
    },
    Probe {
        name: "sys-firmware",
        severity: Severity::Low,
        why: "it reveals details of the machine's firmware, including serial numbers; sysfs(5)",
        by: By::Looking(firmware),
    },
    Probe {
        name: "sys-power",
        severity: Severity::Medium,
        why: "energy counters reveal what other processes compute (CVE-2020-8694)",
        by: By::Looking(power),
    },
    Probe {
        name: "kernel-file-systems",
        severity: Severity::High,
        why: "file systems for debugging, tracing, eBPF and security modules give access to the kernel",
        by: By::Looking(file_systems),
    },
    Probe {
        name: "kernel-log",
        severity: Severity::Medium,
        why: "the log is that of the whole machine, and reveals kernel addresses; syslog(2)",
        by: By::Looking(log),
    },
];

const SETTINGS: [&str; 9] = [
    "kernel/core_pattern",
    "kernel/modprobe",
    "kernel/hotplug",
    "kernel/sysrq",
    "kernel/panic",
    "kernel/randomize_va_space",
    "vm/overcommit_memory",
    "vm/drop_caches",
    "fs/file-max",
];

const READ_ONLY: [&str; 4] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/asound"];

const MASKED: [&str; 8] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
];

const SYS: [&str; 8] = [
    "/sys/kernel/uevent_helper",
    "/sys/kernel/uevent_seqnum",
    "/sys/kernel/mm/ksm/run",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/profiling",
    "/sys/power/state",
    "/sys/power/disk",
    "/sys/devices/system/cpu/cpu1/online",
];

/// File systems that were not made for containers.
const FILE_SYSTEMS: [&str; 8] =
    ["debugfs", "tracefs", "bpf", "securityfs", "efivarfs", "configfs", "pstore", "binfmt_misc"];

fn settings() -> Result<Finding, Fault> {
    if !Path::new("/proc/sys").exists() {
        return Ok(Finding::not_here("there is no /proc/sys"));
    }
    let paths = SETTINGS.iter().map(|name| format!("/proc/sys/{name}"));
    Ok(Finding::none_of(&paths.filter(|path| is_writable(path)).collect::<Vec<_>>(), "none is writable"))
}

fn sysrq() -> Result<Finding, Fault> {
    let path = "/proc/sysrq-trigger";
    if !Path::new(path).exists() {
        return Ok(Finding::not_here("this kernel or root has none"));
    }
    Ok(if is_writable(path) { Finding::open("it is writable") } else { Finding::held("it is not writable") })
}

fn read_only() -> Result<Finding, Fault> {
    if !READ_ONLY.iter().any(|path| Path::new(path).exists()) {
        return Ok(Finding::not_here("there is no /proc, or it lacks these files"));
    }
    let files = READ_ONLY.iter().flat_map(|path| files_below(Path::new(path)));
    let open: Vec<_> = files.filter(|path| is_writable(path)).map(|path| path.to_string_lossy().into_owned()).collect();
    Ok(Finding::none_of(&open, "no file below is writable"))
}

fn kcore() -> Result<Finding, Fault> {
    Ok(readable("/proc/kcore", "it is masked or refused"))
}

fn keys() -> Result<Finding, Fault> {
    Ok(readable("/proc/keys", "it is masked or empty"))
}

/// Reports whether a file exists and can be read; `held` says why it cannot.
fn readable(path: &str, held: &str) -> Finding {
    if !Path::new(path).exists() {
        return Finding::not_here("this kernel or root has none");
    }
    if has_content(path) { Finding::open("it can be read") } else { Finding::held(held) }
}

fn masked() -> Result<Finding, Fault> {
    if !Path::new("/proc/self").exists() {
        return Ok(Finding::not_here("there is no /proc"));
    }
    Ok(with_content(&MASKED))
}

fn with_content(paths: &[&str]) -> Finding {
    let open: Vec<_> = paths.iter().filter(|path| has_content(path)).map(|path| (*path).to_owned()).collect();
    Finding::none_of(&open, "all that exist are masked, empty or refused")
}

fn sys_writable() -> Result<Finding, Fault> {
    if fs::read_dir("/sys").map_or(true, |mut entries| entries.next().is_none()) {
        return Ok(Finding::not_here("there is no /sys"));
    }
    let paths = SYS.iter().filter(|path| is_writable(path)).map(|path| (*path).to_owned());
    Ok(Finding::none_of(&paths.collect::<Vec<_>>(), "none of the settings is writable"))
}

fn firmware() -> Result<Finding, Fault> {
    if !Path::new("/sys/firmware").exists() {
        return Ok(Finding::not_here("there is no /sys/firmware"));
    }
    Ok(with_content(&["/sys/firmware"]))
}

fn power() -> Result<Finding, Fault> {
    let mut paths = vec!["/sys/devices/virtual/powercap".to_owned()];
    for cpu in fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten() {
        paths.push(cpu.path().join("thermal_throttle").to_string_lossy().into_owned());
    }
    paths.retain(|path| Path::new(path).exists());
    if paths.is_empty() {
        return Ok(Finding::not_here("this machine or root has no counters"));
    }
    Ok(with_content(&paths.iter().map(String::as_str).collect::<Vec<_>>()))
}

fn file_systems() -> Result<Finding, Fault> {
    let Some(mounts) = mounts() else { return Ok(Finding::unknown("there is no /proc that lists mounts")) };
    let shown = |mount: &Mount| format!("{} ({})", mount.point.display(), mount.fs_type);
    let open = mounts.iter().filter(|mount| FILE_SYSTEMS.contains(&mount.fs_type.as_str()));
    Ok(Finding::none_of(&open.map(shown).collect::<Vec<_>>(), "none is mounted"))
}

fn log() -> Result<Finding, Fault> {
    let mut ways = Vec::new();
    if let Answer::Answered(text) = attempted(&trial::SYSLOG)? {
        ways.push(text);
    }
    if open("/dev/kmsg", OFlags::RDONLY).is_ok() {
        ways.push("/dev/kmsg opens".to_owned());
    }
    Ok(Finding::none_of(&ways, "neither syslog nor /dev/kmsg answers"))
}
