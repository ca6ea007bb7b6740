//! Which mounts show files of the host, and which of those give a way to the host. `proc_pid_mountinfo(5)`.
//!
//! A mount shows the host's files if its file system is mounted on the host as well; the host's table shows where.
//! Mount points are text that somebody inside may have chosen, so nothing is opened by them. A socket can be used
//! through a read-only mount.

use std::collections::HashSet;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use plumbing::process::mountinfo::Mount;
use plumbing::text::Text;
use rustix::thread::CapabilitySet;
use serde::Serialize;

use super::findings::{Findings, Severity, Standing};
use super::kernel_file_systems::{KERNEL, NO_FILES};
use super::kernel_files::{self, KernelFile};
use super::mount_table::MountTable;
use super::reading::List;
use Severity::{Danger, Weakness};
use plumbing::confinement::sensitive::{DIRECTORIES, PROGRAMS, SOCKET_NAMES, SOCKET_PATHS};

/// The mounts of a process, as a member of `isolation`.
#[derive(Debug, Serialize)]
pub(super) struct Mounts {
    pub(super) total: usize,
    /// Mounts of file systems that the host has mounted as well.
    pub(super) of_host: List<OfHost>,
    pub(super) kernel_files: List<KernelFile>,
}

/// A mount that shows files of the host.
#[derive(Debug, Serialize)]
pub(super) struct OfHost {
    pub(super) point: Text,
    /// The path of the same files on the host.
    pub(super) host: Text,
    #[serde(rename = "type")]
    pub(super) fs_type: String,
    pub(super) read_only: bool,
}

/// The facts by which mounts are judged.
pub(super) struct Judge<'a> {
    pub(super) host: &'a MountTable,
    pub(super) standing: &'a Standing,
    pub(super) own_pids: bool,
    /// The sockets that exist at their usual paths on the host.
    pub(super) sockets: Vec<&'static Path>,
}

impl Mounts {
    /// Returns the summary of a process that has the host's mounts, which are not worth a list.
    pub(super) fn all_of_host(table: &MountTable) -> Mounts {
        Mounts { total: table.mounts.len(), of_host: List::new(), kernel_files: List::new() }
    }

    /// Judges all mounts, with a finding for each that gives a way to the host.
    pub(super) fn of(table: &MountTable, judge: &Judge<'_>, findings: &mut Findings) -> Mounts {
        let mut of_host = List::new();
        let peers = judge.host.peer_groups();
        let host_procs: HashSet<_> =
            judge.host.mounts.iter().filter(|mount| mount.fs_type == "proc").map(|mount| mount.device).collect();
        for mount in table.in_reach(judge.standing.may_unmount) {
            judge.kernel_file_system(mount, findings);
            if mount.fs_type == "proc" && judge.own_pids && host_procs.contains(&mount.device) {
                let reason = "a /proc of the host: it shows the host's processes, and root reaches their files through /proc/PID/root";
                findings.add_at(judge.severity_as_root(), "host-proc", reason, point(mount));
            }
            if mount.peer_group.is_some_and(|group| peers.contains(&group)) {
                let reason =
                    "mounts made there appear on the host, and mounts made on the host appear there (propagation)";
                let severity = if judge.standing.power.contains(CapabilitySet::SYS_ADMIN) { Danger } else { Weakness };
                findings.add_at(severity, "propagates-to-host", reason, point(mount));
            }
            if NO_FILES.contains(&mount.fs_type.as_str()) {
                continue;
            }
            // Before the host's table is searched: the name alone is enough for a finding.
            judge.socket(mount, findings);
            let places = judge.host.paths_of(mount);
            places.iter().for_each(|host| judge.files(mount, host, &mount.point, findings));
            for (host, below) in judge.host.parts_of(mount) {
                judge.files(mount, &host, &mount.point.join(below), findings);
            }
            let Some(host) = places.into_iter().next() else { continue };
            let bytes = host.as_os_str().len() + mount.point.as_os_str().len();
            let entry = OfHost {
                point: point(mount),
                host: Text::from(host.as_path()),
                fs_type: mount.fs_type.clone(),
                read_only: mount.is_read_only(),
            };
            of_host.push(entry, bytes);
        }
        if !table.is_whole {
            findings.add(Weakness, "not-all-read", "its mount table is longer than the part that is read");
        }
        let kernel_files = kernel_files::of(table, judge.standing, findings);
        Mounts { total: table.mounts.len(), of_host, kernel_files }
    }
}

impl Judge<'_> {
    fn severity_as_root(&self) -> Severity {
        self.standing.as_root().unwrap_or(Weakness)
    }

    fn socket(&self, mount: &Mount, findings: &mut Findings) {
        let is_socket = |path: &Path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| SOCKET_NAMES.contains(&name))
        };
        if is_socket(&mount.root) || is_socket(&mount.point) {
            findings.add_at(Danger, "engine-socket", ENGINE, point(mount));
        }
    }

    /// Judges files of the host, which are at `host` there and at `at` inside.
    fn files(&self, mount: &Mount, host: &Path, at: &Path, findings: &mut Findings) {
        let point = |_: &Mount| Text::from(at);
        let is_in = |list: &[&str]| list.iter().any(|known| Path::new(known) == host);
        // A read-only mount is not a way out by itself.
        let severity = if mount.is_read_only() { Weakness } else { self.severity_as_root() };
        let how = if mount.is_read_only() { "read" } else { "read and written" };
        if host == Path::new("/") {
            findings.add_at(
                severity,
                "host-root",
                format!("the host's root directory, all of which can be {how}"),
                point(mount),
            );
        } else if is_in(DIRECTORIES) || !mount.is_read_only() && is_in(PROGRAMS) {
            let reason = format!("{} of the host, which can be {how}", host.display());
            findings.add_at(severity, "host-directory", reason, point(mount));
        }
        for socket in &self.sockets {
            let below = socket.strip_prefix(host).ok().filter(|below| !below.as_os_str().is_empty());
            let Some(below) = below else { continue };
            let shown = PathBuf::from(at).join(below);
            findings.add_at(Danger, "engine-socket", ENGINE, Text::from(shown.as_path()));
        }
    }

    fn kernel_file_system(&self, mount: &Mount, findings: &mut Findings) {
        let writable = !mount.is_read_only();
        match mount.fs_type.as_str() {
            "cgroup" if writable && self.standing.is_host_root() => {
                let (severity, reason) = if self.standing.power.contains(CapabilitySet::SYS_ADMIN) {
                    (
                        Danger,
                        "a writable cgroup v1 hierarchy: its release_agent names a program that the host runs as root",
                    )
                } else {
                    (Weakness, "a writable cgroup hierarchy: limits can be lifted")
                };
                findings.add_at(severity, "writable-cgroup", reason, point(mount));
            }
            "cgroup2" if writable && self.standing.is_host_root() => {
                findings.add_at(
                    Weakness,
                    "writable-cgroup",
                    "a writable cgroup hierarchy: limits can be lifted",
                    point(mount),
                );
            }
            "devtmpfs" if mount.root == Path::new("/") && !mount.has("nodev") => {
                findings.add_at(
                    self.severity_as_root(),
                    "host-devices",
                    "all devices of the host, including its disks and memory",
                    point(mount),
                );
            }
            "devtmpfs" if !mount.has("nodev") => self.device(mount, findings),
            other => {
                if let Some((_, does)) = KERNEL.iter().find(|(name, _)| *name == other)
                    && let Some(severity) = self.standing.as_root()
                {
                    let severity = if writable { severity } else { Weakness };
                    findings.add_at(severity, "kernel-file-system", format!("{other}: {does}"), point(mount));
                }
            }
        }
    }

    /// Judges a device of the host that is bind-mounted on a file: the host's own /dev shows which device it is.
    fn device(&self, mount: &Mount, findings: &mut Findings) {
        let Some(host) = self.host.path_of(mount) else { return };
        let Ok(stat) = rustix::fs::lstat(&host) else { return };
        if let Some(reason) = super::devices::reason(&stat) {
            findings.add_at(self.severity_as_root(), "host-device", reason, point(mount));
        }
    }
}

const ENGINE: &str =
    "a socket of a container engine or of a host service: connecting to it gives the power of the host's root";

fn point(mount: &Mount) -> Text {
    Text::from(mount.point.as_path())
}

/// Returns the well-known sockets of services that exist on this host.
pub(super) fn sockets_here() -> Vec<&'static Path> {
    let is_socket = |path: &&Path| std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    SOCKET_PATHS.iter().map(Path::new).filter(is_socket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &[&str] = &[
        "1 0 254:0 / / rw shared:1 - ext4 a rw",
        "2 1 0:9 / /run rw - tmpfs b rw",
        "3 1 0:5 / /proc rw - proc p rw",
        "4 1 0:6 / /dev rw - devtmpfs d rw",
        "5 1 254:7 / /boot rw - ext4 v rw",
        "6 1 254:7 / /mnt/b rw - ext4 v rw",
        "7 1 254:8 /homes/of-root /root rw - ext4 w rw",
    ];

    fn table(lines: &[&str]) -> MountTable {
        MountTable::new(lines.iter().map(|line| Mount::parse(line.as_bytes()).unwrap()).collect(), true)
    }

    /// Returns severity, id and place of the findings about one mount of a container.
    fn found(line: &str, is_root: bool, power: CapabilitySet) -> Vec<String> {
        let standing = Standing { maps_root: is_root, is_root: true, no_new_privs: true, may_unmount: false, power };
        let host = table(HOST);
        let sockets = vec![Path::new("/run/docker.sock"), Path::new("/var/lib/lxd/unix.socket")];
        let judge = Judge { host: &host, standing: &standing, own_pids: true, sockets };
        let mut findings = Findings::default();
        Mounts::of(&table(&[line]), &judge, &mut findings);
        findings.sort();
        let one = |finding: &super::super::findings::Finding| {
            let about: Vec<_> = finding.about.iter().map(Text::shown).collect();
            format!("{:?} {} {}", finding.severity, finding.id, about.join(" "))
        };
        findings.iter().map(one).collect()
    }

    #[test]
    fn a_mount_is_judged_by_what_it_shows_of_the_host() {
        for (line, expected) in [
            ("9 8 254:0 /srv/root / rw,nodev - ext4 a rw", &[][..]),
            (
                "9 8 0:9 / /mnt ro - tmpfs b rw",
                &["Danger engine-socket /mnt/docker.sock", "Weakness host-directory /mnt"],
            ),
            ("9 8 0:9 /docker.sock /a ro - tmpfs b rw", &["Danger engine-socket /a"]),
            ("9 8 254:0 /etc /a rw - ext4 a rw", &["Danger host-directory /a"]),
            ("9 8 254:0 /usr /a ro - ext4 a rw", &[]),
            ("9 8 254:0 /usr /a rw - ext4 a rw", &["Danger host-directory /a"]),
            ("9 8 254:0 /var/lib/lxd/x /a rw - ext4 a rw", &[]),
            (
                "9 8 254:0 / /a ro - ext4 a rw",
                &["Danger engine-socket /a/run/docker.sock /a/var/lib/lxd/unix.socket", "Weakness host-root /a"],
            ),
            ("9 8 254:0 /x /a rw shared:1 - ext4 a rw", &["Weakness propagates-to-host /a"]),
            ("9 8 254:0 /x /a rw shared:2 - ext4 a rw", &[]),
            // The host shows its /boot at another place, too, and /root from a directory below another one.
            ("9 8 254:7 / /a rw - ext4 v rw", &["Danger host-directory /a"]),
            ("9 8 254:8 /homes /a rw - ext4 w rw", &["Danger host-directory /a/of-root"]),
            ("9 8 254:8 /homes /a ro - ext4 w rw", &["Weakness host-directory /a/of-root"]),
            ("9 8 0:5 / /a ro - proc p rw", &["Danger host-proc /a"]),
            ("9 8 0:6 / /dev rw - devtmpfs d rw", &["Danger host-devices /dev"]),
            ("9 8 0:6 / /dev rw,nodev - devtmpfs d rw", &[]),
            ("9 8 0:6 /null /proc/keys rw - devtmpfs d rw", &[]),
            ("9 8 0:7 / /a rw - debugfs d rw", &["Danger kernel-file-system /a"]),
            ("9 8 0:7 / /a ro - debugfs d rw", &["Weakness kernel-file-system /a"]),
            ("9 8 0:8 / /a ro - cgroup c rw,memory", &[]),
            ("9 8 0:8 / /a rw - cgroup c rw,memory", &["Weakness writable-cgroup /a"]),
        ] {
            let all = found(line, true, CapabilitySet::empty());
            let judged: Vec<_> = all.iter().filter(|finding| !finding.contains("unmasked")).collect();
            assert_eq!(judged, expected, "{line}");
        }
    }

    #[test]
    fn a_mount_under_another_one_is_a_danger_only_to_those_who_may_unmount() {
        let lines = [
            "7 0 254:9 / / rw - ext4 a rw",
            "8 7 0:7 / /a rw - debugfs d rw",
            "9 8 0:77 / /a rw - tmpfs t rw",
            "10 7 254:0 /etc /b/c rw - ext4 a rw",
            "11 7 0:77 / /b rw - tmpfs t rw",
        ];
        let found = |may_unmount: bool| {
            let power = CapabilitySet::empty();
            let standing = Standing { maps_root: true, is_root: true, no_new_privs: true, may_unmount, power };
            let host = table(HOST);
            let judge = Judge { host: &host, standing: &standing, own_pids: true, sockets: Vec::new() };
            let mut findings = Findings::default();
            Mounts::of(&table(&lines), &judge, &mut findings);
            findings.iter().count()
        };
        assert_eq!((found(false), found(true)), (0, 2));
    }

    #[test]
    fn the_power_of_the_process_decides_the_severity() {
        let admin = CapabilitySet::SYS_ADMIN;
        let cgroup = "9 8 0:8 / /a rw - cgroup c rw,memory";
        assert_eq!(found(cgroup, true, admin), ["Danger writable-cgroup /a"]);
        assert_eq!(found("9 8 254:0 /x /a rw shared:1 - ext4 a rw", true, admin), ["Danger propagates-to-host /a"]);
        // Root in another user namespace has no power over the host.
        let none = CapabilitySet::empty();
        assert_eq!(found(cgroup, false, none), [""; 0]);
        assert_eq!(found("9 8 254:0 /etc /a rw - ext4 a rw", false, none), ["Weakness host-directory /a"]);
        assert_eq!(found("9 8 0:7 / /a rw - debugfs d rw", false, none), [""; 0]);
    }
}
