//! Reading small files that must be regular files: never waits for a FIFO's writer, never reads without end. `open(2)`.

use std::io::Read;
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat, stat};

use crate::Fault;
use crate::kernel::look;
use crate::process::closing::leave;

/// Reads the file at `path`, of at most `longest` bytes; `None` if it does not exist.
pub fn read(path: &Path, longest: u64) -> Result<Option<Vec<u8>>, Fault> {
    let shown = path.to_string_lossy();
    let goal = format!("read {shown}");
    // Before it is opened: to open a device may do something, such as starting a watchdog.
    if stat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile) {
        return Err(Fault::new(format!("cannot {goal}: it is not a regular file")));
    }
    // O_NONBLOCK: a FIFO without a writer would block us. O_NOCTTY: no terminal becomes our controlling one.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = look(&goal, format!("openat(AT_FDCWD, {shown:?}, O_RDONLY|O_NONBLOCK)"), || {
        openat(CWD, path, flags, Mode::empty())
    });
    let file = match opened {
        Err(fault) if matches!(fault.errno(), Some(Errno::ENOENT | Errno::ENOTDIR)) => return Ok(None),
        opened => opened?,
    };
    let stat = look(&goal, "fstat(fd)", || fstat(&file))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Fault::new(format!("cannot {goal}: it is not a regular file")));
    }
    let mut content = Vec::new();
    let mut limited = std::fs::File::from(file).take(longest + 1);
    look(&goal, "read(fd)", || limited.read_to_end(&mut content))?;
    leave(limited.into_inner());
    if content.len() as u64 > longest {
        Err(Fault::new(format!("cannot {goal}: it is longer than {longest} bytes")))
    } else {
        Ok(Some(content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_read_up_to_a_limit() {
        let path = std::env::temp_dir().join(format!("regular-{}", std::process::id()));
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap().as_deref(), Some(&b"12345"[..]));
        assert!(read(&path, 4).unwrap_err().to_string().contains("longer than 4 bytes"));
        std::fs::remove_file(&path).unwrap();
        assert!(read(&path, 5).unwrap().is_none());
        assert!(read(Path::new("/dev/zero"), 5).unwrap_err().to_string().contains("not a regular file"));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read(&path, 5).unwrap_err().to_string().contains("not a regular file"));
        std::fs::remove_file(&path).unwrap();
    }
}
