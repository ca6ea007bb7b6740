//! Mounts: whether more can be made, and which of the host's directories are mounted. `mount_namespaces(7)`.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use plumbing::Fault;
use plumbing::confinement::sensitive::{DIRECTORIES, PROGRAMS, SOCKET_PATHS};
use plumbing::process::mountinfo::Mount;
use plumbing::process::trial;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::look::{mounts, place};
use super::{By, Finding, Probe, Severity};

pub(super) const PROBES: &[Probe] = &[
    Probe {
        name: "mount",
        severity: Severity::High,
        why: "a process that may mount can remove masks and read-only mounts; mount(2)",
        by: By::Calling(&[trial::MOUNT, trial::UMOUNT, trial::PIVOT_ROOT]),
    },
    Probe {
        name: "mount-api",
        severity: Severity::High,
        why: "the same with newer calls, which filters may miss; fsopen(2)",
        by: By::Calling(&[trial::FSOPEN, trial::OPEN_TREE, trial::MOVE_MOUNT, trial::MOUNT_SETATTR]),
    },
    Probe {
        name: "host-directories",
        severity: Severity::Critical,
        why: "the container can read or change a directory of the host itself",
        by: By::Looking(directories),
    },
    Probe {
        name: "engine-sockets",
        severity: Severity::Critical,
        why: "through an engine's socket anyone can start a container that has access to the whole host; unix(7)",
        by: By::Looking(sockets),
    },
];

fn directories() -> Result<Finding, Fault> {
    let Some(mounts) = mounts() else { return Ok(Finding::unknown("there is no /proc that lists mounts")) };
    let shown = |mount: &Mount| format!("{} is {} of {}", mount.point.display(), mount.root.display(), mount.source);
    let open: Vec<_> = mounts.iter().filter(|mount| is_the_hosts(mount)).map(shown).collect();
    Ok(Finding::none_of(&open, "no system directory of the host"))
}

/// Reports whether a mount is a directory of the host, judged by its path in its file system, or by its contents.
fn is_the_hosts(mount: &Mount) -> bool {
    let on_disk = mount.source.starts_with("/dev/")
        || ["overlay", "btrfs", "zfs", "9p", "virtiofs"].contains(&mount.fs_type.as_str());
    if !on_disk || mount.point == Path::new("/") || !mount.point.is_dir() {
        return false;
    }
    let is_system = ["etc/passwd", "usr", "var"].iter().all(|name| mount.point.join(name).exists())
        && place(&mount.point) != place("/");
    let is_one_of = |paths: &[&str]| paths.iter().any(|path| mount.root == Path::new(path));
    if mount.root == Path::new("/") {
        is_system
    } else {
        is_system || is_one_of(DIRECTORIES) || is_one_of(PROGRAMS) && !mount.is_read_only()
    }
}

fn sockets() -> Result<Finding, Fault> {
    let is_socket = |path: &str| std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    // If an image lacks the link /var/run -> /run, the socket is in the directory /var/run.
    let elsewhere = |path: &str| path.strip_prefix("/run/").map(|path| format!("/var/run/{path}"));
    let paths = SOCKET_PATHS.iter().flat_map(|path| [Some((*path).to_owned()), elsewhere(path)]).flatten();
    let (mut seen, mut open) = (Vec::new(), Vec::new());
    for path in paths.filter(|path| is_socket(path)) {
        let file = std::fs::canonicalize(&path).ok();
        if seen.contains(&file) {
            continue;
        }
        seen.push(file);
        let ours = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let address = SocketAddrUnix::new(&path);
        if let (Ok(ours), Ok(address)) = (ours, address)
            && connect(&ours, &address).is_ok()
        {
            open.push(format!("{path} answers"));
        }
    }
    Ok(Finding::none_of(&open, "none answers"))
}
