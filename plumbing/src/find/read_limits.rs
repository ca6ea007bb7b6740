//! Limits on what is read of one author's state files: none for root and ourselves; for another user, a limit for each
//! file and one for all.
//!
//! A sparse file costs its owner nothing but takes its reader as long as a full one, and a directory can contain any
//! number of files.

use std::cell::Cell;
use std::rc::Rc;

/// The maximum number of directory entries that are examined.
pub(super) const MOST: usize = 1 << 16;

/// The rest of the limits on one author's files.
#[derive(Debug)]
pub(crate) struct ReadLimits {
    author: u32,
    is_trusted: bool,
    /// The maximum size of a file that is read, in bytes.
    pub(super) longest: u64,
    /// The maximum number of names of a directory that are used.
    pub(super) most: usize,
    files: Cell<usize>,
    bytes: Cell<u64>,
    left_out: Cell<usize>,
}

impl ReadLimits {
    /// Returns the limits, nothing of which is used yet. `is_trusted` means root or ourselves. Docker's file of a container can be large.
    pub(crate) fn of(author: u32, is_trusted: bool) -> Rc<ReadLimits> {
        let (longest, most, files, bytes) =
            if is_trusted { (16 << 20, MOST, usize::MAX, u64::MAX) } else { (64 << 10, 4096, 4096, 4 << 20) };
        let (files, bytes) = (Cell::new(files), Cell::new(bytes));
        Rc::new(ReadLimits { author, is_trusted, longest, most, files, bytes, left_out: Cell::new(0) })
    }

    /// Returns the limits of root.
    pub(super) fn of_root() -> Rc<ReadLimits> {
        ReadLimits::of(0, true)
    }

    /// Counts a file before it is opened, whether it exists or not. Returns whether it may be read.
    pub(super) fn open(&self) -> bool {
        let files = self.files.get();
        let is_within = files > 0 && self.bytes.get() > 0;
        if is_within {
            self.files.set(files - 1);
        } else {
            self.leave_out();
        }
        is_within
    }

    /// Counts the bytes of a file after it was read.
    pub(super) fn read(&self, bytes: u64) {
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
    }

    /// Counts a file that is skipped because of a limit.
    pub(super) fn leave_out(&self) {
        self.left_out.set(self.left_out.get() + 1);
    }

    /// Returns the warning about skipped files, if there are any.
    pub(crate) fn remark(&self) -> Option<String> {
        let (author, count) = (self.author, self.left_out.get());
        (count > 0 && !self.is_trusted).then(|| {
            format!(
                "skipped {count} state files of user {author}: at most 64 KiB of a file, and 4096 files and 4 MiB in \
                 total, are read"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_users_are_limited_and_those_of_root_are_not() {
        let stranger = ReadLimits::of(1000, false);
        for _ in 0..4096 {
            assert!(stranger.open());
        }
        assert!(!stranger.open() && !stranger.open());
        assert!(stranger.remark().is_some_and(|text| text.starts_with("skipped 2 state files of user 1000")));
        let other = ReadLimits::of(1001, false);
        other.read(5 << 20);
        assert!(!other.open());
        let root = ReadLimits::of_root();
        (0..10_000).for_each(|_| assert!(root.open()));
        assert_eq!(root.remark(), None);
    }
}
