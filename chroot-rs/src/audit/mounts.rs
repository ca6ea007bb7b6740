//! Mounts: whether more can be made, and what of the host is mounted already. `mount_namespaces(7)`.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use plumbing::Fault;
use plumbing::mountinfo::Mount;
use plumbing::sensitive::{DIRECTORIES, PROGRAMS, SOCKET_PATHS};
use plumbing::trial;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::look::{mounts, place};
use super::{By, Finding, Probe, Severity};

pub(super) const PROBES: &[Probe] = &[
    Probe {
        name: "mount",
        severity: Severity::High,
        why: "who mounts can take masks and read-only views away; mount(2)",
        by: By::Calling(&[trial::MOUNT, trial::UMOUNT, trial::PIVOT_ROOT]),
    },
    Probe {
        name: "mount-api",
        severity: Severity::High,
        why: "the same by the newer calls, which filters forget; fsopen(2)",
        by: By::Calling(&[trial::FSOPEN, trial::OPEN_TREE, trial::MOVE_MOUNT, trial::MOUNT_SETATTR]),
    },
    Probe {
        name: "host-directories",
        severity: Severity::Critical,
        why: "a directory of the host's own, mounted inside, is changed or read for the host",
        by: By::Looking(directories),
    },
    Probe {
        name: "engine-sockets",
        severity: Severity::Critical,
        why: "who reaches an engine's socket starts a container with all of the host in it; unix(7)",
        by: By::Looking(sockets),
    },
];

fn directories() -> Result<Finding, Fault> {
    let Some(mounts) = mounts() else { return Ok(Finding::unknown("there is no /proc to tell what is mounted")) };
    let shown = |mount: &Mount| format!("{} is {} of {}", mount.point.display(), mount.root.display(), mount.source);
    let open: Vec<_> = mounts.iter().filter(|mount| is_the_hosts(mount)).map(shown).collect();
    Ok(Finding::none_of(&open, "none of those that a host lives by"))
}

/// By the name that it has in its file system, or by what is in it.
fn is_the_hosts(mount: &Mount) -> bool {
    let on_disk = mount.source.starts_with("/dev/")
        || ["overlay", "btrfs", "zfs", "9p", "virtiofs"].contains(&mount.fs_type.as_str());
    if !on_disk || mount.point == Path::new("/") || !mount.point.is_dir() {
        return false;
    }
    let is_system = ["etc/passwd", "usr", "var"].iter().all(|name| mount.point.join(name).exists())
        && place(&mount.point) != place("/");
    let is_one_of = |paths: &[&str]| paths.iter().any(|path| mount.root == Path::new(path));
    match mount.root == Path::new("/") {
        true => is_system,
        false => is_system || is_one_of(DIRECTORIES) || is_one_of(PROGRAMS) && !mount.is_read_only(),
    }
}

fn sockets() -> Result<Finding, Fault> {
    let is_socket = |path: &str| std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    // An image without the link /var/run -> /run has a directory there, and the socket in it.
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
