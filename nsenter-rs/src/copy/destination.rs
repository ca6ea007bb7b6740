//! The writing process: makes files, directories and links under a temporary name, and renames them when they are
//! complete. `openat(2)`, `rename(2)`.
//!
//! Everything is made relative to descriptors of directories that this process has made itself, and until it is complete
//! nobody else may enter the topmost one. So a name that is replaced meanwhile leads nowhere else.

use std::ffi::{OsStr, OsString};
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use plumbing::confinement::privilege::holds;
use plumbing::kernel::{Pretend, call, look, own};
use plumbing::process::{inherited, socket_message};
use plumbing::text::{Text, quoted};
use plumbing::{Fault, narrate};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, chownat, fchmod, fchown, fstat, futimens,
    openat, renameat, symlinkat,
};
use rustix::net::SendFlags;
use rustix::thread::CapabilitySet;

use super::content::Content;
use super::entry::{Entry, Kind};
use super::place::Place;
use super::progress::Progress;
use super::target::Target;

const WHY_TEMPORARY: &str = "under a temporary name until it is complete";

/// The place to copy to, and what has been made there.
pub(super) struct Destination<'a> {
    place: &'a Place,
    archive: bool,
    may_chown: bool,
    umask: u32,
    temporary: OsString,
    /// The connection to the process that removes everything after a failure.
    remover: Option<OwnedFd>,
    target: Option<Target>,
    /// The directories that are not complete, the topmost one first.
    open: Vec<(OwnedFd, Entry)>,
    progress: Progress,
}

impl<'a> Destination<'a> {
    /// Prepares to write; `temporary` is a name that nobody else can know.
    pub(super) fn new(
        place: &'a Place,
        archive: bool,
        temporary: String,
        remover: Option<OwnedFd>,
    ) -> Result<Destination<'a>, Fault> {
        let may_chown = holds(CapabilitySet::CHOWN) == Some(true);
        if archive && !may_chown {
            narrate::remark("owners are not copied: that needs CAP_CHOWN");
        }
        // Modes are set when a file is complete.
        let umask = rustix::process::umask(Mode::empty());
        Ok(Destination {
            place,
            archive,
            may_chown,
            umask: umask.as_raw_mode(),
            temporary: temporary.into(),
            remover,
            target: None,
            open: Vec::new(),
            progress: Progress::new(),
        })
    }

    /// Makes what an entry describes; returns whether it was the last one.
    pub(super) fn take(&mut self, entry: &Entry, fd: Option<OwnedFd>) -> Result<bool, Fault> {
        if matches!(self.place, Place::Stream) {
            return self.print(entry, fd);
        }
        if self.target.is_none() {
            let target = Target::find(self.place, entry)?;
            self.send_to_remover(&target.parent)?;
            self.target = Some(target);
        }
        match entry.kind {
            Kind::Directory => self.directory(entry)?,
            Kind::File => self.file(entry, fd)?,
            Kind::Link => self.link(entry)?,
            Kind::Up => {
                let (fd, entry) = self.open.pop().ok_or_else(out_of_order)?;
                self.complete(&fd, &entry)?;
            }
            Kind::End if !self.open.is_empty() => return Err(out_of_order()),
            Kind::End => self.rename()?,
        }
        Ok(entry.kind == Kind::End)
    }

    fn print(&mut self, entry: &Entry, fd: Option<OwnedFd>) -> Result<bool, Fault> {
        match (entry.kind, fd) {
            (Kind::End, _) => Ok(true),
            (Kind::File, Some(_)) if narrate::is_dry_run() => Ok(false),
            (Kind::File, Some(from)) if !inherited::was_closed(1) => {
                let mut content =
                    Content { from: &from, shown: "stdout", size: entry.size, progress: &mut self.progress };
                content.stream_to(rustix::stdio::stdout(), false).map(|()| false)
            }
            (Kind::File, _) => Err(Fault::kernel("copy to stdout", "write(stdout)", Errno::EBADF)),
            _ => Err(Fault::new("cannot copy to -: the source is a directory, and stdout takes only one file")),
        }
    }

    /// Sends a directory that the removal after a failure needs: first the parent, then our topmost directory.
    fn send_to_remover(&self, directory: &OwnedFd) -> Result<(), Fault> {
        let Some(remover) = &self.remover else { return Ok(()) };
        own("copy", "sendmsg(socket)", || {
            socket_message::send(remover.as_fd(), &[IoSlice::new(b"d")], Some(directory.as_fd()), SendFlags::empty())
        })
    }

    /// Returns the directory and the name of the next file.
    fn next<'b>(&'b self, entry: &'b Entry) -> Result<(&'b OwnedFd, &'b OsStr), Fault> {
        match (self.open.last(), &self.target) {
            (Some((fd, _)), _) if !entry.name.is_empty() => Ok((fd, &entry.name)),
            (None, Some(target)) => Ok((&target.parent, &self.temporary)),
            _ => Err(Fault::new("cannot copy: the process that reads sent a file without a name")),
        }
    }

    fn directory(&mut self, entry: &Entry) -> Result<(), Fault> {
        let (parent, name) = self.next(entry)?;
        let (goal, quoted) = (self.goal(entry), quoted(name));
        let text = format!("mkdirat(fd, {quoted}, 0700)");
        let why = if self.open.is_empty() { WHY_TEMPORARY } else { "in it" };
        call(&goal, text, why, || rustix::fs::mkdirat(parent, name, Mode::RWXU))?;
        let made = if narrate::is_dry_run() {
            OwnedFd::pretend()?
        } else {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let text = format!("openat(fd, {quoted}, O_RDONLY|O_DIRECTORY|O_NOFOLLOW)");
            let made = look(&goal, text, || openat(parent, name, flags, Mode::empty()))?;
            require_new(&made, &goal)?;
            made
        };
        if self.open.is_empty() {
            self.send_to_remover(&made)?;
        }
        self.open.push((made, entry.clone()));
        self.progress.file();
        Ok(())
    }

    fn file(&mut self, entry: &Entry, from: Option<OwnedFd>) -> Result<(), Fault> {
        let (parent, name) = self.next(entry)?;
        let goal = self.goal(entry);
        let text = format!("openat(fd, {}, O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600)", quoted(name));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let why = if self.open.is_empty() { WHY_TEMPORARY } else { "in it" };
        let made = call(&goal, text, why, || openat(parent, name, flags, Mode::RUSR | Mode::WUSR))?;
        if !narrate::is_dry_run() {
            let from = from.ok_or_else(|| Fault::new(format!("cannot {goal}: its descriptor is missing")))?;
            let shown = self.shown(entry);
            let content = Content { from: &from, shown: &shown, size: entry.size, progress: &mut self.progress };
            content.write_to(&made, entry.name.is_empty())?;
        }
        self.progress.file();
        self.complete(&made, entry)
    }

    fn link(&mut self, entry: &Entry) -> Result<(), Fault> {
        let (parent, name) = self.next(entry)?;
        let goal = self.goal(entry);
        let text = format!("symlinkat({}, fd, {})", quoted(&entry.leads), quoted(name));
        call(&goal, text, "a link is copied, never followed", || symlinkat(&entry.leads, parent, name))?;
        if self.archive && self.may_chown && !narrate::is_dry_run() {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let text = format!("openat(fd, {}, O_PATH|O_NOFOLLOW)", quoted(name));
            let made = look(&goal, text, || openat(parent, name, flags, Mode::empty()))?;
            let stat = look(&goal, "fstat(fd)", || fstat(&made))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                return Err(replaced(&goal));
            }
            let text = format!("fchownat(fd, \"\", {}, {}, AT_EMPTY_PATH)", entry.uid, entry.gid);
            call(&goal, text, "its owner; chown(2)", || {
                chownat(&made, "", Some(uid(entry)), Some(gid(entry)), AtFlags::EMPTY_PATH)
            })?;
        }
        self.progress.file();
        Ok(())
    }

    /// Sets owner, mode and time of a file or directory that has its content.
    fn complete(&self, fd: &OwnedFd, entry: &Entry) -> Result<(), Fault> {
        let goal = self.goal(entry);
        if self.archive && self.may_chown && entry.size.is_some() {
            let text = format!("fchown(fd, {}, {})", entry.uid, entry.gid);
            let done = call(&goal, text, "its owner; chown(2)", || fchown(fd, Some(uid(entry)), Some(gid(entry))));
            done.map_err(|fault| match fault.errno() {
                Some(Errno::EINVAL) => {
                    fault.with_remedy("the container's user namespace does not map this owner; copy without --archive")
                }
                _ => fault,
            })?;
        }
        // Nobody gets a set-user-ID program from a container.
        let bits = match (self.archive, self.place.is_inside()) {
            (true, true) => 0o7777,
            (true, false) => 0o1777,
            (false, _) => 0o777 & !self.umask,
        };
        let mode = entry.mode & bits;
        call(&goal, format!("fchmod(fd, 0{mode:o})"), "its mode; chmod(2)", || fchmod(fd, Mode::from_raw_mode(mode)))?;
        if narrate::is_dry_run() || entry.size.is_none() {
            return Ok(());
        }
        let modified = Timespec { tv_sec: entry.modified.0, tv_nsec: entry.modified.1.into() };
        let times =
            Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: modified };
        own(goal, "utimensat(fd, NULL)", || futimens(fd, &times))
    }

    fn rename(&self) -> Result<(), Fault> {
        let Some(Target { parent, name }) = &self.target else { return Ok(()) };
        let text = format!("renameat(fd, {}, fd, {})", quoted(&self.temporary), quoted(name));
        call(format!("copy to {}", self.place.shown()), text, "it is complete; rename(2)", || {
            renameat(parent, &self.temporary, parent, name)
        })
    }

    fn goal(&self, entry: &Entry) -> String {
        format!("copy to {}", self.shown(entry))
    }

    fn shown(&self, entry: &Entry) -> String {
        let mut shown = self.place.shown();
        let below = self.open.iter().skip(1).map(|(_, it)| it).chain((!self.open.is_empty()).then_some(entry));
        for entry in below {
            shown = format!("{}/{}", shown.trim_end_matches('/'), Text::from(entry.name.as_os_str()).shown());
        }
        shown
    }
}

/// Refuses a directory that is not the one that we have just made: it must be ours, closed to others, and empty.
fn require_new(made: &OwnedFd, goal: &str) -> Result<(), Fault> {
    let stat = look(goal, "fstat(fd)", || fstat(made))?;
    let is_ours = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o777 == 0o700;
    let mut entries = look(goal, "getdents64(fd)", || rustix::fs::Dir::read_from(made))?;
    let is_empty = entries.all(|entry| entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")));
    if is_ours && is_empty { Ok(()) } else { Err(replaced(goal)) }
}

/// Reports an end that has no beginning, or that comes before the ends of the directories: the writer does not trust the
/// reader.
fn out_of_order() -> Fault {
    Fault::new("cannot copy: internal error: the reading process sent an end too early")
}

fn replaced(goal: &str) -> Fault {
    Fault::new(format!("cannot {goal}: someone else replaced what was just made there"))
}

fn uid(entry: &Entry) -> rustix::fs::Uid {
    rustix::fs::Uid::from_raw(entry.uid)
}

fn gid(entry: &Entry) -> rustix::fs::Gid {
    rustix::fs::Gid::from_raw(entry.gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_without_the_ends_of_its_directories_gets_no_name() {
        let path = std::env::temp_dir().join(format!("nsenter-rs-order-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let place = Place::Outside(path.join("copy"));
        let begin = || Destination::new(&place, false, "temporary".to_owned(), None).unwrap();
        let mut destination = begin();
        assert!(destination.take(&Entry { name: "d".into(), ..Entry::bare(Kind::Directory) }, None).is_ok());
        assert!(destination.take(&Entry::bare(Kind::End), None).is_err());
        assert!(path.join("temporary").is_dir() && !path.join("copy").exists());
        assert!(begin().take(&Entry { name: "d".into(), ..Entry::bare(Kind::Up) }, None).is_err());
        std::fs::remove_dir_all(&path).unwrap();
    }
}
