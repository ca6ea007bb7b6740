//! Why the kernel makes no overlay of some layers, which it answers with a bare EINVAL. `mount(8)`, `mount_namespaces(7)`.
//!
//! The surprise: an overlay shows a layer without the mounts below it. In a user namespace these may hide something and
//! are locked, and so is the layer. Elsewhere an overlay may be a layer, but not one that has an overlay as its own layer.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::process::mountinfo::{self, Mount};
use plumbing::process::procfs;
use rustix::fs::{PROC_SUPER_MAGIC, fstat, fstatfs, major, minor, statfs};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::entry::shown;
use crate::refusal::in_user_namespace;

/// The type of overlayfs in `statfs(2)`.
const OVERLAYFS_SUPER_MAGIC: u64 = 0x794c_7630;

/// Explains a refused overlay of these layers.
pub(crate) fn explain<'a>(fault: Fault, mut layers: impl Iterator<Item = &'a OwnedFd>) -> Fault {
    if let Some(remedy) = fault.remedy() {
        let remedy = layers.fold(remedy.to_owned(), |remedy, layer| with_name(&remedy, layer));
        return fault.with_remedy(remedy);
    }
    let Ok(mounts) = mountinfo::own() else { return fault };
    let cause = |layer| locked_below(layer, &mounts).or_else(|| of_proc(layer)).or_else(|| stacked(layer, &mounts));
    match layers.find_map(cause).filter(|_| fault.errno() == Some(Errno::EINVAL)) {
        Some(remedy) => fault.with_remedy(remedy),
        None => fault,
    }
}

/// Puts the path of a layer in the place of the descriptor by which the kernel names it.
fn with_name(remedy: &str, layer: &OwnedFd) -> String {
    let descriptor = format!("/proc/self/fd/{} ", layer.as_raw_fd());
    match place(layer) {
        Some(path) => remedy.replace(&descriptor, &format!("{} ", shown(&path))),
        None => remedy.to_owned(),
    }
}

/// Returns what to do about a layer that is a directory of proc: the kernel puts nothing on top of proc.
fn of_proc(layer: &OwnedFd) -> Option<String> {
    let on = fstatfs(layer).ok()?;
    let is_proc = u64::try_from(on.f_type) == u64::try_from(PROC_SUPER_MAGIC);
    is_proc.then(|| {
        Some(format!("the layer {} is in a proc file system, which cannot be a layer", shown(&place(layer)?)))
    })?
}

/// Returns what to do about mounts below a layer that are locked: the kernel refuses to clone the layer without them.
fn locked_below(layer: &OwnedFd, mounts: &[Mount]) -> Option<String> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    // A clone that is attached nowhere, and gone at once.
    if !in_user_namespace() || open_tree(layer, "", flags).err() != Some(rustix::io::Errno::INVAL) {
        return None;
    }
    let path = place(layer)?;
    let below = mounts.iter().filter(|mount| mount.point != path && mount.point.starts_with(&path));
    let below: Vec<_> = below.map(|mount| shown(&mount.point).to_string()).collect();
    (!below.is_empty()).then(|| {
        format!(
            "the layer {} has mounts below it ({}), and a user namespace may not show what they cover; use a layer without \
             mounts, or NEWROOT without --overlay",
            shown(&path),
            below.join(", ")
        )
    })
}

/// Returns what to do about a layer that is an overlay whose own layers have one.
fn stacked(layer: &OwnedFd, mounts: &[Mount]) -> Option<String> {
    let device = fstat(layer).map(|stat| (major(stat.st_dev), minor(stat.st_dev))).ok()?;
    let of_layer = |mount: &&Mount| mount.fs_type == "overlay" && (mount.device == device || is_below(layer, mount));
    let mount = mounts.iter().filter(of_layer).max_by_key(|mount| mount.point.as_os_str().len())?;
    let deeper = layers_in(&mount.super_options).into_iter().find(|path| is_overlay(path))?;
    Some(format!(
        "the layer {} is an overlay, and so is its own layer {}: the kernel stacks two file systems at most; use {} as a \
         layer, or copy the directory",
        shown(&place(layer)?),
        shown(&deeper),
        shown(&deeper)
    ))
}

/// Reports whether this mount is the one that the layer's path leads to. A directory of an overlay may show the device of a
/// layer.
fn is_below(layer: &OwnedFd, mount: &Mount) -> bool {
    place(layer).is_some_and(|path| path.starts_with(&mount.point))
}

/// Returns the directories in the options of an overlay: `lowerdir=/a:/b,upperdir=/c`, or `lowerdir+=/a`.
fn layers_in(options: &str) -> Vec<PathBuf> {
    let values = options.split(',').filter_map(|option| option.split_once('='));
    let values = values.filter(|(key, _)| matches!(*key, "lowerdir" | "lowerdir+" | "upperdir"));
    values.flat_map(|(_, value)| value.split(':')).map(PathBuf::from).filter(|path| path.is_absolute()).collect()
}

fn is_overlay(path: &Path) -> bool {
    statfs(path).is_ok_and(|on| u64::try_from(on.f_type) == Ok(OVERLAYFS_SUPER_MAGIC))
}

fn place(layer: &OwnedFd) -> Option<PathBuf> {
    procfs::read_link(&format!("self/fd/{}", layer.as_raw_fd())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_of_an_overlay_are_in_its_options() {
        let paths = |options| layers_in(options).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(paths("rw,lowerdir=/a:/b,upperdir=/c,workdir=/d,uuid=on"), ["/a", "/b", "/c"]);
        assert_eq!(paths("rw,lowerdir+=/a,lowerdir+=/b,userxattr"), ["/a", "/b"]);
        assert!(paths("rw,lowerdir=relative").is_empty());
    }
}
