//! How much is read of one author's state files: of root's and our own whatever there is, of another user's a limit for
//! each file and one for all.
//!
//! A sparse file costs its owner nothing and its reader its length, and a directory may have any number of them.

use std::cell::Cell;
use std::rc::Rc;

use super::place::Unusable;

/// The most entries of a directory that are looked at.
pub(super) const MOST: usize = 1 << 16;

/// What is left of it.
#[derive(Debug)]
pub(crate) struct Allowance {
    author: u32,
    is_trusted: bool,
    /// The longest file that is read, in bytes.
    pub(super) longest: u64,
    /// The most names of a directory that are used.
    pub(super) most: usize,
    files: Cell<usize>,
    bytes: Cell<u64>,
    left_out: Cell<usize>,
}

impl Allowance {
    /// A whole one. `is_trusted`: root, or ourselves. Docker's file of a container may be large.
    pub(crate) fn of(author: u32, is_trusted: bool) -> Rc<Allowance> {
        let (longest, most, files, bytes) = match is_trusted {
            true => (16 << 20, MOST, usize::MAX, u64::MAX),
            false => (64 << 10, 4096, 4096, 4 << 20),
        };
        let (files, bytes) = (Cell::new(files), Cell::new(bytes));
        Rc::new(Allowance { author, is_trusted, longest, most, files, bytes, left_out: Cell::new(0) })
    }

    /// Root's.
    pub(super) fn of_root() -> Rc<Allowance> {
        Allowance::of(0, true)
    }

    /// Before a file is opened, be it there or not.
    pub(super) fn open(&self) -> Result<(), Unusable> {
        match (self.files.get().checked_sub(1), self.bytes.get()) {
            (None, _) | (_, 0) => {
                self.leave_out();
                Err(Unusable::LeftOut)
            }
            (Some(files), _) => {
                self.files.set(files);
                Ok(())
            }
        }
    }

    /// After it was read.
    pub(super) fn read(&self, bytes: u64) {
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
    }

    /// For a limit.
    pub(super) fn leave_out(&self) {
        self.left_out.set(self.left_out.get() + 1);
    }

    /// What stderr is to say of it.
    pub(crate) fn remark(&self) -> Option<String> {
        let (author, count) = (self.author, self.left_out.get());
        (count > 0 && !self.is_trusted).then(|| {
            format!(
                "left out {count} state files of user {author}: read are 64 KiB of a file, and 4096 files and 4 MiB of all"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_files_are_counted_and_root_s_are_not() {
        let stranger = Allowance::of(1000, false);
        for _ in 0..4096 {
            assert_eq!(stranger.open(), Ok(()));
        }
        assert_eq!((stranger.open(), stranger.open()), (Err(Unusable::LeftOut), Err(Unusable::LeftOut)));
        assert!(stranger.remark().is_some_and(|text| text.starts_with("left out 2 state files of user 1000")));
        let other = Allowance::of(1001, false);
        other.read(5 << 20);
        assert_eq!(other.open(), Err(Unusable::LeftOut));
        let root = Allowance::of_root();
        (0..10_000).for_each(|_| assert_eq!(root.open(), Ok(())));
        assert_eq!(root.remark(), None);
    }
}
