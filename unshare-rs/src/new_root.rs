//! `--root` and `--wd`: another root directory, and the working directory in it. `chroot(2)`.
//!
//! As in unshare(1), this is only chroot(2): it hides the rest of the file system, but root can get out.

use std::path::Path;

use plumbing::Fault;
use plumbing::kernel::call;

/// Changes the root directory, and the working directory: by default to `/` in a new root.
pub(crate) fn enter(root: Option<&Path>, directory: Option<&Path>) -> Result<(), Fault> {
    if let Some(root) = root {
        let text = format!("chroot({:?})", root.to_string_lossy());
        call(
            format!("change the root to {}", root.display()),
            text,
            "from here on, / is this directory; chroot(2)",
            || nix::unistd::chroot(root),
        )?;
    }
    let Some(directory) = directory.or(root.map(|_| Path::new("/"))) else { return Ok(()) };
    let text = format!("chdir({:?})", directory.to_string_lossy());
    let why = match root {
        Some(_) => "chroot(2) leaves the working directory outside the new root; chdir(2)",
        None => "the command starts there; chdir(2)",
    };
    call(format!("change to the directory {}", directory.display()), text, why, || rustix::process::chdir(directory))
}
