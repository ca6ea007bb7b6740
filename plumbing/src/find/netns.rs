//! Network namespaces that `ip netns` names: files in /run/netns, each with a namespace mounted on it. They need not
//! contain a process, so they are entered by their file. `ip-netns(8)`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::narrate;
use crate::process::trail;

const DIRECTORY: &str = "/run/netns";

/// `NSFS_MAGIC` of <linux/magic.h>.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Returns the file of the network namespace with this name.
pub(crate) fn named(name: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') || name == "." || name == ".." {
        return None;
    }
    let path = Path::new(DIRECTORY).join(name);
    let is_link = std::fs::symlink_metadata(&path).ok()?.file_type().is_symlink();
    if let Some(stranger) = is_link.then(|| trail::stranger(&path)).flatten() {
        narrate::remark(format_args!(
            "{} is not followed: {} can change where it leads, at {}",
            path.display(),
            stranger.who(),
            stranger.path.display()
        ));
        return None;
    }
    let on = rustix::fs::statfs(&path).ok()?;
    (u64::try_from(on.f_type) == Ok(NSFS_MAGIC)).then_some(path)
}
