//! What leads to a network namespace: processes, names, mounts of our own table, and descriptors. `proc(5)`.
//!
//! A user finds only what belongs to the user. The surprise: a process may be in a namespace with one thread only; that is
//! left out.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::kernel::look;
use plumbing::process::descriptor_limits::DescriptorLimits;
use plumbing::process::target::{Target, namespace_in_link};
use plumbing::process::{kernel_text, mountinfo};
use plumbing::text::Text;
use plumbing::{Fault, narrate};
use rustix::fs::{Mode, OFlags, open, readlink};

use super::{PROCESSES, Process, Space};
use crate::name;
use crate::namespace;

/// The most descriptors of one process that are looked at.
const DESCRIPTORS: usize = 4096;
/// The most other reasons that are listed for one namespace.
const REASONS: usize = 16;

/// A namespace that was found, and how it can be opened.
pub struct Found {
    /// What is known of it.
    pub space: Space,
    /// Opens it.
    pub open: Box<dyn Fn() -> Result<OwnedFd, Fault>>,
    /// The inodes of sockets that accept connections, each with its place in `space.listening`.
    pub sockets: BTreeMap<u64, usize>,
}

/// All that were found, and the processes that were seen.
pub struct All {
    /// The namespaces, ours first.
    pub spaces: Vec<Found>,
    pids: Vec<i32>,
}

impl All {
    fn of(&mut self, inode: u64, open: impl Fn() -> Result<OwnedFd, Fault> + 'static) -> &mut Space {
        let at = self.spaces.iter().position(|found| found.space.inode == Some(inode)).unwrap_or_else(|| {
            let space = Space { inode: Some(inode), ..Space::default() };
            self.spaces.push(Found { space, open: Box::new(open), sockets: BTreeMap::new() });
            self.spaces.len() - 1
        });
        &mut self.spaces[at].space
    }
}

/// Finds the namespaces of all processes, ours first.
pub fn by_process() -> Result<All, Fault> {
    let mut all = All { spaces: Vec::new(), pids: Vec::new() };
    let own = namespace::own()?;
    all.of(namespace::inode(own.as_fd())?, namespace::own).own = true;
    let entries =
        look("list the processes", "openat(AT_FDCWD, \"/proc\", O_DIRECTORY)", || std::fs::read_dir("/proc"))?;
    let mut unreadable = 0;
    for entry in entries {
        let entry = look("list the processes", "getdents64()", || entry)?;
        let Some(pid) = entry.file_name().to_str().and_then(|text| text.parse::<i32>().ok()) else { continue };
        match readlink(format!("/proc/{pid}/ns/net"), Vec::new()) {
            Ok(link) => {
                let Some(inode) = namespace_in_link(link.as_bytes()) else { continue };
                all.pids.push(pid);
                let space = all.of(inode, move || namespace::of(&Target::of_pid(pid)?));
                space.process_count += 1;
                if space.processes.len() < PROCESSES {
                    space.processes.push(Process { pid, name: name_of(pid) });
                }
            }
            Err(error) if Errno::from_raw(error.raw_os_error()) == Errno::EACCES => unreadable += 1,
            // A process that has ended, or a kernel thread.
            Err(_) => {}
        }
    }
    if unreadable > 0 {
        narrate::remark(format_args!("processes of other users that could not be examined: {unreadable}"));
    }
    Ok(all)
}

/// The kernel keeps 15 bytes.
fn name_of(pid: i32) -> Text {
    let name = kernel_text::bytes(format!("/proc/{pid}/comm")).unwrap_or_default();
    Text(std::ffi::OsStr::from_bytes(name.trim_ascii_end()).to_owned())
}

/// Adds the names of /run/netns.
pub fn by_name(all: &mut All) -> Result<(), Fault> {
    for name in name::all()? {
        if let Some((_, inode)) = name.identity() {
            let text = name.text();
            all.of(inode, move || name.open()).names.push(text);
        }
    }
    Ok(())
}

/// Adds the mounts of our own table which are no names: engines keep namespaces so.
pub fn by_mount(all: &mut All) -> Result<(), Fault> {
    for mount in mountinfo::own()?.into_iter().filter(|mount| mount.fs_type == "nsfs") {
        let Some(inode) = namespace_in_link(mount.root.as_os_str().as_bytes()).filter(|_| is_net(&mount.root)) else {
            continue;
        };
        let point = mount.point.clone();
        let space = all.of(inode, move || open_file(&point));
        let is_name = mount.point.parent().is_some_and(|parent| parent.ends_with("run/netns"));
        if !is_name && space.kept_by.len() < REASONS {
            space.kept_by.push(Text::from(Path::new(&prefixed("the mount ", &mount.point))));
        }
    }
    Ok(())
}

fn prefixed(prefix: &str, path: &Path) -> PathBuf {
    let mut text = std::ffi::OsString::from(prefix);
    text.push(path);
    text.into()
}

fn is_net(root: &Path) -> bool {
    root.as_os_str().as_bytes().starts_with(b"net:[")
}

fn open_file(path: &Path) -> Result<OwnedFd, Fault> {
    let shown = path.to_string_lossy().escape_debug().to_string();
    let file = look(format!("open {shown}"), format!("openat(AT_FDCWD, {shown:?}, O_RDONLY|O_NONBLOCK)"), || {
        open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
    })?;
    if name::is_namespace(file.as_fd())? {
        Ok(file)
    } else {
        Err(Fault::new(format!("cannot open {shown}: another mount hides the namespace")))
    }
}

/// Adds the namespaces that only a descriptor of a process keeps, and the owners of the sockets in `wanted`.
pub fn by_descriptor(all: &mut All, wanted: &BTreeSet<u64>) {
    // Ours were inherited from a process that has them, too, or are only for this work.
    let own = std::process::id().cast_signed();
    let mut limits = DescriptorLimits::default();
    let sockets: BTreeMap<u64, Vec<(usize, usize)>> = sockets_of(&all.spaces);
    for pid in all.pids.clone().into_iter().filter(|pid| *pid != own) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(process) = open(format!("/proc/{pid}"), flags, Mode::empty()) else { continue };
        let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let entries: Vec<_> = entries.take(DESCRIPTORS).flatten().collect();
        let most = limits.take(process.as_fd(), entries.len());
        for entry in entries.into_iter().take(most) {
            let Ok(link) = readlink(entry.path(), Vec::new()) else { continue };
            let Some(inode) = namespace_in_link(link.as_bytes()) else { continue };
            if link.as_bytes().starts_with(b"net:[") {
                let path = entry.path();
                let reason = format!("descriptor {} of process {pid}", entry.file_name().to_string_lossy());
                let space = all.of(inode, move || open_file(&path));
                if !space.own && space.process_count == 0 && space.kept_by.len() < REASONS {
                    space.kept_by.push(Text::from(reason.as_str()));
                }
            } else if link.as_bytes().starts_with(b"socket:[") && wanted.contains(&inode) {
                let owner = Process { pid, name: name_of(pid) };
                for (space, at) in sockets.get(&inode).into_iter().flatten() {
                    all.spaces[*space].space.listening[*at].process.get_or_insert(owner.clone());
                }
            }
        }
    }
    limits.remark();
}

/// Returns for each inode of a socket the namespaces that have it, and its place there.
fn sockets_of(spaces: &[Found]) -> BTreeMap<u64, Vec<(usize, usize)>> {
    let mut sockets: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for (space, found) in spaces.iter().enumerate() {
        for (inode, at) in &found.sockets {
            sockets.entry(*inode).or_default().push((space, *at));
        }
    }
    sockets
}
