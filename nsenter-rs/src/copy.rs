//! `--copy`: files and directories into a container and out of it, with no program inside. `openat2(2)`,
//! `path_resolution(7)`.
//!
//! Two processes do it: one reads, one writes, and descriptors of opened files pass between them. The one on the
//! container's side is root of the container's user namespace, so it can do to the container's files what its root can,
//! no more and no less, and the kernel maps all ids. The surprise: without that, root outside could be led to change
//! files of the host in a directory that both share.

mod content;
mod destination;
mod entry;
pub(crate) mod options;
mod place;
mod progress;
mod removal;
mod source;
mod target;
mod workers;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use plumbing::{Fault, Status, narrate};

use crate::find::{PidOrName, Runtime};
use destination::Destination;
use place::Place;

/// What is copied, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    pub(crate) source: End,
    pub(crate) destination: End,
    /// Whether owners are copied, too.
    pub(crate) archive: bool,
}

/// One of the two words after `--copy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// A path in a container.
    Inside {
        container: PidOrName,
        /// The word, for messages: `web:/etc`.
        shown: String,
        path: PathBuf,
    },
    /// A path as the caller sees it.
    Outside(PathBuf),
    /// stdin or stdout.
    Stream,
}

impl End {
    /// Parses a word: `NAME:/PATH`, a path of the caller, or `-`.
    fn read(word: &OsStr, runtime: Option<Runtime>) -> Result<End, Fault> {
        let bytes = word.as_bytes();
        let colon = bytes.windows(2).position(|pair| pair == b":/").filter(|_| !matches!(bytes[0], b'/' | b'.'));
        let Some(colon) = colon.filter(|colon| *colon > 0) else {
            return Ok(if word == "-" { End::Stream } else { End::Outside(word.into()) });
        };
        let wrong = |reason| Fault::usage(format!("invalid container in '{}': {reason}", word.to_string_lossy()));
        let container = PidOrName::read(OsStr::from_bytes(&bytes[..colon])).map_err(wrong)?.of_runtime(runtime)?;
        let path = PathBuf::from(OsStr::from_bytes(&bytes[colon + 1..]));
        Ok(End::Inside { container, shown: word.to_string_lossy().into_owned(), path })
    }
}

impl Copy {
    /// Parses the two words of the option.
    pub(crate) fn read(words: [OsString; 2], archive: bool, runtime: Option<Runtime>) -> Result<Copy, Fault> {
        let [source, destination] = &words;
        let (source, destination) = (End::read(source, runtime)?, End::read(destination, runtime)?);
        let is_inside = |end: &End| matches!(end, End::Inside { .. });
        if !is_inside(&source) && !is_inside(&destination) {
            return Err(Fault::usage(format!(
                "neither '{}' nor '{}' is in a container: expected NAME:/PATH or PID:/PATH, whose path begins with /",
                words[0].to_string_lossy(),
                words[1].to_string_lossy()
            )));
        }
        let is_empty = |end: &End| *end == End::Outside(PathBuf::new());
        if is_empty(&source) || is_empty(&destination) {
            return Err(Fault::usage("option '--copy' has an empty path"));
        }
        Ok(Copy { source, destination, archive })
    }

    /// Copies.
    pub(crate) fn apply(&self) -> Result<Status, Fault> {
        let source = Place::open(&self.source)?;
        let destination = Place::open(&self.destination)?;
        if narrate::is_dry_run() {
            source.enter()?;
            destination.enter()?;
            let mut writer = Destination::new(&destination, self.archive, workers::temporary_name()?, None)?;
            source::send(&source, &mut |entry, fd| {
                writer.take(&entry, fd.and_then(|fd| fd.try_clone_to_owned().ok())).map(drop)
            })?;
            return Ok(Status::SUCCESS);
        }
        workers::copy(&source, &destination, self.archive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str, destination: &str) -> Result<Copy, Fault> {
        Copy::read([source.into(), destination.into()], false, None)
    }

    fn inside(container: &str, path: &str) -> End {
        let shown = format!("{container}:{path}");
        End::Inside { container: PidOrName::read(OsStr::new(container)).unwrap(), shown, path: path.into() }
    }

    #[test]
    fn a_container_is_before_the_first_colon_that_a_slash_follows() {
        for (word, expected) in [
            ("web:/etc", inside("web", "/etc")),
            ("docker:web:/a:/b", inside("docker:web", "/a:/b")),
            ("podman@1000:web:/", inside("podman@1000:web", "/")),
            ("4242:7711:/etc", inside("4242:7711", "/etc")),
        ] {
            assert_eq!(read(word, "x").unwrap().source, expected);
            assert_eq!(read("-", word).unwrap(), Copy { source: End::Stream, destination: expected, archive: false });
        }
        for outside in ["./web:/etc", "/web:/etc", "web:etc", ":/etc", "web"] {
            assert_eq!(read(outside, "web:/x").unwrap().source, End::Outside(outside.into()));
            assert!(read(outside, "x").is_err(), "{outside}");
        }
        for (source, destination) in [("rkt:web:/x", "."), ("", "web:/"), ("web:/", ""), ("-", "-"), ("0:/x", ".")] {
            assert!(read(source, destination).is_err(), "{source}");
        }
    }
}
