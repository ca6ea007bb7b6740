//! `tmpcopyup`: a new tmpfs begins with a copy of the directory that it covers. `tmpfs(5)`, `openat(2)`, `lseek(2)`.
//!
//! The directory is an image's: no link in it is followed, only directories, files and links are copied, nothing else is
//! ever opened, and the copy has a limit. The surprise: the copy is made before the file system is attached, since
//! afterwards it covers its source.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom as To};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use plumbing::kernel::{call, look, own};
use plumbing::process::procfs;
use plumbing::{Fault, narrate};
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Uid, chmodat, chownat, fstat, mkdirat, openat,
    readlinkat, seek, symlinkat,
};

use crate::entry::{Filesystem, quoted, shown};

/// The deepest directory that is copied.
const DEEPEST: usize = 64;

/// The most bytes that are copied into a tmpfs without a size of its own: memory is all that bounds such a file system.
const MOST_BYTES: u64 = 1 << 30;

/// The most files, directories and links that are copied into a tmpfs without a number of inodes of its own.
const MOST_ENTRIES: u64 = 1_000_000;

/// The user and the group that stat(2) shows for an owner who is not mapped here; `user_namespaces(7)`.
const UNMAPPED: u32 = 65534;

/// Copies the contents of the directory `from` into the top directory `to` of a file system that is not attached. The
/// copy has the mode and the owner of the original, except for the top directory if the file system has a mode.
pub(crate) fn copy(from: &OwnedFd, to: &OwnedFd, place: &Path, filesystem: &Filesystem) -> Result<(), Fault> {
    if narrate::is_dry_run() {
        return Ok(());
    }
    let goal = format!("copy {} into the tmpfs that covers it", shown(place));
    let mut copying = Copying { left: Left::of(filesystem), goal: &goal };
    let stat = look(&goal, "fstat(fd)", || fstat(from))?;
    if !has(filesystem, "mode") {
        copying.take_over(to.as_fd(), c".", &stat, place)?;
    }
    copying.below(from.as_fd(), to.as_fd(), place, DEEPEST)
}

/// Reports whether a parameter is given. The value 0 means "no limit" to the tmpfs: nothing that could bound a copy.
fn has(filesystem: &Filesystem, name: &str) -> bool {
    filesystem.parameters.iter().any(|(key, value)| key == name && value.as_deref() != Some("0"))
}

/// What may still be copied; `None` where the tmpfs has a limit of its own, which the kernel enforces with ENOSPC.
struct Left {
    bytes: Option<u64>,
    entries: Option<u64>,
}

impl Left {
    fn of(filesystem: &Filesystem) -> Self {
        let has_size = has(filesystem, "size") || has(filesystem, "nr_blocks");
        Left {
            bytes: (!has_size).then_some(MOST_BYTES),
            entries: (!has(filesystem, "nr_inodes")).then_some(MOST_ENTRIES),
        }
    }

    /// Counts the bytes from `start` to `end` of a file, in whole pages as the memory does.
    fn take_bytes(&mut self, start: u64, end: u64) -> Result<(), &'static str> {
        let page = rustix::param::page_size() as u64;
        let pages = end.div_ceil(page).saturating_sub(start / page);
        take(&mut self.bytes, pages.saturating_mul(page)).ok_or("1 GiB, and the tmpfs has no size=")
    }

    fn take_entry(&mut self) -> Result<(), &'static str> {
        take(&mut self.entries, 1).ok_or("1000000 entries, and the tmpfs has no nr_inodes=")
    }
}

/// Takes an amount from what is left; `None` if it is more than that.
fn take(left: &mut Option<u64>, amount: u64) -> Option<()> {
    if let Some(left) = left {
        *left = left.checked_sub(amount)?;
    }
    Some(())
}

struct Copying<'a> {
    goal: &'a str,
    left: Left,
}

impl Copying<'_> {
    fn below(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, place: &Path, depth: usize) -> Result<(), Fault> {
        let goal = self.goal;
        if depth == 0 {
            return Err(Fault::new(format!("cannot {goal}: it has more than {DEEPEST} directories inside each other")));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = look(goal, format!("openat({})", quoted(place)), || openat(from, ".", flags, Mode::empty()))?;
        let mut names: Vec<CString> = Vec::new();
        for entry in look(goal, "getdents64(fd)", || Dir::read_from(&listed))? {
            let name = look(goal, "getdents64(fd)", || entry)?.file_name().to_owned();
            if name.as_c_str() != c"." && name.as_c_str() != c".." {
                self.left.take_entry().map_err(|limit| self.too_much(place, limit))?;
                names.push(name);
            }
        }
        names.sort_unstable();
        names.iter().try_for_each(|name| self.one(from, to, name, place, depth))
    }

    fn one(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        place: &Path,
        depth: usize,
    ) -> Result<(), Fault> {
        let goal = self.goal;
        let path = place.join(std::ffi::OsStr::new(&*name.to_string_lossy()));
        let text = |call: &str| format!("{call}(tmpfs:{})", shown(&path));
        // With O_PATH nothing is opened yet: a process of the image may put a device or a FIFO here at any time.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found =
            look(goal, format!("openat({}, O_PATH)", quoted(&path)), || openat(from, name, flags, Mode::empty()))?;
        let stat = look(goal, format!("fstat({})", quoted(&path)), || fstat(&found))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                call(goal, text("mkdirat"), WHY, || mkdirat(to, name, Mode::from_raw_mode(0o700)))?;
                let made = look(goal, text("openat"), || openat(to, name, flags, Mode::empty()))?;
                self.below(found.as_fd(), made.as_fd(), &path, depth - 1)?;
                self.take_over(to, name, &stat, &path)
            }
            FileType::RegularFile => {
                let stat = self.file(&found, to, name, &path)?;
                self.take_over(to, name, &stat, &path)
            }
            FileType::Symlink => {
                let link =
                    look(goal, format!("readlinkat({})", quoted(&path)), || readlinkat(&found, c"", Vec::new()))?;
                let length = link.as_bytes().len() as u64;
                self.left.take_bytes(0, length).map_err(|limit| self.too_much(&path, limit))?;
                call(goal, text("symlinkat"), WHY, || symlinkat(&link, to, name))
            }
            _ => narrate::caution(Fault::new(format!(
                "cannot copy {} into the tmpfs that covers it: it is neither a directory, nor a file, nor a link",
                shown(&path)
            ))),
        }
    }

    /// Copies a regular file. Returns its state after that: a write by others meanwhile has cleared the set-ID bits.
    fn file(&mut self, found: &OwnedFd, to: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<Stat, Fault> {
        let goal = self.goal;
        // Opens the file that was examined, whatever has its name by now. O_NONBLOCK: a lease would block us.
        let again = format!("self/fd/{}", found.as_raw_fd());
        let source = look(goal, format!("openat({}) by /proc/{again}", quoted(path)), || {
            procfs::open(&again, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
        })?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let text = format!("openat(tmpfs:{})", shown(path));
        let made = call(goal, text, WHY, || openat(to, name, flags, Mode::from_raw_mode(0o600)))?;
        let (mut source, mut made) = (File::from(source), File::from(made));
        let mut at = 0;
        while let Some((start, end)) = self.next_data(&source, path, at)? {
            self.left.take_bytes(start, end).map_err(|limit| self.too_much(path, limit))?;
            own(goal, format!("write(tmpfs:{})", shown(path)), || {
                source.seek(To::Start(start))?;
                made.seek(To::Start(start))?;
                std::io::copy(&mut (&source).take(end - start), &mut made)
            })?;
            at = end;
        }
        let stat = look(goal, format!("fstat({})", quoted(path)), || fstat(&source))?;
        // What follows the last data is a hole.
        let size = at.max(u64::try_from(stat.st_size).unwrap_or(0));
        own(goal, format!("ftruncate(tmpfs:{}, {size})", shown(path)), || made.set_len(size))?;
        Ok(stat)
    }

    /// Returns where the next data of a file begins and ends, from `at` on: holes are not data.
    fn next_data(&self, source: &File, path: &Path, at: u64) -> Result<Option<(u64, u64)>, Fault> {
        let find =
            |to, text: &str| match look(self.goal, format!("lseek({}, {text})", quoted(path)), || seek(source, to)) {
                // There is none before the end of the file.
                Err(fault) if fault.errno() == Some(Errno::ENXIO) => Ok(None),
                found => found.map(Some),
            };
        let Some(start) = find(SeekFrom::Data(at), "SEEK_DATA")? else { return Ok(None) };
        Ok(find(SeekFrom::Hole(start), "SEEK_HOLE")?.filter(|end| *end > start).map(|end| (start, end)))
    }

    fn too_much(&self, path: &Path, limit: &str) -> Fault {
        Fault::new(format!("cannot {}: with {} it has more than {limit}", self.goal, shown(path)))
            .with_remedy("give the tmpfs a limit of its own that the directory fits in, or do without tmpcopyup")
    }

    /// Gives a copy the owner and then the mode of the original, since a change of the owner clears set-user-ID bits.
    fn take_over(&self, dir: BorrowedFd<'_>, name: &CStr, stat: &Stat, path: &Path) -> Result<(), Fault> {
        let ids = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
        let text = format!("fchownat(tmpfs:{}, {}, {}, AT_SYMLINK_NOFOLLOW)", shown(path), stat.st_uid, stat.st_gid);
        let owned = call(self.goal, text, WHY, || chownat(dir, name, ids.0, ids.1, AtFlags::SYMLINK_NOFOLLOW));
        let is_others = match owned {
            // An owner who is not mapped here cannot own the copy: it stays ours, as what other runtimes copy does.
            Err(fault) if fault.errno() == Some(Errno::EINVAL) => true,
            changed => changed.map(|()| stat.st_uid == UNMAPPED || stat.st_gid == UNMAPPED)?,
        };
        // The kernel ignores the set-ID bits of an owner who is not mapped; on the copy, they would be another's.
        let mode = stat.st_mode & if is_others { 0o1777 } else { 0o7777 };
        let text = format!("fchmodat(tmpfs:{}, 0{mode:o})", shown(path));
        call(self.goal, text, WHY, || chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty()))
    }
}

const WHY: &str = "the tmpfs begins with a copy of what it covers (tmpcopyup)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_counted_in_pages_unless_the_tmpfs_has_limits_of_its_own() {
        let page = rustix::param::page_size() as u64;
        let mut left = Left { bytes: Some(3 * page), entries: Some(1) };
        assert_eq!(left.take_bytes(0, 1), Ok(()));
        assert_eq!(left.take_bytes(page - 1, page + 1), Ok(()));
        assert!(left.take_bytes(u64::MAX - 1, u64::MAX).is_err());
        assert_eq!(left.take_entry(), Ok(()));
        assert!(left.take_entry().is_err());
        let mut left = Left { bytes: None, entries: None };
        assert_eq!(left.take_bytes(0, u64::MAX), Ok(()));
        assert_eq!(left.take_entry(), Ok(()));
    }
}
