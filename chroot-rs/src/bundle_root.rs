//! The directory that a bundle names as its root. `openat2(2)`.
//!
//! As in runc, no symbolic link may lead to it: the author of the bundle could make any directory of the host the root. The
//! surprise: a look beforehand is not enough, since the directory can be replaced by a link after it; so the root is opened
//! in this way each time. The bundle's own path comes from the command line; its links are the caller's.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::look;

use crate::entry::shown;
use crate::mount_api::open_directory;
use plumbing::process::resolve;

/// Refuses a link on the path before anything is changed. Any other fault shows when the root is opened.
pub(crate) fn refuse_links(directory: &Path, root: &Path) -> Result<(), Fault> {
    match open(directory, root) {
        Err(fault) if fault.errno() == Some(Errno::ELOOP) => Err(fault),
        _ => Ok(()),
    }
}

/// Opens the root, whose path may be absolute or relative to the bundle's directory.
pub(crate) fn open(directory: &Path, root: &Path) -> Result<OwnedFd, Fault> {
    let inside = root.strip_prefix(directory).unwrap_or(root);
    let base = if inside.is_absolute() { Path::new("/") } else { directory };
    let base = open_directory(base, "open the directory in which the bundle's root is")?;
    let inside = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
    let whole = directory.join(root);
    let goal = format!("use {} as the bundle's root", shown(&whole));
    let text = format!("openat2({inside:?}, O_PATH|O_DIRECTORY, RESOLVE_NO_SYMLINKS)");
    look(goal, text, || resolve::without_links(base.as_fd(), inside)).map_err(|fault| match fault.errno() {
        Some(Errno::ELOOP) => {
            fault.with_remedy("name the directory itself in root.path: a symbolic link on its path is not followed")
        }
        _ => fault,
    })
}
