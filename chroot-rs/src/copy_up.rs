//! `tmpcopyup`: a new tmpfs begins with a copy of the directory that it covers. `tmpfs(5)`, `openat(2)`.
//!
//! The directory is an image's: no link in it is followed, and only directories, files and links are copied. The surprise:
//! the copy is made before the file system is attached, since afterwards it covers its source.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use plumbing::kernel::{call, look, own};
use plumbing::{Fault, narrate};
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chmodat, chownat, fstat, mkdirat, openat, readlinkat, statat,
    symlinkat,
};

use crate::entry::{quoted, shown};

/// The deepest directory that is copied.
const DEEPEST: usize = 64;

/// Copies the contents of the directory `from` into the top directory `to` of a file system that is not attached. The
/// copy has the mode and the owner of the original, except for the top directory if `keeps_mode`.
pub(crate) fn copy(from: &OwnedFd, to: &OwnedFd, place: &Path, keeps_mode: bool) -> Result<(), Fault> {
    if narrate::is_dry_run() {
        return Ok(());
    }
    let goal = format!("copy {} into the tmpfs that covers it", shown(place));
    let stat = look(&goal, "fstat(fd)", || fstat(from))?;
    if !keeps_mode {
        take_over(&goal, to.as_fd(), c".", &stat, place)?;
    }
    below(&goal, from.as_fd(), to.as_fd(), place, DEEPEST)
}

fn below(goal: &str, from: BorrowedFd<'_>, to: BorrowedFd<'_>, place: &Path, depth: usize) -> Result<(), Fault> {
    if depth == 0 {
        return Err(Fault::new(format!("cannot {goal}: it has more than {DEEPEST} directories inside each other")));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let listed = look(goal, format!("openat({})", quoted(place)), || openat(from, ".", flags, Mode::empty()))?;
    let mut names: Vec<CString> = Vec::new();
    for entry in look(goal, "getdents64(fd)", || Dir::read_from(&listed))? {
        let name = look(goal, "getdents64(fd)", || entry)?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    names.iter().try_for_each(|name| one(goal, from, to, name, place, depth))
}

fn one(
    goal: &str,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    place: &Path,
    depth: usize,
) -> Result<(), Fault> {
    let path = place.join(std::ffi::OsStr::new(&*name.to_string_lossy()));
    let text = |call: &str| format!("{call}(tmpfs:{})", shown(&path));
    let stat = look(goal, format!("fstatat({})", quoted(&path)), || statat(from, name, AtFlags::SYMLINK_NOFOLLOW))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let source = look(goal, format!("openat({})", quoted(&path)), || openat(from, name, flags, Mode::empty()))?;
            call(goal, text("mkdirat"), WHY, || mkdirat(to, name, Mode::from_raw_mode(0o700)))?;
            let made = look(goal, text("openat"), || openat(to, name, flags, Mode::empty()))?;
            below(goal, source.as_fd(), made.as_fd(), &path, depth - 1)?;
            take_over(goal, to, name, &stat, &path)
        }
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let source = look(goal, format!("openat({})", quoted(&path)), || openat(from, name, flags, Mode::empty()))?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = call(goal, text("openat"), WHY, || openat(to, name, flags, Mode::from_raw_mode(0o600)))?;
            own(goal, text("write"), || {
                std::io::copy(&mut std::fs::File::from(source), &mut std::fs::File::from(made)).map(drop)
            })?;
            take_over(goal, to, name, &stat, &path)
        }
        FileType::Symlink => {
            let link = look(goal, format!("readlinkat({})", quoted(&path)), || readlinkat(from, name, Vec::new()))?;
            call(goal, text("symlinkat"), WHY, || symlinkat(&link, to, name))
        }
        _ => narrate::caution(Fault::new(format!(
            "cannot copy {} into the tmpfs that covers it: it is neither a directory, nor a file, nor a link",
            shown(&path)
        ))),
    }
}

const WHY: &str = "the tmpfs begins with a copy of what it covers (tmpcopyup)";

/// Gives a copy the owner and then the mode of the original, since a change of the owner clears set-user-ID bits.
fn take_over(goal: &str, dir: BorrowedFd<'_>, name: &CStr, stat: &Stat, path: &Path) -> Result<(), Fault> {
    let ids = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    let text = format!("fchownat(tmpfs:{}, {}, {}, AT_SYMLINK_NOFOLLOW)", shown(path), stat.st_uid, stat.st_gid);
    match call(goal, text, WHY, || chownat(dir, name, ids.0, ids.1, AtFlags::SYMLINK_NOFOLLOW)) {
        // An owner who is not mapped here cannot own the copy: it stays ours, as what other runtimes copy does.
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => {}
        changed => changed?,
    }
    let mode = stat.st_mode & 0o7777;
    let text = format!("fchmodat(tmpfs:{}, 0{mode:o})", shown(path));
    call(goal, text, WHY, || chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty()))
}
