//! `--root` and `--wd`: another root directory, and where to start in it. `chroot(2)`.
//!
//! As unshare(1), this is no more than chroot(2): it hides the rest of the file system, and does not keep root in.

use std::path::Path;

use plumbing::Fault;
use plumbing::kernel::call;

/// Changes the root, and the directory: to `/` in a new root, unless told otherwise.
pub(crate) fn enter(root: Option<&Path>, directory: Option<&Path>) -> Result<(), Fault> {
    if let Some(root) = root {
        let text = format!("chroot({:?})", root.to_string_lossy());
        call(format!("change the root to {}", root.display()), text, "from here on, / is there; chroot(2)", || {
            nix::unistd::chroot(root)
        })?;
    }
    let Some(directory) = directory.or(root.map(|_| Path::new("/"))) else { return Ok(()) };
    let text = format!("chdir({:?})", directory.to_string_lossy());
    let why = match root {
        Some(_) => "chroot(2) leaves us in a directory outside of the new root; chdir(2)",
        None => "where the command starts; chdir(2)",
    };
    call(format!("change to the directory {}", directory.display()), text, why, || rustix::process::chdir(directory))
}
