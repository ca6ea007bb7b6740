//! What a dry run has only told so far, so that its later steps see a root in which the earlier ones were made.
//!
//! Nothing exists below a file system that was only told; /proc and /sys are the exception, whose content is the
//! kernel's own and so the same as the host's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What stands at a path now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Something that an earlier step made.
    Made,
    /// A new file system with nothing in it.
    Empty,
    /// A file system with the same content as the host's at this path.
    AsHost,
}

/// Where to look for a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// It was told to be there.
    There,
    /// It was not told, and nothing else can be there.
    Nowhere,
    /// The host has the same.
    Host,
    /// In the root itself: no step has come near it.
    Root,
}

/// The steps told so far.
#[derive(Debug, Default)]
pub(crate) struct Telling(RefCell<BTreeMap<PathBuf, Told>>);

impl Telling {
    /// Notes a step.
    pub(crate) fn note(&self, path: &str, told: Told) {
        self.0.borrow_mut().insert(PathBuf::from(path), told);
    }

    /// Where to look for `path`.
    pub(crate) fn find(&self, path: &str) -> Where {
        let told = self.0.borrow();
        if told.contains_key(Path::new(path)) {
            return Where::There;
        }
        let above = Path::new(path).ancestors().filter_map(|dir| told.get(dir)).find(|told| **told != Told::Made);
        match above {
            Some(Told::AsHost) => Where::Host,
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
        assert_eq!(telling.find("/dev"), Where::Root);
        telling.note("/dev", Told::Empty);
        telling.note("/dev/pts", Told::Made);
        telling.note("/sys", Told::AsHost);
        assert_eq!(telling.find("/dev"), Where::There);
        assert_eq!(telling.find("/dev/pts"), Where::There);
        assert_eq!(telling.find("/dev/shm"), Where::Nowhere);
        assert_eq!(telling.find("/sys/firmware"), Where::Host);
        assert_eq!(telling.find("/etc"), Where::Root);
    }
}
