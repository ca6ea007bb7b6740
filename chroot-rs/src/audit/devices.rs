//! Devices: those that are there, and those that can be made. Whoever opens the host's disk has the host. `mknod(2)`.
//!
//! A device is opened only where that does nothing: block devices and the kernel's log. Others are looked at, since to
//! open a watchdog starts it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::call;
use rustix::fs::{
    Access, CWD, Dev, FileType, Mode, OFlags, StatVfsMountFlags, major, makedev, minor, mknodat, statvfs,
};

use super::look::{devices_below, mounts, open, read};
use super::{By, Finding, Probe, Severity};

pub(super) const PROBES: &[Probe] = &[
    Probe {
        name: "mknod",
        severity: Severity::Critical,
        why: "a node made for the host's disk, and opened, is the host's disk; mknod(2)",
        by: By::Looking(make),
    },
    Probe {
        name: "device-nodes",
        severity: Severity::High,
        why: "every device beyond null, zero, full, random, urandom and terminals is a way to hardware or to the kernel",
        by: By::Looking(nodes),
    },
    Probe {
        name: "device-inodes",
        severity: Severity::High,
        why: "a node of the host's /dev that can be changed: chmod(2) inside takes /dev/null away outside",
        by: By::Looking(inodes),
    },
    Probe {
        name: "root-nodev",
        severity: Severity::Low,
        why: "device nodes that come with the root work; mount(2)",
        by: By::Looking(nodev),
    },
    Probe {
        name: "shared-memory",
        severity: Severity::Low,
        why: "programs run from /dev/shm, which everyone can write to; mount(2)",
        by: By::Looking(shared_memory),
    },
];

/// memory(4)'s harmless five; tty, console and ptmx; Unix 98 terminals.
fn is_expected(number: Dev) -> bool {
    matches!((major(number), minor(number)), (1, 3 | 5 | 7 | 8 | 9) | (5, 0..=2) | (136..=143, _))
}

/// What to make nodes of: the disks that there are, and the kernel's log. No other, since to open what is not there
/// makes the kernel load a module.
fn candidates() -> Vec<(FileType, Dev)> {
    let partitions = read("/proc/partitions").unwrap_or_default();
    let number = |line: &str| {
        let mut fields = line.split_whitespace().map(str::parse);
        Some((FileType::BlockDevice, makedev(fields.next()?.ok()?, fields.next()?.ok()?)))
    };
    partitions.lines().filter_map(number).take(4).chain([(FileType::CharacterDevice, makedev(1, 11))]).collect()
}

fn make() -> Result<Finding, Fault> {
    let mut places: Vec<PathBuf> = ["/dev", "/tmp", "/run", "/"].map(PathBuf::from).into();
    let writable = mounts().unwrap_or_default().into_iter().filter(|mount| !mount.is_read_only());
    places.extend(writable.filter(|mount| !mount.has("nodev")).map(|mount| mount.point));
    places.retain(|place| place.is_dir());
    places.sort();
    places.dedup();
    let mut refused = Vec::new();
    for place in places {
        for (kind, number) in candidates() {
            match made(&place, kind, number)? {
                Ok(path) => return Ok(Finding::open(format!("a node made in {} opens {path}", place.display()))),
                Err(errno) => refused.push(format!("{errno:?}")),
            }
        }
    }
    refused.sort();
    refused.dedup();
    Ok(Finding::held(format!("no node could be made and opened: {}", refused.join(", "))))
}

/// Makes, opens to read, and removes.
fn made(place: &Path, kind: FileType, number: Dev) -> Result<Result<String, Errno>, Fault> {
    let path = place.join(format!(".audit-{}", std::process::id()));
    let shown = path.to_string_lossy();
    let letter = if kind == FileType::BlockDevice { "S_IFBLK" } else { "S_IFCHR" };
    let text =
        format!("mknodat(AT_FDCWD, {shown:?}, {letter}|0600, makedev({:#x}, {:#x}))", major(number), minor(number));
    let mode = Mode::from_raw_mode(0o600);
    let node = call("make a device", text, "a device that is not ours", || mknodat(CWD, &path, kind, mode, number));
    if let Err(fault) = node {
        return Ok(Err(fault.errno().unwrap_or(Errno::EIO)));
    }
    let opened = open(&path, OFlags::RDONLY).map(drop);
    call("remove the device", format!("unlinkat(AT_FDCWD, {shown:?}, 0)"), "what was made goes again", || {
        rustix::fs::unlink(&path)
    })?;
    Ok(opened.map(|()| format!("the device {}:{}", major(number), minor(number))))
}

fn nodes() -> Result<Finding, Fault> {
    if !Path::new("/dev").is_dir() {
        return Ok(Finding::not_here("there is no /dev"));
    }
    let is_open = |path: &PathBuf| {
        let Ok(meta) = fs::symlink_metadata(path) else { return false };
        let is_known = meta.file_type().is_char_device() && is_expected(meta.rdev());
        let may = |access| rustix::fs::access(path, access).is_ok();
        let works = statvfs(path).is_ok_and(|at| !at.f_flag.contains(StatVfsMountFlags::NODEV));
        !is_known && works && (may(Access::READ_OK) || may(Access::WRITE_OK))
    };
    let open: Vec<_> = devices_below(Path::new("/dev")).into_iter().filter(is_open).collect();
    let open: Vec<_> = open.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    Ok(Finding::none_of(&open, "only those that every program may expect"))
}

fn inodes() -> Result<Finding, Fault> {
    let Some(mounts) = mounts() else { return Ok(Finding::unknown("there is no /proc to tell what is mounted")) };
    let me = rustix::process::geteuid().as_raw();
    let open = mounts.into_iter().filter(|mount| {
        let is_ours = || fs::symlink_metadata(&mount.point).is_ok_and(|meta| meta.uid() == me);
        mount.fs_type == "devtmpfs" && !mount.is_read_only() && is_ours()
    });
    Ok(Finding::none_of(
        &open.map(|mount| mount.point.display().to_string()).collect::<Vec<_>>(),
        "none of the host's that could be changed",
    ))
}

fn nodev() -> Result<Finding, Fault> {
    Ok(match statvfs("/") {
        Ok(root) if root.f_flag.contains(StatVfsMountFlags::NODEV) => Finding::held("/ is nodev"),
        Ok(_) => Finding::open("/ is not nodev"),
        Err(errno) => Finding::unknown(format!("statvfs: {errno}")),
    })
}

fn shared_memory() -> Result<Finding, Fault> {
    let wanted = StatVfsMountFlags::NOEXEC | StatVfsMountFlags::NOSUID | StatVfsMountFlags::NODEV;
    Ok(match statvfs("/dev/shm") {
        Ok(at) if at.f_flag.contains(wanted) => Finding::held("/dev/shm is nosuid, nodev and noexec"),
        Ok(_) => Finding::open("/dev/shm lacks nosuid, nodev or noexec"),
        Err(_) => Finding::not_here("there is no /dev/shm"),
    })
}
