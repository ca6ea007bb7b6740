//! A root of layers: directories laid over each other that stay as they are, and one on top that takes the changes.
//! overlayfs in the kernel's documentation; `mount(8)` has its options.
//!
//! The top layer must be reached by a path, so it is attached first, and we stand in it: its names are then our own and
//! need no escaping. The surprise: without `userxattr`, a user namespace gets a layered root in which nothing of a lower
//! layer can be removed as a whole.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::kernel::{call, look};
use plumbing::{Fault, narrate};
use rustix::fs::{Mode, mkdirat};
use rustix::mount::{UnmountFlags, unmount};

use crate::entry::{Attributes, Filesystem, shown};
use crate::{attach, explain, root};

const GOAL: &str = "lay the root's layers over each other";

/// The longest string that fsconfig(2) takes, with its NUL.
const LONGEST: usize = 256;

/// Makes the layered file system.
pub(crate) fn make(lower: &[PathBuf], upper: Option<&Path>, attributes: Attributes) -> Result<OwnedFd, Fault> {
    // Opened where we stand now; kept open until the file system is made.
    let layers = lower.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<_> = lower.iter().zip(&layers).map(|(path, layer)| name(path, layer)).collect();
    let top = top(upper)?;
    for (name, why) in [("upper", "what is changed goes here"), ("work", "where overlayfs prepares a change")] {
        make_directory(&top, name, why)?;
    }
    let before = stand_in(top.as_fd())?;
    let made = configure(&names, &layers, attributes);
    if made.is_ok() && upper.is_none() {
        let why = "it is reached through the layered root only, and is nobody's way back; umount(2)";
        call(GOAL, "umount2(\".\", MNT_DETACH)", why, || unmount(".", UnmountFlags::DETACH))?;
    }
    go_back(before.as_ref())?;
    made
}

fn open(path: &Path) -> Result<OwnedFd, Fault> {
    root::open_directory(path, &format!("open the layer {}", shown(path)))
}

/// The directory that takes the changes: the caller's, or one in memory that ends with the container.
fn top(upper: Option<&Path>) -> Result<OwnedFd, Fault> {
    if let Some(path) = upper {
        return root::open_directory(path, &format!("open the upper layer's directory {}", shown(path)));
    }
    let tmpfs = Filesystem::new("tmpfs", &[("mode", "755")], Attributes::empty());
    let mount = attach::fresh("make a layer for the changes", &tmpfs, "changes are kept in memory; tmpfs(5)")?;
    root::attach_over_root(&mount)?;
    Ok(mount)
}

fn make_directory(top: &OwnedFd, name: &str, why: &str) -> Result<(), Fault> {
    let text = format!("mkdirat(fd, {name:?}, 0755)");
    match call(GOAL, text, why, || mkdirat(top, name, Mode::from_raw_mode(0o755))) {
        Err(fault) if fault.errno() == Some(Errno::EEXIST) => Ok(()),
        answer => answer,
    }
}

/// Goes there; answers where we were.
fn stand_in(directory: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Fault> {
    if narrate::is_dry_run() {
        return Ok(None);
    }
    let before = root::open_directory(Path::new("."), "remember the working directory")?;
    look(GOAL, "fchdir(fd)", || rustix::process::fchdir(directory))?;
    Ok(Some(before))
}

fn go_back(before: Option<&OwnedFd>) -> Result<(), Fault> {
    before.map_or(Ok(()), |before| look(GOAL, "fchdir(fd)", || rustix::process::fchdir(before)))
}

/// One layer by one; before Linux 6.8 all in one string, with colons between. Before 6.5 the kernel looks at no parameter
/// until all are there, so it is the whole that is tried again.
fn configure(names: &[PathBuf], layers: &[OwnedFd], attributes: Attributes) -> Result<OwnedFd, Fault> {
    let one_by_one: Vec<_> = names.iter().map(|name| ("lowerdir+", name.clone().into_os_string())).collect();
    match configure_with(&one_by_one, attributes) {
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => {
            configure_with(&[("lowerdir", in_one_string(names, layers)?)], attributes)
        }
        answer => answer,
    }
}

fn configure_with(layers: &[(&str, OsString)], attributes: Attributes) -> Result<OwnedFd, Fault> {
    let why = "the layers stay as they are, what is changed lies over them; fsopen(2)";
    let context = attach::begin(GOAL, "overlay", why)?;
    let context = context.as_fd();
    attach::configure(GOAL, context, "source", Some(OsStr::new("overlay")))?;
    for (key, layer) in layers {
        attach::configure(GOAL, context, key, Some(layer))?;
    }
    attach::configure(GOAL, context, "upperdir", Some(OsStr::new("upper")))?;
    attach::configure(GOAL, context, "workdir", Some(OsStr::new("work")))?;
    if explain::in_user_namespace() {
        attach::configure(GOAL, context, "userxattr", None)?;
    }
    attach::create(GOAL, context, "overlay", attributes)
}

/// Its path from "/" on, or where that is too long for fsconfig(2), by descriptor.
fn name(path: &Path, layer: &OwnedFd) -> PathBuf {
    match std::path::absolute(path) {
        Ok(path) if path.as_os_str().len() < LONGEST => path,
        _ => by_descriptor(layer),
    }
}

fn by_descriptor(layer: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", layer.as_raw_fd()))
}

/// By their names, or where those are too long together, by their descriptors.
fn in_one_string(names: &[PathBuf], layers: &[OwnedFd]) -> Result<OsString, Fault> {
    let short: Vec<_> = layers.iter().map(by_descriptor).collect();
    let fits = |text: &OsString| text.len() < LONGEST;
    [joined(names), joined(&short)].into_iter().find(fits).ok_or_else(|| {
        Fault::new(format!("cannot {GOAL}: {} layers are too many for this kernel", layers.len())).with_remedy(format!(
            "before Linux 6.8 all their names together, as /proc/self/fd/N, have to be shorter than {LONGEST} bytes"
        ))
    })
}

fn joined(names: &[PathBuf]) -> OsString {
    let names: Vec<_> = names.iter().map(|name| escaped(name.as_os_str())).collect();
    OsString::from_vec(names.join(&b':'))
}

/// A colon or backslash in a name, told from one between names.
fn escaped(name: &OsStr) -> Vec<u8> {
    let escape = |byte: &u8| if matches!(byte, b':' | b'\\') { vec![b'\\', *byte] } else { vec![*byte] };
    name.as_bytes().iter().flat_map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_one_string_a_colon_of_a_name_is_told_from_one_between_names() {
        let names = ["/a:b", "/c\\d", "/e,f"].map(PathBuf::from);
        assert_eq!(joined(&names), OsString::from("/a\\:b:/c\\\\d:/e,f"));
    }
}
