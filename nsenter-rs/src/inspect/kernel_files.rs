//! Files of /proc and /sys that control or show the whole machine, and whether mounts over them prevent writing.
//! `proc(5)`, `sysfs(5)`.
//!
//! The host's root owns them, so root in another user namespace cannot write them, however they are mounted.

use std::collections::HashSet;
use std::path::Path;

use plumbing::process::mountinfo::Mount;
use plumbing::text::Text;
use serde::Serialize;

use super::findings::{Findings, Severity, Standing};
use super::mount_table::MountTable;
use super::reading::List;

/// The maximum number of mounts of /proc and /sys that are examined. A process that makes more does so to exhaust us,
/// and a finding reports it.
const MOST: usize = 256;

struct Row {
    fs_type: &'static str,
    /// The path in that file system.
    file: &'static str,
    write: bool,
    reason: &'static str,
}

const fn row(fs_type: &'static str, file: &'static str, write: bool, reason: &'static str) -> Row {
    Row { fs_type, file, write, reason }
}

const ROWS: &[Row] = &[
    row("proc", "/sys/kernel/core_pattern", true, "names a program that the host runs as root when a process crashes"),
    row("proc", "/sys/kernel/modprobe", true, "names a program that the host runs as root to load a module"),
    row("proc", "/sys/vm", true, "controls the host's memory management"),
    row("proc", "/sysrq-trigger", true, "reboots or crashes the host"),
    row("proc", "/irq", true, "controls which CPU serves the host's interrupts"),
    row("sysfs", "/kernel/uevent_helper", true, "names a program that the host runs as root for device events"),
    row("sysfs", "/kernel", true, "controls the host's kernel"),
    row("sysfs", "/power", true, "suspends the host"),
    row("sysfs", "/firmware", false, "shows, and in part changes, the settings of the host's firmware"),
    row("proc", "/kcore", false, "shows the host's memory"),
    row("proc", "/keys", false, "lists the host's keys"),
    row("proc", "/timer_list", false, "shows the timers of the host's CPUs, and addresses of the kernel"),
    row("proc", "/sched_debug", false, "shows the host's processes"),
    row("proc", "/acpi", false, "controls which devices wake the host"),
    row("proc", "/scsi", false, "adds and removes the host's disks"),
];

/// Such a file, and how the process sees it.
#[derive(Debug, Serialize)]
pub(super) struct KernelFile {
    pub(super) path: Text,
    /// One of `writable`, `read-only`, `readable`, `masked`.
    pub(super) state: &'static str,
}

/// Lists these files as the mounts of a process show them, with a finding for each that is open.
pub(super) fn of(table: &MountTable, standing: &Standing, findings: &mut Findings) -> List<KernelFile> {
    let (mut files, mut seen) = (List::new(), HashSet::new());
    let is_one = |mount: &&Mount| mount.fs_type == "proc" || mount.fs_type == "sysfs";
    for (number, mount) in table.in_reach(standing.may_unmount).filter(is_one).enumerate() {
        if number == MOST {
            findings.add(Severity::Weakness, "not-all-read", "it has more mounts of /proc and /sys than are examined");
            break;
        }
        for row in ROWS.iter().filter(|row| row.fs_type == mount.fs_type) {
            let Ok(below) = Path::new(row.file).strip_prefix(&mount.root) else { continue };
            let path = if below.as_os_str().is_empty() { mount.point.clone() } else { mount.point.join(below) };
            // A file that this kernel does not have needs no mask.
            let here = Path::new(if row.fs_type == "proc" { "/proc" } else { "/sys" }).join(&row.file[1..]);
            if !here.exists() || !seen.insert(path.clone()) {
                continue;
            }
            let state = state(row, table.at(&path), &path);
            let bytes = path.as_os_str().len();
            let path = Text::from(path.as_path());
            judge(row, state, &path, standing, findings);
            files.push(KernelFile { path, state }, bytes);
        }
    }
    files
}

fn state(row: &Row, on_top: Option<&Mount>, path: &Path) -> &'static str {
    let is_itself = |mount: &&Mount| {
        let below = path.strip_prefix(&mount.point).unwrap_or(Path::new(""));
        mount.fs_type == row.fs_type && mount.root.join(below) == Path::new(row.file)
    };
    match on_top.filter(is_itself) {
        None => "masked",
        Some(_) if !row.write => "readable",
        Some(mount) if mount.is_read_only() => "read-only",
        Some(_) => "writable",
    }
}

fn judge(row: &Row, state: &str, path: &Text, standing: &Standing, findings: &mut Findings) {
    let Some(severity) = standing.as_root() else { return };
    match state {
        "writable" => findings.add_at(severity, "writable-kernel-file", row.reason, path.clone()),
        "readable" => findings.add_at(Severity::Weakness, "unmasked-kernel-file", row.reason, path.clone()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_mount_decides_the_state_of_a_file() {
        let mount = |line: &str| Mount::parse(line.as_bytes()).unwrap();
        let proc = mount("92 91 0:40 / /proc rw - proc proc rw");
        let part = mount("93 92 0:40 /sys /proc/sys ro - proc proc rw");
        let mask = mount("94 92 0:6 /null /proc/kcore rw - devtmpfs d rw");
        let of =
            |file, mount, path: &str| state(ROWS.iter().find(|row| row.file == file).unwrap(), mount, Path::new(path));
        let pattern = "/sys/kernel/core_pattern";
        assert_eq!(of(pattern, Some(&proc), "/proc/sys/kernel/core_pattern"), "writable");
        assert_eq!(of(pattern, Some(&part), "/proc/sys/kernel/core_pattern"), "read-only");
        assert_eq!(of("/kcore", Some(&mask), "/proc/kcore"), "masked");
        assert_eq!(of("/kcore", Some(&proc), "/proc/kcore"), "readable");
        assert_eq!(of("/kcore", None, "/proc/kcore"), "masked");
    }
}
