//! The network namespace that a word means: a name, a process, a container, a file, or ours. `network_namespaces(7)`.
//!
//! A number is a pid, unless a network namespace has that name: `ip netns` allows names of digits.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use plumbing::Fault;
use plumbing::find::{self, Found, Reference};
use plumbing::kernel::look;
use plumbing::process::target::Target;
use rustix::fs::{Mode, OFlags, open};

use crate::name::{self, Name};
use crate::namespace;

/// A word that means a network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// `.`: the one that we are in.
    Own,
    /// `pid:N`: that of a process.
    Process(i32),
    /// A word with a slash: a file of a namespace.
    File(PathBuf),
    /// A name in /run/netns, or else a pid, or else the name of a container.
    Name(Name),
}

/// A network namespace that was opened.
pub struct Opened {
    /// The namespace.
    pub namespace: OwnedFd,
    /// What to call it in texts: `process 7's`.
    pub whose: String,
    /// The process by which it was found.
    pub target: Option<Target>,
    /// Its file, if it was found by that.
    pub path: Option<PathBuf>,
}

impl Subject {
    /// Parses a word; an error says what is valid.
    pub fn parse(word: &OsStr) -> Result<Subject, String> {
        let bytes = word.as_bytes();
        if bytes == b"." {
            return Ok(Subject::Own);
        }
        if let Some(pid) = word.to_str().and_then(|text| text.strip_prefix("pid:")) {
            let pid = pid.parse().ok().filter(|pid| *pid > 0);
            return pid.map(Subject::Process).ok_or_else(|| "expected pid: and the number of a process".to_owned());
        }
        if bytes.contains(&b'/') {
            return Ok(Subject::File(PathBuf::from(word)));
        }
        Name::parse(word).map(Subject::Name)
    }

    /// Opens the namespace, which must not be the one that we are in.
    pub fn open_other(&self) -> Result<Opened, Fault> {
        let opened = self.open()?;
        if namespace::is_same(opened.namespace.as_fd(), namespace::own()?.as_fd())? {
            return Err(Fault::new("cannot connect a network namespace to itself: it is the one that we are in"));
        }
        Ok(opened)
    }

    /// Opens the namespace.
    pub fn open(&self) -> Result<Opened, Fault> {
        match self {
            Subject::Own => {
                Ok(Opened { namespace: namespace::own()?, whose: "our own".to_owned(), target: None, path: None })
            }
            Subject::Process(pid) => of_process(*pid),
            Subject::File(path) => of_file(path),
            Subject::Name(name) => match (name.exists(), name.as_pid()) {
                (false, Some(pid)) => of_process(pid),
                (false, None) => of_container(name),
                (true, _) => {
                    let whose = format!("the {}", name.shown());
                    Ok(Opened { namespace: name.open()?, whose, target: None, path: Some(name.path()) })
                }
            },
        }
    }
}

fn of_process(pid: i32) -> Result<Opened, Fault> {
    let target = Target::of_pid(pid)?;
    Ok(Opened {
        namespace: namespace::of(&target)?,
        whose: format!("process {pid}'s"),
        target: Some(target),
        path: None,
    })
}

/// A container of any engine, or a hold.
fn of_container(name: &Name) -> Result<Opened, Fault> {
    let reference = Reference::read(name.as_os_str()).map_err(Fault::usage)?;
    match find::resolve(&reference)? {
        Found::Container(container) => {
            let target = container.target;
            let whose = format!("the {}", name.shown());
            Ok(Opened { namespace: namespace::of(&target)?, whose, target: Some(target), path: None })
        }
        Found::Network(path) => of_file(&path),
    }
}

fn of_file(path: &std::path::Path) -> Result<Opened, Fault> {
    let shown = path.to_string_lossy().escape_debug().to_string();
    let goal = format!("open the network namespace {shown}");
    let namespace = look(&goal, format!("openat(AT_FDCWD, {path:?}, O_RDONLY|O_NONBLOCK)"), || {
        open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
    })?;
    if !name::is_namespace(namespace.as_fd())? {
        return Err(Fault::new(format!("cannot {goal}: it is not the file of a namespace")));
    }
    Ok(Opened { namespace, whose: format!("the {shown}"), target: None, path: std::path::absolute(path).ok() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_one_namespace() {
        let parse = |word: &str| Subject::parse(OsStr::new(word));
        assert_eq!(parse("."), Ok(Subject::Own));
        assert_eq!(parse("pid:7"), Ok(Subject::Process(7)));
        assert_eq!(parse("/proc/7/ns/net"), Ok(Subject::File("/proc/7/ns/net".into())));
        assert_eq!(parse("7"), Name::parse(OsStr::new("7")).map(Subject::Name));
        for word in ["", "..", "pid:", "pid:0", "pid:x"] {
            assert!(parse(word).is_err(), "{word}");
        }
    }
}
