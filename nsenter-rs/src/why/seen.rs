//! The process that the page is about: its directory in /proc, which a process that has ended has until its parent asks for
//! its status. `proc(5)`.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use plumbing::Fault;
use plumbing::kernel::look;
use plumbing::process::target::{Target, linked_namespace, read_at, status_field};
use rustix::fs::{CWD, Mode, OFlags, openat};

/// A process.
pub(super) struct Seen<'a> {
    pub(super) pid: i32,
    dir: Dir<'a>,
}

enum Dir<'a> {
    Of(BorrowedFd<'a>),
    Own(OwnedFd),
}

impl<'a> Seen<'a> {
    /// Describes a process that runs.
    pub(super) fn of(target: &'a Target) -> Seen<'a> {
        Seen { pid: target.pid(), dir: Dir::Of(target.dir()) }
    }

    /// Opens a process that has ended, if there is one with this pid.
    pub(super) fn zombie(pid: i32) -> Option<Seen<'static>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(CWD, format!("/proc/{pid}"), flags, Mode::empty()).ok()?;
        let seen = Seen { pid, dir: Dir::Own(dir) };
        let status = seen.read("status").ok()?;
        status_field(&status, "State").is_some_and(|state| state.starts_with('Z')).then_some(seen)
    }

    /// Reads one of its files.
    pub(super) fn read(&self, file: &str) -> Result<String, Fault> {
        let path = self.path(file);
        let bytes = look(format_args!("read {path}"), format_args!("read({path:?})"), || read_at(self.dir(), file))?;
        Ok(match String::from_utf8_lossy(&bytes) {
            Cow::Borrowed(text) => text.to_owned(),
            Cow::Owned(text) => text,
        })
    }

    /// Returns whether the kernel shows us what only a process that may trace it sees. Its link to its user namespace is such
    /// a thing, which a process that has ended still has.
    pub(super) fn is_traceable(&self) -> bool {
        linked_namespace(self.dir(), "ns/user").is_ok()
    }

    /// Returns the name of one of its files.
    pub(super) fn path(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.pid)
    }

    fn dir(&self) -> BorrowedFd<'_> {
        match &self.dir {
            Dir::Of(dir) => *dir,
            Dir::Own(dir) => dir.as_fd(),
        }
    }
}
