//! Applies a list of entries inside an attached root, in order; `entry.rs` defines entries, `in_root.rs` resolves paths.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use plumbing::cgroup::hierarchy::is_root_of_hierarchy;
use plumbing::kernel::look;
use plumbing::pipeline::record::Mount;
use plumbing::process::closing::leave;
use plumbing::{Fault, narrate};
use rustix::fs::{FileType, StatVfsMountFlags, fstat, fstatvfs, makedev};

use crate::cleanup::Lifetime;
use crate::dry_run_tree::Node;
use crate::entry::{Absent, Attributes, Bind, Change, Entry, Filesystem, Otherwise, What, quoted, shown};
use crate::in_root::{InRoot, Place};
use crate::mask::{Masks, restrict};
use crate::peers::Peers;
use crate::record;
use crate::{copy_up, idmap, made, mount_api, overlay, root, std_places};

/// Makes the entries; returns the mounts that were made.
pub(crate) fn make(root: &InRoot, entries: &[Entry], mut peers: Peers) -> Result<Vec<Mount>, Fault> {
    let mut mounts = Vec::new();
    let (mut masks, mut linked) = (Masks::default(), Vec::new());
    for (number, entry) in entries.iter().enumerate() {
        let Entry { target, what, why } = entry;
        match what {
            What::Fresh(filesystem, otherwise) => {
                let given = match otherwise {
                    Otherwise::OverDirectory => match std_places::directory(root, target, &mut linked)? {
                        None => continue,
                        given => given,
                    },
                    _ => None,
                };
                mounts.extend(fresh(root, &mut masks, entry, (filesystem, otherwise), given)?);
            }
            What::Bind(from) => mounts.extend(bind(root, target, from, peers.remove(&number), why)?),
            What::Device(device) => root.device(target, device, why)?,
            What::Link(to) => root.link(target, to, why)?,
            What::Directory(mode) => root.make_directory(target, *mode)?,
            What::File(content) => root.write(target, content, why)?,
            What::Made(made) => made::make(root, target, made, why)?,
            What::Overlay(layers) => mounts.push(overlay_at(root, target, layers, why)?),
            What::Seen(file) => mounts.extend(std_places::show_file(root, target, file, why)?),
            What::Mask(absent) => mounts.extend(masks.mask(root, target, *absent, why)?),
            What::Restrict(attributes, absent) => {
                mounts.extend(restrict(root, target, *attributes, *absent, why)?);
            }
            What::Tighten(attributes) => tighten(root, target, *attributes, why)?,
            What::Propagation(propagation) => {
                let goal = format!("set the propagation of {}", shown(target));
                let mount = root.find(target)?.ok_or_else(|| missing(&goal))?;
                mount_api::propagate(&goal, mount.as_fd(), *propagation, why)?;
            }
        }
    }
    std_places::check_links(root, &linked)?;
    root.copies().close()?;
    masks.leave();
    Ok(mounts)
}

fn fresh(
    root: &InRoot,
    masks: &mut Masks,
    entry: &Entry,
    (filesystem, otherwise): (&Filesystem, &Otherwise),
    given: Option<OwnedFd>,
) -> Result<Option<Mount>, Fault> {
    const HIDDEN: &str = "it would show the cgroups of the whole machine: none of them is the container's; cgroups(7)";
    let (target, why) = (entry.target.as_path(), entry.why);
    let kind = filesystem.kind.as_str();
    let goal = format!("mount {kind} on {}", shown(target));
    let mount = match (mount_api::fresh(&goal, filesystem, why), otherwise) {
        (Ok(mount), Otherwise::Hide) if is_whole_hierarchy(&goal, &mount, kind)? => {
            return masks.mask(root, target, Absent::PassOver, HIDDEN);
        }
        (Ok(mount), _) => mount,
        (Err(fault), Otherwise::Hide) if is_not_ours(&fault) => {
            return masks.mask(root, target, Absent::PassOver, HIDDEN);
        }
        (Err(fault), Otherwise::LeaveOut) if is_not_ours(&fault) => return narrate::caution(fault).map(|()| None),
        (Err(fault), Otherwise::Bind(source)) if is_not_ours(&fault) => {
            let from = Bind { attributes: filesystem.attributes, ..Bind::read_only(*source) };
            return bind(
                root,
                target,
                &from,
                None,
                "another user namespace owns what a new one would show, so the host's is bound",
            );
        }
        (Err(fault), _) => return Err(fault),
    };
    let is_followed = given.is_some();
    attach_fresh(root, entry, filesystem, given, &mount, &goal)?;
    let node = match kind {
        "proc" => Node::Host("/proc".into(), filesystem.attributes),
        "sysfs" => Node::Host("/sys".into(), filesystem.attributes),
        _ => Node::Empty,
    };
    root.note(target, node);
    root.made().mounted(target, Lifetime::OfTheRun);
    if is_followed {
        root.covered(target);
        leave(mount);
    } else {
        root.attached(target, mount, filesystem);
    }
    Ok(Some(record::fresh(target, filesystem)))
}

/// Attaches a new file system over `given`, or else over its target, whose content it may begin with.
fn attach_fresh(
    root: &InRoot,
    entry: &Entry,
    filesystem: &Filesystem,
    given: Option<OwnedFd>,
    mount: &OwnedFd,
    goal: &str,
) -> Result<(), Fault> {
    let onto = match given {
        Some(given) => Place::from(given),
        None if filesystem.copies_up => {
            let covered = root.directory(&entry.target)?;
            copy_up::copy(&covered, mount, &entry.target, filesystem)?;
            Place::from(covered)
        }
        None => root.directory_to_mount_on(&entry.target)?,
    };
    mount_api::move_mount(goal, mount.as_fd(), onto.onto(), &entry.target, entry.why)?;
    onto.leave();
    Ok(())
}

/// Reports whether this mount shows a cgroup hierarchy from its root, because our cgroup namespace begins there.
fn is_whole_hierarchy(goal: &str, mount: &OwnedFd, kind: &str) -> Result<bool, Fault> {
    if narrate::is_dry_run() {
        return Ok(false);
    }
    let version = if kind == "cgroup2" { 2 } else { 1 };
    look(goal, "statat(fd, release_agent or cgroup.type)", || is_root_of_hierarchy(mount, version))
}

/// Reports whether the kernel refused a file system: EPERM, or ENODEV if the kernel was built without it.
fn is_not_ours(fault: &Fault) -> bool {
    matches!(fault.errno(), Some(Errno::EPERM | Errno::ENODEV))
}

/// Makes a bind, of a clone that was made before if there is one.
fn bind(root: &InRoot, target: &Path, bind: &Bind, clone: Option<OwnedFd>, why: &str) -> Result<Option<Mount>, Fault> {
    let source = &bind.source;
    if bind.optional && !source.exists() {
        return Ok(None);
    }
    let goal = format!("bind {} on {}", shown(source), shown(target));
    // That a device is no directory shows when its number is checked.
    let is_directory = (bind.device.is_none() || narrate::is_dry_run())
        && look(&goal, format!("stat({})", quoted(source)), || std::fs::metadata(source))?.is_dir();
    let mount = match (clone, bind.descriptor) {
        (Some(clone), _) => clone,
        (None, Some(fd)) => root::clone_of_passed(&goal, fd, bind.recursive, why)?,
        (None, None) => mount_api::clone_path(&goal, source, bind.recursive, why)?,
    };
    if let Some(device) = bind.device {
        require_device(&goal, &mount, device)?;
    }
    if let Some(map) = &bind.idmap {
        idmap::apply(&goal, mount.as_fd(), bind.recursive, map)?;
    }
    let onto = if is_directory { root.directory_to_mount_on(target)? } else { file(root, target, &goal)? };
    let changes = [(bind.recursive, Change::add(bind.attributes)), (false, bind.top)];
    mount_api::attach_changed(&goal, mount.as_fd(), &changes, onto.onto(), target, why)?;
    root.covered(target);
    root.note(target, Node::Host(source.clone(), bind.attributes | bind.top.set));
    root.made().mounted(target, Lifetime::Longer);
    if bind.top.clear.contains(Attributes::MOUNT_ATTR_RDONLY) {
        report_read_only(&goal, &mount)?;
    }
    onto.leave();
    leave(mount);
    Ok(Some(record::bind(target, bind)))
}

/// Makes an overlay, and mounts it.
fn overlay_at(root: &InRoot, target: &Path, layers: &[PathBuf], why: &str) -> Result<Mount, Fault> {
    let attributes = made::of_overlay();
    let mount = overlay::make(layers, None, attributes)?;
    let onto = root.directory_to_mount_on(target)?;
    mount_api::move_mount(&format!("mount an overlay on {}", shown(target)), mount.as_fd(), onto.onto(), target, why)?;
    onto.leave();
    leave(mount);
    root.covered(target);
    root.note(target, Node::Host(layers.first().cloned().unwrap_or_default(), attributes));
    root.made().mounted(target, Lifetime::OfTheRun);
    Ok(record::overlay(target, layers, attributes))
}

/// Reports that the word `rw` had no effect: the mount is writable now, but not the file system.
fn report_read_only(goal: &str, mount: &OwnedFd) -> Result<(), Fault> {
    let is_read_only = || fstatvfs(mount).map(|on| on.f_flag.contains(StatVfsMountFlags::RDONLY));
    if narrate::is_dry_run() || !look(goal, "fstatfs(fd)", is_read_only)? {
        return Ok(());
    }
    let fault = Fault::new(format!("cannot {goal} for writing: the file system is mounted read-only"));
    narrate::caution(fault.with_remedy("mount the file system itself for writing, or leave out the word rw"))
}

/// Opens the target of a file. Nothing but a directory can be mounted on a directory, and the kernel's EINVAL does not say so.
fn file(root: &InRoot, target: &Path, goal: &str) -> Result<Place, Fault> {
    if let Some(made) = root.own_file(target)? {
        return Ok(made);
    }
    let onto = root.file(target)?;
    if kind_of(goal, onto.as_fd())? == FileType::Directory && !narrate::is_dry_run() {
        return Err(Fault::new(format!(
            "cannot {goal}: the target is a directory in this root, but the source is not"
        )));
    }
    Ok(onto.into())
}

pub(crate) fn missing(goal: &str) -> Fault {
    Fault::new(format!("cannot {goal}: the root has no such file"))
}

pub(crate) fn kind_of(goal: &str, fd: BorrowedFd<'_>) -> Result<FileType, Fault> {
    look(goal, "fstat(fd)", || fstat(fd)).map(|stat| FileType::from_raw_mode(stat.st_mode))
}

/// Demands that a mount shows this device: no other file at that path of the host may get into a container.
pub(crate) fn require_device(goal: &str, mount: &OwnedFd, (major, minor): (u32, u32)) -> Result<(), Fault> {
    if narrate::is_dry_run() {
        return Ok(());
    }
    let stat = look(goal, "fstat(fd)", || fstat(mount))?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if is_device && stat.st_rdev == makedev(major, minor) {
        return Ok(());
    }
    Err(Fault::new(format!("cannot {goal}: the host's file is not the device {major}:{minor}")))
}

fn tighten(root: &InRoot, target: &Path, attributes: Attributes, why: &str) -> Result<(), Fault> {
    let mount = match root.own_top(target) {
        Some(own) => own,
        None => Rc::new(root.directory(target)?),
    };
    mount_api::tighten(&format!("restrict {}", shown(target)), mount.as_fd(), attributes, why)?;
    root.covered(target);
    Ok(())
}
