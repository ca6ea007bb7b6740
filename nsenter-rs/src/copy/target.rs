//! The directory and the name that a copy gets, and what it never replaces. `rename(2)`.
//!
//! Both are determined before anything is made. The directory is a descriptor from then on.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::look;
use plumbing::text::{Text, quoted};
use rustix::fs::{AtFlags, FileType, OFlags, statat};

use super::entry::{Entry, Kind};
use super::place::Place;
use super::source::described;

/// Where the copy will be.
pub(super) struct Target {
    pub(super) parent: OwnedFd,
    pub(super) name: OsString,
}

impl Target {
    /// Determines the directory and the name of the copy: in DEST if that is a directory, else DEST itself.
    pub(super) fn find(place: &Place, top: &Entry) -> Result<Target, Fault> {
        let (path, shown) = (place.path(), place.shown());
        let goal = format!("copy to {shown}");
        let open = |path: &Path| {
            let text = format!("openat({path:?}, O_PATH|O_DIRECTORY)");
            look(&goal, text, || place.open_at(path, OFlags::PATH | OFlags::DIRECTORY))
        };
        let is_named_as_directory = path.as_os_str().as_bytes().ends_with(b"/") || path.file_name().is_none();
        let target = match (open(path), path.file_name()) {
            (Ok(parent), _) if top.name.is_empty() => {
                drop(parent);
                return Err(Fault::new(format!("cannot {goal}: it is a directory; name the copy in it")));
            }
            (Ok(parent), _) => Target { parent, name: top.name.clone() },
            (Err(fault), Some(name))
                if matches!(fault.errno(), Some(Errno::ENOENT | Errno::ENOTDIR)) && !is_named_as_directory =>
            {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                Target { parent: open(parent)?, name: name.to_owned() }
            }
            (Err(fault), _) => return Err(fault),
        };
        target.refuse_existing(place, top)?;
        Ok(target)
    }

    /// Refuses to replace anything but a regular file by a file: a directory would be mixed, and a device must stay.
    fn refuse_existing(&self, place: &Place, top: &Entry) -> Result<(), Fault> {
        let (goal, name) = (format!("copy to {}", place.shown()), Text::from(self.name.as_os_str()).shown());
        let text = format!("newfstatat(fd, {})", quoted(&self.name));
        match look(&goal, text, || statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW)) {
            Err(fault) if fault.errno() == Some(Errno::ENOENT) => Ok(()),
            Err(fault) => Err(fault),
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile if top.kind == Kind::File => Ok(()),
                kind => Err(Fault::new(format!("cannot {goal}: {name} exists already, and is a {}", described(kind)))),
            },
        }
    }
}
