//! Whether other users of the host can reach what root in the container writes. `path_resolution(7)`, `execve(2)`.
//!
//! Without a user namespace, root in the container is root of the host: a set-user-ID program that it leaves in a
//! directory of the host gives root to every user who can execute it there. The surprise: nosuid on our own mount does
//! not help, because the users of the host reach the file through another mount.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use plumbing::narrate;
use plumbing::pipeline::record::Process;
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, StatVfsMountFlags, fstat, fstatvfs, openat};

use crate::entry::{Attributes, Entry, What, shown};
use crate::facts::Facts;
use crate::source::Source;
use crate::specification::Specification;

/// The search permission of others.
const SEARCH_BY_OTHERS: u32 = 0o001;

/// A place of the host that the container can write to, and that every user of the host can reach.
#[derive(Debug)]
pub(crate) struct Reachable {
    path: PathBuf,
    flags: StatVfsMountFlags,
}

/// Returns the places that this root shows and that are not its own, if root in the container is root of the host. Call this
/// before they are mounted again with other flags.
pub(crate) fn places(specification: &Specification, entries: &[Entry], facts: &Facts) -> Vec<Reachable> {
    if !facts.is_root_outside || !specification.is_container() {
        return Vec::new();
    }
    let root = root(specification.source(), specification.is_read_only());
    root.into_iter().chain(binds(entries)).collect()
}

fn root(source: &Source, is_read_only: bool) -> Option<Reachable> {
    match source {
        _ if is_read_only && source.is_given() => None,
        Source::Directory(path) | Source::Overlay { upper: Some(path), .. } => at(path),
        Source::Bundle { directory, root } => at(&directory.join(root)),
        // An inherited descriptor is found by its path; a detached mount has none.
        Source::Descriptor(fd) => at(&std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()?),
        Source::Host | Source::Tmpfs | Source::Overlay { upper: None, .. } => None,
    }
}

/// Checks the sources of writable binds without an id mapping.
fn binds(entries: &[Entry]) -> impl Iterator<Item = Reachable> {
    let writable = entries.iter().filter_map(|entry| match &entry.what {
        What::Bind(bind) => {
            let is_read_only = (bind.attributes | bind.top.set).contains(Attributes::MOUNT_ATTR_RDONLY);
            (!is_read_only && bind.idmap.is_none() && bind.device.is_none()).then_some(&bind.source)
        }
        _ => None,
    });
    writable.filter_map(|source| at(source))
}

fn at(path: &Path) -> Option<Reachable> {
    // The call that mounts a source reports it if it cannot be opened.
    let file = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let flags = fstatvfs(&file).ok()?.f_flag;
    if flags.contains(StatVfsMountFlags::RDONLY) {
        return None;
    }
    let stat = fstat(&file).ok()?;
    let (directory, stat) = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => (file, stat),
        FileType::RegularFile => {
            let above = open(None, std::fs::canonicalize(path).ok()?.parent()?)?;
            let stat = fstat(&above).ok()?;
            (above, stat)
        }
        _ => return None,
    };
    are_all_searchable(directory, stat).then(|| Reachable { path: path.to_owned(), flags })
}

fn open(dir: Option<&OwnedFd>, path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match dir {
        Some(dir) => openat(dir, path, flags, Mode::empty()).ok(),
        None => openat(CWD, path, flags, Mode::empty()).ok(),
    }
}

/// Checks the directories up to "/": every path to the directory leads through all of them, whatever links it has.
fn are_all_searchable(mut directory: OwnedFd, mut stat: Stat) -> bool {
    loop {
        if stat.st_mode & SEARCH_BY_OTHERS == 0 {
            return false;
        }
        let above = open(Some(&directory), Path::new("..")).and_then(|above| Some((fstat(&above).ok()?, above)));
        match above {
            Some((up, above)) if (up.st_dev, up.st_ino) != (stat.st_dev, stat.st_ino) => {
                (stat, directory) = (up, above)
            }
            // The top, or a directory that we may not examine: no directory so far stops other users.
            _ => return true,
        }
    }
}

/// Warns of each place where a command with this confinement can leave a file that harms the host.
pub(crate) fn warn(places: &[Reachable], process: &Process) {
    let names = process.capabilities.as_ref();
    let is_root = process.uid.is_none_or(|uid| uid == 0);
    if !is_root && names.is_some_and(Vec::is_empty) {
        return;
    }
    let makes_devices = names.is_none_or(|names| names.iter().any(|name| name == "CAP_MKNOD"));
    for Reachable { path, flags } in places {
        let (harm, needed) = if !flags.contains(StatVfsMountFlags::NOSUID) {
            ("a set-user-ID program", "nosuid")
        } else if makes_devices && !flags.contains(StatVfsMountFlags::NODEV) {
            ("a device node", "nodev")
        } else {
            continue;
        };
        let path = shown(path);
        narrate::warn(format!(
            "every user of this machine can reach {path}, and root in the container is root here: it can leave {harm} \
             there for other users; keep it below a directory of mode 0700, mount its file system {needed}, or map the \
             container's ids (unshare-rs --map-users)"
        ));
    }
}
