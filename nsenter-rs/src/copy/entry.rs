//! What the reading process sends to the writing one, a message for each file. `unix(7)`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use plumbing::Fault;
use rustix::fs::Stat;

/// The longest message: a name, and the text of a link.
pub(super) const LONGEST: usize = 8192;

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A directory; the entries up to its `Up` are in it.
    Directory,
    /// A regular file; its message has a descriptor of it.
    File,
    /// A symbolic link.
    Link,
    /// The end of a directory.
    Up,
    /// The end of everything.
    End,
}

const KINDS: [Kind; 5] = [Kind::Directory, Kind::File, Kind::Link, Kind::Up, Kind::End];

/// A file, directory or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The time of its last change: seconds and nanoseconds.
    pub(super) modified: (i64, u32),
    /// The size of a file; `None` if only its end shows it.
    pub(super) size: Option<u64>,
    pub(super) name: OsString,
    /// The text of a link.
    pub(super) leads: OsString,
}

impl Entry {
    /// Describes a file.
    pub(super) fn of(kind: Kind, name: &OsStr, stat: &Stat) -> Entry {
        Entry {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: (stat.st_mtime, stat.st_mtime_nsec as u32),
            size: Some(stat.st_size as u64),
            name: name.to_owned(),
            leads: OsString::new(),
        }
    }

    /// Makes an entry that is only a mark, or has nothing but a name.
    pub(super) fn bare(kind: Kind) -> Entry {
        let (name, leads) = (OsString::new(), OsString::new());
        Entry { kind, mode: 0o644, uid: 0, gid: 0, modified: (0, 0), size: None, name, leads }
    }

    /// Returns the message.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![KINDS.iter().position(|kind| *kind == self.kind).unwrap_or(0) as u8];
        [self.mode, self.uid, self.gid, self.modified.1].iter().for_each(|it| bytes.extend(it.to_le_bytes()));
        bytes.extend(self.modified.0.to_le_bytes());
        bytes.extend(self.size.unwrap_or(u64::MAX).to_le_bytes());
        bytes.extend((self.name.len() as u32).to_le_bytes());
        bytes.extend(self.name.as_bytes());
        bytes.extend(self.leads.as_bytes());
        bytes
    }

    /// Reads a message. A name must be one component of a path: the writer does not trust the reader.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Entry, Fault> {
        let read = || {
            let (kind, mut rest) = bytes.split_first()?;
            let mut number = || {
                let (number, after) = rest.split_first_chunk::<4>()?;
                rest = after;
                Some(u32::from_le_bytes(*number))
            };
            let [mode, uid, gid, nanoseconds] = [number()?, number()?, number()?, number()?];
            let (seconds, rest) = rest.split_first_chunk::<8>()?;
            let (size, rest) = rest.split_first_chunk::<8>()?;
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let (name, leads) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            let is_name = !name.contains(&b'/') && !name.contains(&0) && name != b"." && name != b"..";
            Some(Entry {
                kind: *KINDS.get(usize::from(*kind))?,
                mode,
                uid,
                gid,
                modified: (i64::from_le_bytes(*seconds), nanoseconds),
                size: Some(u64::from_le_bytes(*size)).filter(|size| *size != u64::MAX),
                name: is_name.then(|| OsString::from_vec(name.to_vec()))?,
                leads: OsString::from_vec(leads.to_vec()),
            })
        };
        read().ok_or_else(|| Fault::new("cannot copy: internal error: invalid message from the reading process"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written_and_a_path_is_refused() {
        let entry = Entry {
            size: Some(7),
            modified: (-1, 999_999_999),
            name: OsString::from_vec(b"\xff\n".to_vec()),
            leads: "../x".into(),
            ..Entry::bare(Kind::Link)
        };
        assert_eq!(Entry::from_bytes(&entry.to_bytes()).unwrap(), entry);
        assert_eq!(Entry::from_bytes(&Entry::bare(Kind::End).to_bytes()).unwrap(), Entry::bare(Kind::End));
        for name in ["..", ".", "a/b", "/", "a\0"] {
            let wrong = Entry { name: name.into(), ..Entry::bare(Kind::File) };
            assert!(Entry::from_bytes(&wrong.to_bytes()).is_err(), "{name:?}");
        }
        let bytes = entry.to_bytes();
        for cut in [0, 1, 20, 36] {
            assert!(Entry::from_bytes(&bytes[..cut]).is_err());
        }
    }
}
