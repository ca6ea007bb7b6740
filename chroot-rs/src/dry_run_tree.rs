//! The steps that a dry run has only printed, so that its later steps find a root in which the earlier ones were made.
//!
//! Nothing exists below a file system that was only printed. The exceptions are binds of the host's files, and /proc and
//! /sys, whose contents come from the kernel and so are the same as the host's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plumbing::narrate;

use crate::entry::Attributes;

/// The result of an earlier step at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// A file or directory.
    Made,
    /// A new, empty file system.
    Empty,
    /// A mount with these flags of the host's files at this path.
    Host(PathBuf, Attributes),
}

/// The place where a path is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Where {
    /// An earlier step made it.
    There,
    /// It does not exist: an earlier step mounted an empty file system above it.
    Nowhere,
    /// It is on the host at this path, on a mount with these flags.
    Host(PathBuf, Attributes),
    /// It is in the root itself: no step changed anything at or above it.
    Root,
}

/// The steps printed so far. Without `--dry-run` it stays empty, so that every path is looked up in the root itself.
#[derive(Debug)]
pub(crate) struct DryRunTree {
    is_dry_run: bool,
    nodes: RefCell<BTreeMap<PathBuf, Node>>,
}

impl DryRunTree {
    pub(crate) fn new() -> DryRunTree {
        DryRunTree { is_dry_run: narrate::is_dry_run(), nodes: RefCell::default() }
    }

    /// Notes a step, if it was only printed.
    pub(crate) fn note(&self, path: &Path, node: Node) {
        if self.is_dry_run {
            self.nodes.borrow_mut().insert(path.to_owned(), node);
        }
    }

    /// Returns the place where `path` is looked up.
    pub(crate) fn find(&self, path: &Path) -> Where {
        let nodes = self.nodes.borrow();
        match nodes.get(path) {
            Some(Node::Host(same, flags)) => return Where::Host(same.clone(), *flags),
            Some(_) => return Where::There,
            None => {}
        }
        let mut known = path.ancestors().filter_map(|dir| Some((dir, nodes.get(dir)?)));
        match known.find(|(_, node)| **node != Node::Made) {
            Some((dir, Node::Host(same, flags))) => {
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
    fn a_later_step_finds_what_earlier_ones_printed() {
        let dry_run = DryRunTree { is_dry_run: true, nodes: RefCell::default() };
        let find = |path: &str| dry_run.find(Path::new(path));
        assert_eq!(find("/dev"), Where::Root);
        dry_run.note(Path::new("/dev"), Node::Empty);
        dry_run.note(Path::new("/dev/pts"), Node::Made);
        dry_run.note(Path::new("/data"), Node::Host("/srv".into(), Attributes::MOUNT_ATTR_RDONLY));
        assert_eq!(find("/dev"), Where::There);
        assert_eq!(find("/dev/pts"), Where::There);
        assert_eq!(find("/dev/shm"), Where::Nowhere);
        assert_eq!(find("/data/a/b"), Where::Host("/srv/a/b".into(), Attributes::MOUNT_ATTR_RDONLY));
        assert_eq!(find("/data"), Where::Host("/srv".into(), Attributes::MOUNT_ATTR_RDONLY));
        assert_eq!(find("/etc"), Where::Root);
    }
}
