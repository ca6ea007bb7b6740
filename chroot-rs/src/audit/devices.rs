//! Devices: those that exist, and those that can be made. A process that opens the host's disk controls the host.
//! `mknod(2)`.
//!
//! A device is opened only if that has no effect: block devices and the kernel's log. Others are only examined: for
//! example, opening a watchdog starts it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::call;
use rustix::fs::{
    Access, CWD, Dev, FileType, Mode, OFlags, StatVfs, StatVfsMountFlags, fstat, fstatvfs, major, makedev, minor,
    mknodat, stat, statvfs,
};

use super::look::{devices_below, mounts, open, read};
use super::{By, Finding, Probe, Severity};

pub(super) const PROBES: &[Probe] = &[
    Probe {
        name: "mknod",
        severity: Severity::Critical,
        why: "a new device node of the host's disk gives access to the whole disk; mknod(2)",
        by: By::Looking(make),
    },
    Probe {
        name: "device-nodes",
        severity: Severity::High,
        why: "any device except null, zero, full, random, urandom and terminals gives access to hardware or to the kernel",
        by: By::Looking(nodes),
    },
    Probe {
        name: "device-inodes",
        severity: Severity::High,
        why: "a writable inode of the host's /dev: chmod(2) in the container can make /dev/null unusable on the host",
        by: By::Looking(inodes),
    },
    Probe {
        name: "root-nodev",
        severity: Severity::Low,
        why: "device nodes that the root contains are usable; mount(2)",
        by: By::Looking(nodev),
    },
    Probe {
        name: "shared-memory",
        severity: Severity::Low,
        why: "programs can be executed from /dev/shm, which is writable for everyone; mount(2)",
        by: By::Looking(shared_memory),
    },
];

/// Reports whether it is one of memory(4)'s harmless five; tty, console and ptmx; Unix 98 terminals.
fn is_expected(number: Dev) -> bool {
    matches!((major(number), minor(number)), (1, 3 | 5 | 7 | 8 | 9) | (5, 0..=2) | (136..=143, _))
}

/// Returns the devices to make nodes of: the existing disks, and the kernel's log. No others, because opening a missing
/// device makes the kernel load a module.
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
    Ok(Finding::held(format!("no device node could be made and opened: {}", refused.join(", "))))
}

/// Makes a device node, opens it for reading, and removes it.
fn made(place: &Path, kind: FileType, number: Dev) -> Result<Result<String, Errno>, Fault> {
    let path = place.join(format!(".audit-{}", std::process::id()));
    let shown = path.to_string_lossy();
    let letter = if kind == FileType::BlockDevice { "S_IFBLK" } else { "S_IFCHR" };
    let text =
        format!("mknodat(AT_FDCWD, {shown:?}, {letter}|0600, makedev({:#x}, {:#x}))", major(number), minor(number));
    let mode = Mode::from_raw_mode(0o600);
    let node = call("make a device", text, "a device of the host", || mknodat(CWD, &path, kind, mode, number));
    if let Err(fault) = node {
        return Ok(Err(fault.errno().unwrap_or(Errno::EIO)));
    }
    let opened = open(&path, OFlags::RDONLY).map(drop);
    call(
        "remove the device",
        format!("unlinkat(AT_FDCWD, {shown:?}, 0)"),
        "the probe must leave nothing behind",
        || rustix::fs::unlink(&path),
    )?;
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
    Ok(Finding::none_of(&open, "only those that every container has"))
}

fn inodes() -> Result<Finding, Fault> {
    let Some(mounts) = mounts() else { return Ok(Finding::unknown("there is no /proc that lists mounts")) };
    let me = rustix::process::geteuid().as_raw();
    let open = mounts.into_iter().filter(|mount| {
        let is_ours = || fs::symlink_metadata(&mount.point).is_ok_and(|meta| meta.uid() == me);
        mount.fs_type == "devtmpfs" && !mount.is_read_only() && is_ours()
    });
    let given = (0..3).filter(|fd| is_writable_null(*fd)).map(|fd| format!("the null device at {fd}"));
    Ok(Finding::none_of(
        &open.map(|mount| mount.point.display().to_string()).chain(given).collect::<Vec<_>>(),
        "no inode of the host's /dev is writable",
    ))
}

/// Reports whether a descriptor is a null device from outside whose inode we may change. A container's own /dev/null is the
/// same file on a mount that can be written to.
fn is_writable_null(fd: i32) -> bool {
    let fd = match fd {
        0 => rustix::stdio::stdin(),
        1 => rustix::stdio::stdout(),
        _ => rustix::stdio::stderr(),
    };
    let (Ok(given), Ok(mount)) = (fstat(fd), fstatvfs(fd)) else { return false };
    let is_read_only = |mount: StatVfs| mount.f_flag.contains(StatVfsMountFlags::RDONLY);
    let is_device = FileType::from_raw_mode(given.st_mode) == FileType::CharacterDevice;
    let is_null = is_device && (major(given.st_rdev), minor(given.st_rdev)) == (1, 3);
    let is_same = stat("/dev/null").is_ok_and(|own| (own.st_dev, own.st_ino) == (given.st_dev, given.st_ino));
    let is_own = is_same && statvfs("/dev/null").is_ok_and(|own| !is_read_only(own));
    is_null && !is_own && !is_read_only(mount) && given.st_uid == rustix::process::geteuid().as_raw()
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
