//! The content of a file: by the kernel where it can, and only the parts that have data. `copy_file_range(2)`, `lseek(2)`.
//!
//! A file that grows meanwhile is copied up to the size that it had at first, so that nobody can make the copy endless.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::fault::IntoErrno;
use plumbing::kernel::own;
use rustix::fs::{SeekFrom, copy_file_range, fstat, ftruncate, seek};
use rustix::io::{pread, pwrite, read, retry_on_intr, write};

use super::progress::Progress;

/// How much the kernel copies in one call, so that progress can be shown.
const PIECE: u64 = 16 << 20;
/// How much is read at once where the kernel cannot copy.
const BUFFER: usize = 256 << 10;
/// The most that is read of a file that does not report its size.
const MOST_WITHOUT_SIZE: u64 = 64 << 20;

/// A file to be copied.
pub(super) struct Content<'a> {
    pub(super) from: &'a OwnedFd,
    /// The file that is written, for messages.
    pub(super) shown: &'a str,
    /// The size; without one, everything up to the end.
    pub(super) size: Option<u64>,
    pub(super) progress: &'a mut Progress,
}

impl Content<'_> {
    /// Copies into a new file. `is_stream`: the source is no file, and has no limit.
    pub(super) fn write_to(mut self, to: &OwnedFd, is_stream: bool) -> Result<(), Fault> {
        let Some(size) = self.size else { return self.stream_to(to, is_stream) };
        let (mut at, mut by_kernel) = (0, true);
        let mut end = size;
        while at < size {
            let (data, hole) = match self.next_data(at, size) {
                Some(found) => found,
                None => {
                    // Only a hole is left; or the file has become shorter meanwhile.
                    end = size.min(self.size_now()?);
                    break;
                }
            };
            let reached = self.range(to, data, hole, &mut by_kernel)?;
            at = hole;
            if reached < hole {
                end = reached;
                break;
            }
        }
        let text = format!("ftruncate(fd, {end})");
        own(self.goal(), text, || ftruncate(to, end))
    }

    /// Copies into a pipe or terminal, or from one.
    pub(super) fn stream_to(&mut self, to: impl AsFd, is_stream: bool) -> Result<(), Fault> {
        let unlimited = if is_stream { u64::MAX } else { MOST_WITHOUT_SIZE + 1 };
        let mut left = self.size.unwrap_or(unlimited);
        let mut buffer = vec![0; BUFFER];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let length = own(self.goal(), "read(fd)", || retry_on_intr(|| read(self.from, &mut buffer[..most])))?;
            if length == 0 {
                return Ok(());
            }
            let mut rest = &buffer[..length];
            while !rest.is_empty() {
                let written = own(self.goal(), "write(fd)", || retry_on_intr(|| write(to.as_fd(), rest)))?;
                rest = &rest[written..];
            }
            left -= length as u64;
            self.progress.bytes(length as u64);
        }
        if self.size.is_none() && !is_stream {
            let most = MOST_WITHOUT_SIZE >> 20;
            return Err(Fault::new(format!("cannot {}: the kernel's file has more than {most} MiB", self.goal())));
        }
        Ok(())
    }

    fn size_now(&self) -> Result<u64, Fault> {
        own(self.goal(), "fstat(fd)", || fstat(self.from)).map(|stat| stat.st_size as u64)
    }

    /// Returns where the next data begins and ends; `None` if there is only a hole left.
    fn next_data(&self, at: u64, size: u64) -> Option<(u64, u64)> {
        let data = match seek(self.from, SeekFrom::Data(at)) {
            Ok(data) => data.max(at),
            Err(rustix::io::Errno::NXIO) => return None,
            // A file system that does not know its holes.
            Err(_) => return Some((at, size)),
        };
        let hole = seek(self.from, SeekFrom::Hole(data)).unwrap_or(size).min(size);
        (data < hole).then_some((data, hole))
    }

    /// Copies a range of the file, and returns where it ended: earlier, if the file has become shorter.
    fn range(&mut self, to: &OwnedFd, begin: u64, end: u64, by_kernel: &mut bool) -> Result<u64, Fault> {
        let mut at = begin;
        while *by_kernel && at < end {
            let length = usize::try_from((end - at).min(PIECE)).unwrap_or(BUFFER);
            let (mut from_at, mut to_at) = (at, at);
            match retry_on_intr(|| copy_file_range(self.from, Some(&mut from_at), to, Some(&mut to_at), length)) {
                // Some file systems return 0 instead of an error; read(2) decides whether it is the end.
                Ok(0) => *by_kernel = false,
                Ok(copied) => {
                    at += copied as u64;
                    self.progress.bytes(copied as u64);
                }
                Err(error) => match error.into_errno() {
                    Errno::ENOSPC | Errno::EDQUOT | Errno::EIO => {
                        return own(self.goal(), "copy_file_range()", || Err(error));
                    }
                    _ => *by_kernel = false,
                },
            }
        }
        if at < end { self.by_buffer(to, at, end) } else { Ok(at) }
    }

    fn by_buffer(&mut self, to: &OwnedFd, begin: u64, end: u64) -> Result<u64, Fault> {
        let mut buffer = vec![0; BUFFER];
        let mut at = begin;
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
            let length =
                own(self.goal(), "pread64(fd)", || retry_on_intr(|| pread(self.from, &mut buffer[..most], at)))?;
            if length == 0 {
                break;
            }
            let mut rest = &buffer[..length];
            while !rest.is_empty() {
                let written = own(self.goal(), "pwrite64(fd)", || retry_on_intr(|| pwrite(to, rest, at)))?;
                rest = &rest[written..];
                at += written as u64;
            }
            self.progress.bytes(length as u64);
        }
        Ok(at)
    }

    fn goal(&self) -> String {
        format!("copy the content of {}", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_at_the_end_is_kept_and_a_file_that_becomes_shorter_is_not_filled_up() {
        let path = std::env::temp_dir().join(format!("nsenter-rs-content-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        for (content, now, expected) in [("", 1 << 20, 1 << 20), ("data", 1 << 20, 1 << 20), ("", 0, 0), ("data", 4, 4)]
        {
            std::fs::write(path.join("from"), content).unwrap();
            let from = std::fs::File::options().write(true).read(true).open(path.join("from")).unwrap();
            from.set_len(now).unwrap();
            let to = std::fs::File::create(path.join("to")).unwrap().into();
            let mut progress = Progress::new();
            // The size at first.
            let size = Some(1 << 20);
            let content = Content { from: &from.into(), shown: "from", size, progress: &mut progress };
            content.write_to(&to, false).unwrap();
            assert_eq!(fstat(&to).unwrap().st_size, expected, "{now}");
        }
        std::fs::remove_dir_all(&path).unwrap();
    }
}
