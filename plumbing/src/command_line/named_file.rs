//! A file that an option names: read without waiting for a writer, and never more than 16 MiB of it.
//!
//! Someone else may have made it: a FIFO could block us for as long as its owner likes, and `/dev/zero` has no end.
//! `open(2)`, `fifo(7)`.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_setfl, fstat, fstatfs, major, minor, openat};

use crate::Fault;
use crate::fault::IntoErrno;
use crate::kernel::{look, own};

/// Far more than any configuration, profile or environment needs.
const LIMIT: u64 = 16 << 20;
/// `PIPEFS_MAGIC` of <linux/magic.h>: what pipe(2) makes, as opposed to a FIFO that has a name.
pub(crate) const PIPEFS: i64 = 0x5049_5045;

/// Reads the file that `option` names. `goal` completes "cannot …".
///
/// It may be a pipe of the caller's own (`/dev/stdin`, `<(…)` of bash(1)); then we wait for its writer.
pub fn read(option: &str, goal: &str, path: &Path) -> Result<Vec<u8>, Fault> {
    let shown = path.to_string_lossy();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = look(goal, format!("openat(AT_FDCWD, {shown:?}, O_RDONLY|O_NONBLOCK)"), || {
        openat(CWD, path, flags, Mode::empty())
    })?;
    read_open(option, goal, file, &shown)
}

/// Reads a file that the caller opened, from where it is now; `shown` names it in errors.
pub fn read_open(option: &str, goal: &str, file: OwnedFd, shown: &str) -> Result<Vec<u8>, Fault> {
    let kind = look(goal, "fstat(fd)", || kind_of(&file))?;
    let refused = |why: &str| {
        Fault::new(format!("cannot {goal}: {why}"))
            .with_remedy(format!("{option} takes a regular file, /dev/null, or a pipe (/dev/stdin, <(COMMAND))"))
    };
    match kind {
        Kind::Regular => {}
        Kind::Pipe => own(goal, "fcntl(fd, F_SETFL, 0)", || fcntl_setfl(&file, OFlags::empty()))?,
        Kind::Empty => return Ok(Vec::new()),
        Kind::Other(what) => return Err(refused(&format!("it is {what}"))),
    }
    let mut bytes = Vec::new();
    look(goal, format!("read({shown:?})"), || std::fs::File::from(file).take(LIMIT + 1).read_to_end(&mut bytes))?;
    if bytes.len() as u64 > LIMIT { Err(refused(&format!("it is longer than {} MiB", LIMIT >> 20))) } else { Ok(bytes) }
}

enum Kind {
    Regular,
    Pipe,
    Empty,
    Other(&'static str),
}

fn kind_of(file: impl AsFd) -> Result<Kind, nix::errno::Errno> {
    let stat = fstat(&file).map_err(IntoErrno::into_errno)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::Regular,
        FileType::Fifo if fstatfs(&file).map_err(IntoErrno::into_errno)?.f_type as i64 == PIPEFS => Kind::Pipe,
        FileType::Fifo => Kind::Other("a FIFO"),
        FileType::CharacterDevice if (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3) => Kind::Empty,
        FileType::CharacterDevice | FileType::BlockDevice => Kind::Other("a device"),
        FileType::Directory => Kind::Other("a directory"),
        _ => Kind::Other("not a regular file"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_refused_and_the_null_device_is_empty() {
        let fault = read("--env-file", "read it", Path::new("/dev/zero")).unwrap_err();
        assert_eq!(fault.to_string(), "cannot read it: it is a device");
        assert_eq!(read("--env-file", "read it", Path::new("/dev/null")).unwrap(), b"");
        assert!(read("--env-file", "read it", Path::new("/")).unwrap_err().to_string().ends_with("a directory"));
    }
}
