//! The places in a root that somebody else made where `--std` puts what it promises: files of /etc, and new /tmp and /run.
//! `path_resolution(7)`, `move_mount(2)`.
//!
//! In images many of these names are links: /etc/resolv.conf leads to a file that only systemd-resolved makes, /tmp to
//! /var/tmp. A file is mounted on the link itself; a directory is mounted on the one to which the link leads inside the
//! root. If there is no place, a warning says so, or with `--strict` an error.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use plumbing::kernel::look;
use plumbing::pipeline::record::Mount;
use plumbing::{Fault, narrate};
use rustix::fs::{FileType, fstat};

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
    root.covered(target);
    Ok(Some(record::mask(target, "bind", Some("tmpfs"))))
}

/// Opens the directory over which a new file system is mounted; `None` if the root has nothing of this name, or no place.
pub(crate) fn directory(root: &InRoot, target: &Path) -> Result<Option<OwnedFd>, Fault> {
    let name = shown(target);
    let goal = format!("mount a new {name}");
    let refuse = |why: &str| {
        let remedy =
            format!("make {name} a directory in the root: without it, files that the command writes there remain");
        left_out::<OwnedFd>(&goal, Fault::new(why).with_remedy(remedy))
    };
    let found = match root.while_following(|| root.find(target)) {
        Ok(None) if root.while_following(|| root.has_name(target)) => {
            return refuse("it is a link to something that does not exist in this root");
        }
        Ok(None) => return Ok(None),
        Err(fault) if fault.errno() == Some(Errno::ELOOP) => return refuse("it is a link that leads back to itself"),
        Err(fault) if fault.errno() == Some(Errno::ENOTDIR) => return refuse("it leads through a file in this root"),
        Err(fault) if has_no_place(&fault) => return left_out(&goal, fault),
        found => found?,
    };
    let found = match found {
        Some(found) if !narrate::is_dry_run() => found,
        nothing_to_examine => return Ok(nothing_to_examine),
    };
    let stat = look(&goal, "fstat(fd)", || fstat(&found))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory if root.is_top(&stat)? => refuse("it is a link to the top directory of this root"),
        FileType::Directory => Ok(Some(found)),
        _ => refuse("it is not a directory in this root"),
    }
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
    use Errno::{EACCES, EEXIST, ELOOP, ENOENT, ENOTDIR, EROFS};
    matches!(fault.errno(), Some(ELOOP | ENOTDIR | EROFS | EACCES | EEXIST | ENOENT))
}
