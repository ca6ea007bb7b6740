//! The places in a root that somebody else made where `--std` puts what it promises: files of /etc, and new /tmp and /run.
//! `path_resolution(7)`, `move_mount(2)`.
//!
//! In images many of these names are links: /etc/resolv.conf leads to a file that only systemd-resolved makes, /tmp to
//! /var/tmp. A file is mounted on the link itself; a directory is mounted on the one to which the link leads inside the
//! root. If there is no place, a warning says so, or with `--strict` an error.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::kernel::look;
use plumbing::pipeline::record::Mount;
use plumbing::process::closing::leave;
use plumbing::process::kernel_made::is_interface;
use plumbing::{Fault, narrate};
use rustix::fs::{FileType, fstat, fstatfs};

use crate::entry::shown;
use crate::in_root::InRoot;
use crate::mount_api::{self, Onto};
use crate::record;

/// Shows the file `file`, which an earlier step made, at `target`.
pub(crate) fn show_file(root: &InRoot, target: &Path, file: &Path, why: &str) -> Result<Option<Mount>, Fault> {
    let goal = format!("give the command its own {}", shown(target));
    let onto = match root.while_following(|| root.file_or_link(target)) {
        Err(fault) if has_no_place(&fault) => return left_out(&goal, fault),
        opened => opened?,
    };
    let kind = FileType::from_raw_mode(look(&goal, "fstat(fd)", || fstat(&onto))?.st_mode);
    if !matches!(kind, FileType::RegularFile | FileType::Symlink) && !narrate::is_dry_run() {
        let fault = Fault::new("it is neither a file nor a link in this root");
        return left_out(&goal, fault.with_remedy("make it an empty file in the root"));
    }
    let mount = match root.own_above(file) {
        Some(dir) => mount_api::clone_at(&goal, Onto::NamedIn(dir.as_fd()), file, false, why)?,
        None => match root.find(file)? {
            Some(from) => mount_api::clone_of(&goal, from.as_fd(), false, why)?,
            None => return Ok(None),
        },
    };
    match mount_api::move_mount(&goal, mount.as_fd(), onto.as_fd().into(), target, why) {
        // A kernel that does not mount on links.
        Err(fault) if kind == FileType::Symlink && fault.errno() != Some(Errno::EPERM) => {
            let behind = match root.while_following(|| root.file(target)) {
                Err(fault) if has_no_place(&fault) => return left_out(&goal, fault),
                opened => opened?,
            };
            mount_api::move_mount(&goal, mount.as_fd(), behind.as_fd().into(), target, why)?;
        }
        attached => attached?,
    }
    leave(onto);
    leave(mount);
    root.covered(target);
    Ok(Some(record::mask(target, "bind", Some("tmpfs"))))
}

/// Opens the directory over which a new file system is mounted; `None` if the root has nothing of this name, or no place. A
/// name that is a link is added to `linked`: a later mount may make what it leads to, or cover it.
pub(crate) fn directory(root: &InRoot, target: &Path, linked: &mut Vec<PathBuf>) -> Result<Option<OwnedFd>, Fault> {
    let goal = goal_of(target);
    let is_loop = |found: &Result<_, Fault>| matches!(found, Err(fault) if fault.errno() == Some(Errno::ELOOP));
    let direct = root.find(target);
    let is_link = is_loop(&direct);
    let found = if is_link { root.while_following(|| root.find(target)) } else { direct };
    let found = match found {
        found if is_loop(&found) => return refuse(target, "it is a link that leads back to itself"),
        Err(fault) if fault.errno() == Some(Errno::ENOTDIR) => {
            return refuse(target, "it leads through a file in this root");
        }
        Err(fault) if has_no_place(&fault) => return left_out(&goal, fault),
        Ok(None) if is_link => {
            linked.push(target.to_owned());
            return Ok(None);
        }
        found => found?,
    };
    let found = match found {
        Some(found) if !narrate::is_dry_run() => found,
        nothing_to_examine => return Ok(nothing_to_examine),
    };
    let stat = look(&goal, "fstat(fd)", || fstat(&found))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory if root.is_top(&stat)? => refuse(target, "it is a link to the top directory of this root"),
        FileType::Directory => {
            linked.extend(is_link.then(|| target.to_owned()));
            Ok(Some(found))
        }
        _ => refuse(target, "it is not a directory in this root"),
    }
}

/// Reports the links of `directory` that, once all mounts are made, lead to nothing or to a file system of the kernel's.
pub(crate) fn check_links(root: &InRoot, linked: &[PathBuf]) -> Result<(), Fault> {
    for target in linked {
        let why = match root.while_following(|| root.find(target))? {
            None => "it is a link to something that does not exist in this root",
            Some(found) => {
                let on = look(goal_of(target), "fstatfs(fd)", || fstatfs(&found))?;
                if !is_interface(&on) {
                    continue;
                }
                "it is a link to a directory that the kernel's own file system covers"
            }
        };
        refuse::<()>(target, why)?;
    }
    Ok(())
}

fn goal_of(target: &Path) -> String {
    format!("mount a new {}", shown(target))
}

/// Reports that a directory in memory has no place.
fn refuse<T>(target: &Path, why: &str) -> Result<Option<T>, Fault> {
    let name = shown(target);
    let remedy = format!("make {name} a directory in the root: without it, files that the command writes there remain");
    left_out(&goal_of(target), Fault::new(why).with_remedy(remedy))
}

/// Reports something promised that cannot be done: `fault` is the reason.
fn left_out<T>(goal: &str, fault: Fault) -> Result<Option<T>, Fault> {
    let remedy = fault.remedy().map(str::to_owned);
    let mut whole = Fault::new(format!("cannot {goal}: {fault}"));
    if let Some(remedy) = remedy {
        whole = whole.with_remedy(remedy);
    }
    narrate::caution(whole).map(|()| None)
}

/// Reports whether the path leads nowhere in this root, or the target is missing and cannot be made.
fn has_no_place(fault: &Fault) -> bool {
    use Errno::{EACCES, EEXIST, ELOOP, ENOENT, ENOTDIR, EPERM, EROFS};
    // EPERM: the directory is immutable; ioctl_iflags(2).
    matches!(fault.errno(), Some(ELOOP | ENOTDIR | EROFS | EACCES | EEXIST | ENOENT | EPERM))
}
