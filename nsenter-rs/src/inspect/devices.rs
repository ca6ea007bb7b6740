//! Devices in the process's /dev besides those that every container has, and whether it can create more. `mknod(2)`.
//!
//! The surprise: looking up a path there can mean waiting without end for a process that serves it (FUSE). So /dev is
//! opened only as far as the kernel has it in its cache, and listed only on a file system without a server.

use std::os::fd::{AsFd, OwnedFd};

use plumbing::Fault;
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::kernel::look;
use plumbing::process::mountinfo::Mount;
use plumbing::process::target::Target;
use plumbing::text::Text;
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::thread::CapabilitySet;
use serde::Serialize;

use super::descriptors::mount_of;
use super::findings::{Findings, Severity, Standing};
use super::mount_table::MountTable;
use super::reading::{List, each_line};

/// The maximum number of entries of /dev that are examined.
const MOST: usize = 4096;
/// File systems without a server.
const PLAIN: &[&str] = &["tmpfs", "devtmpfs", "ramfs", "ext4", "xfs", "btrfs"];

const IN_ROOT_AND_CACHED: ResolveFlags = ResolveFlags::IN_ROOT
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::CACHED);
const ON_SAME_MOUNT: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// A device in the process's /dev.
#[derive(Debug, Serialize)]
pub(super) struct Device {
    pub(super) name: Text,
    /// `block` or `char`.
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) major: u32,
    pub(super) minor: u32,
}

/// Lists the devices in /dev that not every container has, with a finding for each.
pub(super) fn of(target: &Target, standing: &Standing, findings: &mut Findings) -> Result<List<Device>, Fault> {
    let mut devices = List::new();
    let Some(dev) = open(target)? else { return Ok(devices) };
    let goal = format!("list the devices of process {}", target.pid());
    let listed = look(&goal, "openat(\"dev\", O_RDONLY)", || {
        openat(&dev, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).and_then(Dir::new)
    })?;
    for entry in listed.take(MOST) {
        let entry = look(&goal, "getdents64(\"dev\")", || entry)?;
        if !matches!(entry.file_type(), FileType::BlockDevice | FileType::CharacterDevice) {
            continue;
        }
        // A mount over the entry was judged as a mount; an entry that is gone by now is not a device any more.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(device) = openat2(&dev, entry.file_name(), flags, Mode::empty(), ON_SAME_MOUNT) else { continue };
        let stat = look(&goal, "fstat(device)", || fstat(&device))?;
        let Some(reason) = reason(&stat) else { continue };
        let name = Text::from(&*entry.file_name().to_string_lossy());
        let as_root = standing.as_root().unwrap_or(Severity::Weakness);
        let severity = if is_disk_or_memory(&stat) { as_root } else { Severity::Weakness };
        findings.add_at(severity, "host-device", reason, name.clone());
        let is_block = FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice;
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        devices.push(Device { name, kind: if is_block { "block" } else { "char" }, major, minor }, 64);
    }
    Ok(devices)
}

/// Returns what access to the device gives; `None` for a device that every container has.
pub(super) fn reason(stat: &Stat) -> Option<&'static str> {
    let number = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    match (FileType::from_raw_mode(stat.st_mode), number) {
        (FileType::BlockDevice, _) => {
            Some("a disk of the host, or a partition: it gives access to all files there, regardless of permissions")
        }
        // null, zero, full, random, urandom; tty, console, ptmx; pseudo-terminals.
        (FileType::CharacterDevice, (1, 3 | 5 | 7 | 8 | 9) | (5, 0..=2) | (136..=143, _)) => None,
        (FileType::CharacterDevice, (1, 1 | 2 | 4)) => Some("the host's memory, or its I/O ports"),
        (FileType::CharacterDevice, (1, 11)) => Some("the kernel log of the host"),
        (FileType::CharacterDevice, _) => Some("a device of the host, which exposes its driver"),
        _ => None,
    }
}

/// Returns whether the device is a disk or memory, which give access to everything else.
pub(super) fn is_disk_or_memory(stat: &Stat) -> bool {
    let number = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice || matches!(number, (1, 1 | 2 | 4))
}

/// Opens /dev of the process; returns `None` if there is none, or if devices there cannot be used (`nodev`).
fn open(target: &Target) -> Result<Option<OwnedFd>, Fault> {
    let goal = format!("open /dev of process {}", target.pid());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = look(&goal, format!("openat(\"/proc/{}/root\", O_PATH)", target.pid()), || {
        openat(target.dir(), "root", flags, Mode::empty())
    })?;
    let text = "openat2(\"dev\", O_PATH, RESOLVE_IN_ROOT|RESOLVE_CACHED)";
    let opened = openat2(&root, "dev", flags | OFlags::NOFOLLOW, Mode::empty(), IN_ROOT_AND_CACHED);
    if opened.as_ref().err() == Some(&rustix::io::Errno::NOENT) {
        return Ok(None);
    }
    let dev = look(&goal, text, || opened)?;
    let id = mount_of(dev.as_fd())?;
    let mut mount = None;
    // This must be read after opening: as long as we hold the mount, its id cannot be reused.
    each_line(target, "mountinfo", |line| mount = mount.take().or(Mount::parse(line).filter(|mount| mount.id == id)))?;
    match mount {
        Some(mount) if PLAIN.contains(&mount.fs_type.as_str()) => Ok((!mount.has("nodev")).then_some(dev)),
        Some(mount) => Err(Fault::new(format!("its /dev is on {}, which a process inside may serve", mount.fs_type))),
        None => Err(Fault::new("its /dev is on a mount that its mount table does not show")),
    }
}

/// Adds a finding if the process can create any device and use it.
pub(super) fn of_making(target: &Target, table: &MountTable, standing: &Standing, findings: &mut Findings) {
    if !standing.power.contains(CapabilitySet::MKNOD) || is_restricted(target) != Some(false) {
        return;
    }
    let takes = |mount: &&Mount| {
        let has_files = PLAIN.contains(&mount.fs_type.as_str()) || mount.fs_type == "overlay";
        has_files && mount.fs_type != "devtmpfs" && !mount.is_read_only() && !mount.has("nodev")
    };
    for mount in table.in_reach(standing.may_unmount).filter(takes) {
        let reason =
            "with CAP_MKNOD it can create the host's disks there: neither nodev nor its cgroup prevents their use";
        findings.add_at(Severity::Danger, "device-creation", reason, Text::from(mount.point.as_path()));
    }
}

/// Returns whether its cgroup restricts devices; `None` if we may not know. On v2, programs decide: the kernel does not
/// show what they allow, only whether there are any.
fn is_restricted(target: &Target) -> Option<bool> {
    let hierarchies = Hierarchies::of_process(target).ok()?;
    if let Some(devices) = hierarchies.v1("devices") {
        // The v1 controller is in use, so v2 does not decide; if v1 is not mounted for us, we cannot know.
        let list = devices.open(devices.own_path()).and_then(|group| group.read("devices.list")).ok()?;
        return Some(!list.lines().any(|line| line == "a *:* rwm"));
    }
    let v2 = hierarchies.v2()?;
    let group = v2.open(v2.own_path()).ok()?;
    plumbing::kernel::device_programs(group.dir()?).ok().map(|programs| programs > 0)
}
