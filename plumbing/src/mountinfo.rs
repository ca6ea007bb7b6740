//! The lines of /proc/PID/mountinfo, taken apart. `proc_pid_mountinfo(5)`.
//!
//! Names in there are whoever's who mounted: blanks and newlines come as `\040` and the like, so a line is a line. The
//! surprise: as many optional fields as there are stand before a lone hyphen, so nothing behind them has a fixed place.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::Fault;
use crate::kernel::look;
use crate::procfs;

/// The mounts that this process sees, in the kernel's order.
pub fn own() -> Result<Vec<Mount>, Fault> {
    look("read our mounts", "read(\"/proc/self/mountinfo\")", || procfs::read("self/mountinfo"))
        .map(|table| parse(&table))
}

/// Those of a table.
pub fn parse(table: &[u8]) -> Vec<Mount> {
    table.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect()
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Unique among all mounts of the machine, until it is gone.
    pub id: u64,
    /// The mount that it lies on; not always one that the process can see.
    pub parent: u64,
    /// Of the file system: major and minor number.
    pub device: (u32, u32),
    /// What of the file system is shown.
    pub root: PathBuf,
    /// Where, below the process's root.
    pub point: PathBuf,
    /// Of the mount: `rw`, `nosuid`.
    pub options: String,
    /// The group of mounts that it propagates to and from: `shared:N`.
    pub peer_group: Option<u64>,
    /// `ext4`, `proc`.
    pub fs_type: String,
    /// What was mounted: `/dev/sda1`, or any word.
    pub source: String,
    /// Of the file system: `rw`, `size=64k`.
    pub super_options: String,
}

impl Mount {
    /// Reads a line; `None` for one that is none.
    pub fn parse(line: &[u8]) -> Option<Mount> {
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
        let mut fields = line.split(|byte| *byte == b' ');
        let (id, parent) = (number(fields.next()?)?, number(fields.next()?)?);
        let (major, minor) = std::str::from_utf8(fields.next()?).ok()?.split_once(':')?;
        let (root, point, options) = (fields.next()?, fields.next()?, fields.next()?);
        let mut peer_group = None;
        for optional in fields.by_ref().take_while(|field| *field != b"-") {
            peer_group = optional.strip_prefix(b"shared:").and_then(number).or(peer_group);
        }
        let fs_type = fields.next()?;
        let (source, super_options) = (fields.next()?, fields.next()?);
        Some(Mount {
            id,
            parent,
            device: (major.parse().ok()?, minor.parse().ok()?),
            root: unescape(root),
            point: unescape(point),
            options: text(options),
            peer_group,
            fs_type: text(fs_type),
            source: text(source),
            super_options: text(super_options),
        })
    }

    /// Whether nothing can be written through it: by its own options, or by those of its file system.
    pub fn is_read_only(&self) -> bool {
        has_option(&self.options, "ro") || has_option(&self.super_options, "ro")
    }

    /// Whether it has this option of its own.
    pub fn has(&self, option: &str) -> bool {
        has_option(&self.options, option)
    }
}

fn has_option(options: &str, wanted: &str) -> bool {
    options.split(',').any(|option| option == wanted)
}

/// Undoes mountinfo's `\040` for space, tab, newline and backslash.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_are_as_many_as_there_are() {
        let line = b"36 35 98:0 /mnt1 /mnt\\040two ro,noatime shared:7 master:1 - ext3 /dev/root rw,errors=continue";
        let mount = Mount::parse(line).unwrap();
        assert_eq!((mount.id, mount.parent, mount.device, mount.peer_group), (36, 35, (98, 0), Some(7)));
        assert_eq!((mount.root, mount.point), (PathBuf::from("/mnt1"), PathBuf::from("/mnt two")));
        assert_eq!((mount.fs_type.as_str(), mount.source.as_str()), ("ext3", "/dev/root"));
        assert_eq!(mount.super_options, "rw,errors=continue");
        let bare = Mount::parse(b"1 1 0:2 / / rw - rootfs  ro").unwrap();
        assert!(bare.is_read_only() && bare.has("rw") && bare.peer_group.is_none());
        for line in [&b""[..], b"36", b"a b c", b"1 1 0:2 / / rw shared:1"] {
            assert_eq!(Mount::parse(line), None);
        }
    }

    #[test]
    fn what_is_no_escape_stays() {
        for (field, name) in [("a\\040\\134b", "a \\b"), ("\\04", "\\04"), ("\\999", "\\999"), ("\\400", "\\400")] {
            assert_eq!(unescape(field.as_bytes()), PathBuf::from(name));
        }
    }
}
