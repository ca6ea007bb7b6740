//! Files of /proc, /sys and cgroups whose text the kernel writes: settings, maps, labels. `proc(5)`, `sysfs(5)`.
//!
//! Only these may be read as text. Files of the host, of engines and of images are bytes from other people, and
//! `regular::read` reads them. The surprise: even here a name that a user chose may appear, so that text which is not
//! UTF-8 is replaced instead of failing.

use std::io::Read;
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::closing::leave;
use super::procfs;

/// The most that is read of one file outside /proc.
const LONGEST: u64 = 64 << 20;

/// Reads a file by its absolute path, such as `/proc/sys/kernel/osrelease`.
pub fn read(path: impl AsRef<Path>) -> Result<String, std::io::Error> {
    bytes(path).map(|content| String::from_utf8_lossy(&content).into_owned())
}

/// Reads a file by its absolute path, as bytes.
pub fn bytes(path: impl AsRef<Path>) -> Result<Vec<u8>, std::io::Error> {
    let path = path.as_ref();
    if let Some(path) = path.to_str().and_then(|path| path.strip_prefix("/proc/")) {
        return procfs::read(path);
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut file = std::fs::File::from(openat(CWD, path, flags, Mode::empty())?);
    let mut content = Vec::new();
    let length = file.by_ref().take(LONGEST + 1).read_to_end(&mut content)? as u64;
    leave(file);
    if length > LONGEST { Err(Errno::EFBIG.into()) } else { Ok(content) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_file_systems_are_read() {
        assert!(read("/proc/self/status").unwrap().contains("Pid:"));
        assert!(read("/proc/no-such-file").is_err() && read("/sys/no-such-file").is_err());
    }
}
