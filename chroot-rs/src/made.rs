//! What `--dir`, `--symlink`, `--file`, `--bind-fd` and `--overlay-at` ask for: their values, and the files that they make.
//! `mkdirat(2)`, `symlinkat(2)`, `openat(2)`.
//!
//! The surprise: a descriptor is a number, and a number that the caller did not pass is soon one of our own files. So the
//! descriptors are taken before the first file is opened.

use std::ffi::{OsStr, OsString};
use std::os::fd::{IntoRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use plumbing::command_line::named_file;
use plumbing::kernel::{adopt, is_open, look};
use plumbing::{Fault, narrate};
use rustix::fs::{FileType, fstat, readlinkat};

use crate::entry::{Attributes, Entry, What, shown};
use crate::in_root::InRoot;
use crate::mount_options::{MountOption, bind, guarded, place, split};

/// A file, directory or link that an option asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Made {
    /// A directory with this mode, or with 755 if none was named, unless there is one. With another mode than the named one it
    /// would be an open directory where a closed one was asked for.
    Directory(Option<u32>),
    /// A symbolic link with this text.
    Link(OsString),
    /// A new file with this content and this mode.
    Content(Vec<u8>, u32),
}

/// An option whose file is open as a descriptor, which is not taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Passed {
    /// `--file`: descriptor, target, mode.
    Content(RawFd, PathBuf, u32),
    /// `--bind-fd`: descriptor, and the bind without its source.
    Bind(RawFd, Entry),
}

/// Parses the value of `--dir`.
pub(crate) fn directory(text: OsString) -> Result<MountOption, String> {
    let (target, mode) = match &split(&text, b':')[..] {
        [target] => (place(target)?, None),
        [target, mode] => (place(target)?, Some(permissions(mode)?)),
        _ => return Err("expected DST or DST:MODE".to_owned()),
    };
    let why = "--dir: a new directory; mkdir(2)";
    Ok(MountOption::Entry(Entry::new(target, What::Made(Made::Directory(mode)), why)))
}

/// Parses the value of `--symlink`.
pub(crate) fn symlink(text: OsString) -> Result<MountOption, String> {
    match &split(&text, b':')[..] {
        [to, target] if !to.is_empty() => {
            let what = What::Made(Made::Link(to.clone()));
            Ok(MountOption::Entry(Entry::new(place(target)?, what, "--symlink: a symbolic link; symlink(7)")))
        }
        _ => Err("expected TEXT:DST, as in usr/bin:/bin".to_owned()),
    }
}

/// Parses the value of `--file`.
pub(crate) fn file(text: OsString) -> Result<MountOption, String> {
    let fields = split(&text, b':');
    let (fd, target, mode) = match &fields[..] {
        [fd, target] => (fd, target, 0o644),
        [fd, target, mode] => (fd, target, permissions(mode)?),
        _ => return Err("expected FD:DST or FD:DST:MODE".to_owned()),
    };
    Ok(MountOption::Passed(Passed::Content(descriptor(fd)?, place(target)?, mode)))
}

/// Parses the value of `--bind-fd`.
pub(crate) fn bind_fd(text: OsString) -> Result<MountOption, String> {
    let fd = descriptor(split(&text, b':').first().map_or(OsStr::new(""), OsString::as_os_str))?;
    match bind(text)? {
        MountOption::Entry(entry) => Ok(MountOption::Passed(Passed::Bind(fd, entry))),
        other => Ok(other),
    }
}

/// Parses the value of `--overlay-at`.
pub(crate) fn overlay_at(text: OsString) -> Result<MountOption, String> {
    let mut layers = split(&text, b':');
    let target = layers.pop().filter(|_| !layers.is_empty()).ok_or("expected LOWER[:LOWER...]:DST")?;
    if layers.iter().any(|layer| layer.is_empty()) {
        return Err("a layer has no name".to_owned());
    }
    let what = What::Overlay(layers.into_iter().map(PathBuf::from).collect());
    Ok(MountOption::Entry(Entry::new(place(&target)?, what, "changes are kept in memory; the layers stay unchanged")))
}

/// Returns the flags of an overlay that an option asks for.
pub(crate) fn of_overlay() -> Attributes {
    guarded()
}

fn descriptor(text: &OsStr) -> Result<RawFd, String> {
    let valid = || "expected a descriptor from 3 on, as in 3:/etc/config".to_owned();
    let digits = text.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(valid)?;
    digits.parse().ok().filter(|fd| *fd > 2).ok_or_else(valid)
}

fn permissions(text: &OsStr) -> Result<u32, String> {
    let valid = "expected octal permissions, 0 to 1777";
    let digits = text.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).ok_or(valid)?;
    u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o1777).ok_or_else(|| valid.to_owned())
}

impl Passed {
    /// Takes the descriptor, before any file is opened.
    pub(crate) fn take(&self) -> Result<Entry, Fault> {
        match self {
            Passed::Content(fd, target, mode) => {
                let goal = format!("read the content of {}", shown(target));
                let file = adopt(require_open("--file", *fd)?);
                let content = named_file::read_open("--file", &goal, file, &format!("descriptor {fd}"))?;
                let what = What::Made(Made::Content(content, *mode));
                Ok(Entry::new(target, what, "--file: a new file; open(2)"))
            }
            Passed::Bind(fd, entry) => {
                let mut entry = entry.clone();
                let passed = adopt(require_open("--bind-fd", *fd)?);
                if let What::Bind(bind) = &mut entry.what {
                    // Kept open until the command is executed, under a number that no other file can get.
                    let kept = passed.into_raw_fd();
                    bind.descriptor = Some(kept);
                    bind.source = PathBuf::from(format!("/proc/self/fd/{kept}"));
                }
                Ok(entry)
            }
        }
    }

    /// Returns the option's name, if it cannot be used with `--pipe`.
    pub(crate) fn needs_chain(&self) -> Option<&'static str> {
        matches!(self, Passed::Bind(..)).then_some("--bind-fd")
    }
}

fn require_open(option: &str, fd: RawFd) -> Result<RawFd, Fault> {
    if is_open(fd) {
        return Ok(fd);
    }
    Err(Fault::usage(format!("invalid value for '{option}': descriptor {fd} is not open; was it passed on?")))
}

/// Makes a file, directory or link in a root. What has the name already is an error, unless it is the same.
pub(crate) fn make(root: &InRoot, target: &Path, made: &Made, why: &str) -> Result<(), Fault> {
    match made {
        Made::Directory(mode) => match root.find(target)? {
            None => root.make_directory(target, mode.unwrap_or(0o755)),
            Some(_) if narrate::is_dry_run() => Ok(()),
            Some(found) => {
                let goal = format!("make the directory {} inside the root", shown(target));
                let seen = look(&goal, "fstat(fd)", || fstat(&found))?.st_mode;
                require_same(FileType::from_raw_mode(seen) == FileType::Directory, &goal)?;
                require_mode(seen & 0o1777, *mode, &goal)
            }
        },
        Made::Link(to) => {
            let goal = format!("make the link {} inside the root", shown(target));
            match root.open_name(target) {
                Err(fault) if fault.errno() == Some(Errno::ENOENT) => root.link(target, to, why),
                found => {
                    let text = readlinkat(found?, "", Vec::new());
                    require_same(text.is_ok_and(|text| text.as_bytes() == to.as_bytes()), &goal)
                }
            }
        }
        Made::Content(content, mode) => root.write_with_mode(target, content, *mode, why),
    }
}

fn require_mode(seen: u32, wanted: Option<u32>, goal: &str) -> Result<(), Fault> {
    match wanted {
        Some(wanted) if wanted != seen => {
            let wrong = format!("cannot {goal} with mode {wanted:o}: it exists, and its mode is {seen:o}");
            Err(Fault::new(wrong)
                .with_remedy("leave out the mode to use the directory as it is, or mount a new one with --tmpfs"))
        }
        _ => Ok(()),
    }
}

fn require_same(is_same: bool, goal: &str) -> Result<(), Fault> {
    if is_same { Ok(()) } else { Err(Fault::new(format!("cannot {goal}: something else has this name"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(read: Result<MountOption, String>) -> What {
        match read {
            Ok(MountOption::Entry(entry)) => entry.what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_directory_has_a_mode_and_a_link_a_text() {
        assert_eq!(what(directory("/a".into())), What::Made(Made::Directory(None)));
        assert_eq!(what(directory("/a:1777".into())), What::Made(Made::Directory(Some(0o1777))));
        assert_eq!(what(symlink("../x:/b".into())), What::Made(Made::Link("../x".into())));
        assert_eq!(what(overlay_at("a:b:/c".into())), What::Overlay(vec!["a".into(), "b".into()]));
        for wrong in ["", "a", "/a:8", "/a:17777", "/a:1:2", "/a:+7"] {
            assert!(directory(wrong.into()).is_err(), "{wrong}");
        }
        for wrong in ["", "/a", ":/a", "a:b", "a:/b:/c"] {
            assert!(symlink(wrong.into()).is_err(), "{wrong}");
        }
        for wrong in ["", "/c", ":/c", "a::/c", "a:b"] {
            assert!(overlay_at(wrong.into()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_descriptor_is_a_number_from_three_on() {
        let read = file("3:/a:600".into());
        assert_eq!(read, Ok(MountOption::Passed(Passed::Content(3, "/a".into(), 0o600))));
        assert!(matches!(bind_fd("4:/a:ro".into()), Ok(MountOption::Passed(Passed::Bind(4, _)))));
        for wrong in ["2:/a", "-3:/a", "+3:/a", "x:/a", "3", "3:a", "3:/a:fly"] {
            assert!(file(wrong.into()).is_err() && bind_fd(wrong.into()).is_err(), "{wrong}");
        }
    }
}
