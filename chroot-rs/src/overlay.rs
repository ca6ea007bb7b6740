//! A root of layers: directories that stay unchanged, and one on top of them that takes the changes.
//! overlayfs in the kernel's documentation; `mount(8)` has its options.
//!
//! The surprise: without `userxattr`, a user namespace gets an overlay in which no directory of a lower layer can be
//! removed.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::kernel::{call, look, own};
use plumbing::process::closing::leave;
use plumbing::{Fault, narrate};
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::mount::{UnmountFlags, unmount};

use crate::entry::{Attributes, Filesystem, shown};
use crate::{mount_api, overlay_refusal, refusal};

const GOAL: &str = "make an overlay of the layers";

/// The longest string that fsconfig(2) accepts, including the NUL.
const LONGEST: usize = 256;

/// A directory of the top layer; `None` in a dry run, which makes none.
type Change = Option<OwnedFd>;

/// Makes the overlay.
pub(crate) fn make(lower: &[PathBuf], upper: Option<&Path>, attributes: Attributes) -> Result<OwnedFd, Fault> {
    // Opened relative to the current working directory; kept open until the file system is made.
    let layers = lower.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<_> = lower.iter().zip(&layers).map(|(path, layer)| name(path, layer)).collect();
    let (top, in_memory) = (top(upper)?, upper.is_none());
    let upper_layer = make_directory(&top, "upper", "it keeps the changes")?;
    let work = make_directory(&top, "work", "overlayfs prepares changes in it")?;
    let changes = [("upperdir", upper_layer), ("workdir", work)];
    let of_changes = changes.iter().filter_map(|(_, directory)| directory.as_ref());
    let made = if in_memory {
        configure_detached(&top, &names, &layers, &changes, attributes)
    } else {
        configure(&names, &layers, &changes, attributes)
    };
    let made = made.map_err(|fault| overlay_refusal::explain(fault, layers.iter().chain(of_changes)))?;
    let of_changes = changes.into_iter().filter_map(|(_, directory)| directory);
    layers.into_iter().chain(of_changes).chain([top]).for_each(leave);
    Ok(made)
}

fn open(path: &Path) -> Result<OwnedFd, Fault> {
    mount_api::open_directory(path, &format!("open the layer {}", shown(path)))
}

/// Opens the directory that takes the changes: the caller's, or a new one in memory that ends with the container.
fn top(upper: Option<&Path>) -> Result<OwnedFd, Fault> {
    if let Some(path) = upper {
        return mount_api::open_directory(path, &format!("open the upper layer's directory {}", shown(path)));
    }
    let tmpfs = Filesystem::new("tmpfs", &[("mode", "755")], Attributes::empty());
    mount_api::fresh("make a layer for the changes", &tmpfs, "changes are kept in memory; tmpfs(5)")
}

/// Makes an overlay whose top layer is on a mount that is attached nowhere. Before Linux 6.15 the kernel refuses it; then the
/// mount is attached for as long as that takes. Detaching it waits for all processors.
fn configure_detached(
    top: &OwnedFd,
    names: &[PathBuf],
    layers: &[OwnedFd],
    changes: &[(&str, Change)],
    attributes: Attributes,
) -> Result<OwnedFd, Fault> {
    let refused = match configure_with(&one_by_one(names), changes, attributes) {
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => fault,
        answer => return answer,
    };
    mount_api::attach_over_root(top, Attributes::empty())?;
    let made = configure(names, layers, changes, attributes).map_err(|fault| more_precise(refused, fault))?;
    let before = enter(top.as_fd())?;
    let why = "only the overlay must lead to it, no path; umount(2)";
    call(GOAL, "umount2(\".\", MNT_DETACH)", why, || unmount(".", UnmountFlags::DETACH))?;
    go_back(before.as_ref())?;
    Ok(made)
}

/// Makes a directory, or takes the one that is there. A symbolic link is not followed: the user who left it there would choose
/// which directory of the host takes the changes.
fn make_directory(top: &OwnedFd, name: &str, why: &str) -> Result<Change, Fault> {
    let text = format!("mkdirat(fd, {name:?}, 0755)");
    match call(GOAL, text, why, || mkdirat(top, name, Mode::from_raw_mode(0o755))) {
        Err(fault) if fault.errno() == Some(Errno::EEXIST) => {}
        answer => answer?,
    }
    if narrate::is_dry_run() {
        return Ok(None);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    look(GOAL, format!("openat(fd, {name:?}, O_PATH|O_DIRECTORY|O_NOFOLLOW)"), || {
        openat(top, name, flags, Mode::empty())
    })
    .map(Some)
}

/// Changes the working directory; returns the previous one.
fn enter(directory: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Fault> {
    if narrate::is_dry_run() {
        return Ok(None);
    }
    let before = mount_api::open_directory(Path::new("."), "remember the working directory")?;
    own(GOAL, "fchdir(fd)", || rustix::process::fchdir(directory))?;
    Ok(Some(before))
}

fn go_back(before: Option<&OwnedFd>) -> Result<(), Fault> {
    before.map_or(Ok(()), |before| own(GOAL, "fchdir(fd)", || rustix::process::fchdir(before)))
}

/// Adds the layers one by one; before Linux 6.8 in one string, separated by colons. Before 6.5 the kernel checks no parameter
/// until all are set, so the whole is tried again.
fn configure(
    names: &[PathBuf],
    layers: &[OwnedFd],
    changes: &[(&str, Change)],
    attributes: Attributes,
) -> Result<OwnedFd, Fault> {
    match configure_with(&one_by_one(names), changes, attributes) {
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => {
            let again = configure_with(&[("lowerdir", in_one_string(names, layers)?)], changes, attributes);
            again.map_err(|second| more_precise(fault, second))
        }
        answer => answer,
    }
}

fn one_by_one(names: &[PathBuf]) -> Vec<(&'static str, OsString)> {
    names.iter().map(|name| ("lowerdir+", name.clone().into_os_string())).collect()
}

/// Returns which of two faults names the layer: the kernel says what is wrong with it, and does so only once.
fn more_precise(first: Fault, second: Fault) -> Fault {
    if second.remedy().is_none() && says_which(&first) { first } else { second }
}

/// Reports whether the kernel named a layer as the cause, and not `lowerdir+` as a parameter that it does not know.
fn says_which(fault: &Fault) -> bool {
    fault.remedy().is_some_and(|remedy| !remedy.contains("lowerdir+"))
}

fn configure_with(
    layers: &[(&str, OsString)],
    changes: &[(&str, Change)],
    attributes: Attributes,
) -> Result<OwnedFd, Fault> {
    let why = "the layers stay unchanged, a layer on top takes the changes; fsopen(2)";
    let context = mount_api::begin(GOAL, "overlay", why)?;
    let context = context.as_fd();
    mount_api::configure(GOAL, context, "source", Some(OsStr::new("overlay")))?;
    for (key, layer) in layers {
        mount_api::configure(GOAL, context, key, Some(layer))?;
    }
    for (key, directory) in changes {
        // By descriptor: a name could lead to another directory by now.
        let path = directory.as_ref().map_or_else(|| PathBuf::from("/proc/self/fd/0"), by_descriptor);
        mount_api::configure(GOAL, context, key, Some(path.as_os_str()))?;
    }
    if refusal::in_user_namespace() {
        mount_api::configure(GOAL, context, "userxattr", None)?;
    }
    mount_api::create(GOAL, context, "overlay", attributes)
}

/// Returns the layer's absolute path, or if that is too long for fsconfig(2), a path by descriptor.
fn name(path: &Path, layer: &OwnedFd) -> PathBuf {
    match std::path::absolute(path) {
        Ok(path) if path.as_os_str().len() < LONGEST => path,
        _ => by_descriptor(layer),
    }
}

fn by_descriptor(layer: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", layer.as_raw_fd()))
}

/// Joins the layers' names, or if those are too long together, paths by descriptor.
fn in_one_string(names: &[PathBuf], layers: &[OwnedFd]) -> Result<OsString, Fault> {
    let short: Vec<_> = layers.iter().map(by_descriptor).collect();
    let fits = |text: &OsString| text.len() < LONGEST;
    [joined(names), joined(&short)].into_iter().find(fits).ok_or_else(|| {
        Fault::new(format!("cannot {GOAL}: {} layers are too many for this kernel", layers.len())).with_remedy(format!(
            "before Linux 6.8 all their names in one string, as /proc/self/fd/N, must be shorter than {LONGEST} bytes"
        ))
    })
}

fn joined(names: &[PathBuf]) -> OsString {
    let names: Vec<_> = names.iter().map(|name| escaped(name.as_os_str())).collect();
    OsString::from_vec(names.join(&b':'))
}

/// Escapes colons and backslashes in a name, because colons separate names.
fn escaped(name: &OsStr) -> Vec<u8> {
    let escape = |byte: &u8| if matches!(byte, b':' | b'\\') { vec![b'\\', *byte] } else { vec![*byte] };
    name.as_bytes().iter().flat_map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_one_string_a_colon_in_a_name_is_escaped() {
        let names = ["/a:b", "/c\\d", "/e,f"].map(PathBuf::from);
        assert_eq!(joined(&names), OsString::from("/a\\:b:/c\\\\d:/e,f"));
    }
}
