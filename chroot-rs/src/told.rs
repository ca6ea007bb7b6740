//! What a dry run has only told so far, so that its later steps see a root in which the earlier ones were made.
//!
//! Nothing exists below a file system that was only told. The exceptions are what shows the host's files, and /proc and
//! /sys, whose content is the kernel's own and so the same as the host's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::entry::Attributes;

/// What stands at a path now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// Something that an earlier step made.
    Made,
    /// A new file system with nothing in it.
    Empty,
    /// What the host has at this path of its own, by a mount with these flags.
    Host(PathBuf, Attributes),
}

/// Where to look for a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Where {
    /// It was told to be there.
    There,
    /// It was not told, and nothing else can be there.
    Nowhere,
    /// The host has it, at this path; it is seen by a mount with these flags.
    Host(PathBuf, Attributes),
    /// In the root itself: no step has come near it.
    Root,
}

/// The steps told so far.
#[derive(Debug, Default)]
pub(crate) struct Telling(RefCell<BTreeMap<PathBuf, Told>>);

impl Telling {
    /// Notes a step.
    pub(crate) fn note(&self, path: &Path, told: Told) {
        self.0.borrow_mut().insert(path.to_owned(), told);
    }

    /// Where to look for `path`.
    pub(crate) fn find(&self, path: &Path) -> Where {
        let told = self.0.borrow();
        match told.get(path) {
            Some(Told::Host(same, flags)) => return Where::Host(same.clone(), *flags),
            Some(_) => return Where::There,
            None => {}
        }
        let mut known = path.ancestors().filter_map(|dir| Some((dir, told.get(dir)?)));
        match known.find(|(_, told)| **told != Told::Made) {
            Some((dir, Told::Host(same, flags))) => {
                Where::Host(path.strip_prefix(dir).map_or(same.clone(), |below| same.join(below)), *flags)
            }
            Some(_) => Where::Nowhere,
            None => Where::Root,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_step_sees_what_earlier_ones_told() {
        let telling = Telling::default();
        let find = |path: &str| telling.find(Path::new(path));
        assert_eq!(find("/dev"), Where::Root);
        telling.note(Path::new("/dev"), Told::Empty);
        telling.note(Path::new("/dev/pts"), Told::Made);
        telling.note(Path::new("/data"), Told::Host("/srv".into(), Attributes::MOUNT_ATTR_RDONLY));
        assert_eq!(find("/dev"), Where::There);
        assert_eq!(find("/dev/pts"), Where::There);
        assert_eq!(find("/dev/shm"), Where::Nowhere);
        assert_eq!(find("/data/a/b"), Where::Host("/srv/a/b".into(), Attributes::MOUNT_ATTR_RDONLY));
        assert_eq!(find("/data"), Where::Host("/srv".into(), Attributes::MOUNT_ATTR_RDONLY));
        assert_eq!(find("/etc"), Where::Root);
    }
}
