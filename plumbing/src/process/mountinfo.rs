//! Parsing the lines of /proc/PID/mountinfo. `proc_pid_mountinfo(5)`.
//!
//! Names are chosen by the user who mounted them: blanks and newlines appear as `\040` and the like, so a mount is always
//! one line. The surprise: any number of optional fields precede a single hyphen, so no field after them has a fixed
//! position.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::Fault;
use crate::kernel::look;
use crate::process::procfs;

/// Returns the mounts that this process sees, in the kernel's order.
pub fn own() -> Result<Vec<Mount>, Fault> {
    look("read our mounts", "read(\"/proc/self/mountinfo\")", || procfs::read("self/mountinfo"))
        .map(|table| parse(&table))
}

/// Parses the mounts of a table.
pub fn parse(table: &[u8]) -> Vec<Mount> {
    table.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect()
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its id, unique among all mounts of the machine until it is gone.
    pub id: u64,
    /// The mount on which it is mounted; not always one that the process can see.
    pub parent: u64,
    /// The device of the file system: major and minor number.
    pub device: (u32, u32),
    /// The directory of the file system that the mount shows.
    pub root: PathBuf,
    /// The mount point, below the process's root.
    pub point: PathBuf,
    /// The options of the mount: `rw`, `nosuid`.
    pub options: String,
    /// The group of mounts that it propagates to and from: `shared:N`.
    pub peer_group: Option<u64>,
    /// The group of mounts that propagate to it: `master:N`.
    pub master: Option<u64>,
    /// The type of the file system: `ext4`, `proc`.
    pub fs_type: String,
    /// The source of the mount: `/dev/sda1`, or any word.
    pub source: String,
    /// The options of the file system: `rw`, `size=64k`.
    pub super_options: String,
}

impl Mount {
    /// Parses a line; `None` if it is not a mount.
    pub fn parse(line: &[u8]) -> Option<Mount> {
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
        let mut fields = line.split(|byte| *byte == b' ');
        let (id, parent) = (number(fields.next()?)?, number(fields.next()?)?);
        let (major, minor) = std::str::from_utf8(fields.next()?).ok()?.split_once(':')?;
        let (root, point, options) = (fields.next()?, fields.next()?, fields.next()?);
        let (mut peer_group, mut master) = (None, None);
        for optional in fields.by_ref().take_while(|field| *field != b"-") {
            peer_group = optional.strip_prefix(b"shared:").and_then(number).or(peer_group);
            master = optional.strip_prefix(b"master:").and_then(number).or(master);
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
            master,
            fs_type: text(fs_type),
            source: text(source),
            super_options: text(super_options),
        })
    }

    /// Returns whether nothing can be written through it: by its own options, or by those of its file system.
    pub fn is_read_only(&self) -> bool {
        has_option(&self.options, "ro") || has_option(&self.super_options, "ro")
    }

    /// Returns whether the mount itself has this option.
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn any_number_of_optional_fields_is_read() {
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
    fn what_is_not_an_escape_is_kept() {
        for (field, name) in [("a\\040\\134b", "a \\b"), ("\\04", "\\04"), ("\\999", "\\999"), ("\\400", "\\400")] {
            assert_eq!(unescape(field.as_bytes()), PathBuf::from(name));
        }
    }

    /// Escapes a name as the kernel does.
    fn escaped(name: &[u8]) -> Vec<u8> {
        let escape = |byte: &u8| match byte {
            b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
            other => vec![*other],
        };
        name.iter().flat_map(escape).collect()
    }

    proptest! {
        #[test]
        fn a_mount_is_read_whatever_its_names_and_the_other_lines_are(
            name in prop::collection::vec(1u8..=255, 1..12),
            before in prop::collection::vec(any::<u8>(), 0..40),
            after in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let name = [&b"/"[..], &name].concat();
            let line = [&b"\n977 1 0:9 / "[..], &escaped(&name), b" rw shared:3 master:4 - tmpfs ", &escaped(&name), b" rw\n"];
            let table = [&before[..], &line.concat(), &after].concat();
            let found = parse(&table).into_iter().find(|mount| mount.id == 977);
            prop_assert_eq!(found.map(|mount| (mount.point, mount.peer_group, mount.master)), Some((PathBuf::from(OsStr::from_bytes(&name)), Some(3), Some(4))));
        }
    }
}
