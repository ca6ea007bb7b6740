//! Descriptors of the process that are directories of the host: a way out past every mount. `proc_pid_fd(5)`.
//!
//! The surprise: the text of a link in /proc/PID/fd does not show in which mount namespace its path is. The id of the
//! mount does: it is in the host's table and not in the process's. With `O_PATH`, no file server behind the descriptor
//! is asked.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use plumbing::Fault;
use plumbing::kernel::look;
use plumbing::process::target::{Target, read_at};
use plumbing::text::Text;
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat, readlinkat};
use serde::Serialize;

use super::findings::{Findings, Severity};
use super::mount_table::MountTable;
use super::reading::List;

/// The maximum number of descriptors that are examined.
const MOST: usize = 4096;

/// A descriptor that leads to the host.
#[derive(Debug, Serialize)]
pub(super) struct Leak {
    /// The number of the descriptor, or `cwd`.
    pub(super) descriptor: String,
    /// The path on the host.
    pub(super) path: Text,
}

/// Lists the descriptors that lead to the host, with a finding for each.
pub(super) fn of(
    target: &Target,
    inside: &MountTable,
    host: &MountTable,
    findings: &mut Findings,
) -> Result<List<Leak>, Fault> {
    let goal = format!("examine the descriptors of process {}", target.pid());
    let text = format!("openat(\"/proc/{}/fd\")", target.pid());
    let listed = look(&goal, text, || {
        openat(target.dir(), "fd", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .and_then(Dir::new)
    })?;
    let mut names = vec![("cwd".to_owned(), "cwd".to_owned())];
    for entry in listed.take(MOST) {
        let name = look(&goal, "getdents64(fd)", || entry)?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push((format!("fd/{name}"), name));
        }
    }
    let mut leaks = List::new();
    for (link, descriptor) in names {
        // It was closed meanwhile, or we may not open it; the others are still examined.
        let Ok(held) = openat(target.dir(), link.as_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
            continue;
        };
        let mount = mount_of(held.as_fd())?;
        if inside.has(mount) || !host.has(mount) {
            continue;
        }
        let stat = look(&goal, "fstat(descriptor)", || fstat(&held))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            continue;
        }
        let own = format!("/proc/self/fd/{}", held.as_raw_fd());
        let path = look(&goal, format!("readlink({own:?})"), || readlinkat(CWD, &own, Vec::new()))?;
        let path = Text::from(&*path.to_string_lossy());
        let reason = "it holds a directory of the host open: openat(2) with .. leads to all of the host's files";
        let about = Text::from(&*format!("{descriptor} -> {}", path.0.to_string_lossy()));
        findings.add_at(Severity::Danger, "leaked-directory", reason, about);
        leaks.push(Leak { descriptor, path }, 256);
    }
    Ok(leaks)
}

/// Returns the id of the mount of one of our descriptors, which is unique as long as we hold the descriptor.
pub(super) fn mount_of(held: BorrowedFd<'_>) -> Result<u64, Fault> {
    let path = format!("/proc/self/fdinfo/{}", held.as_raw_fd());
    let info = look("find the mount of a descriptor", format!("read({path:?})"), || read_at(CWD, &path))?;
    let info = String::from_utf8_lossy(&info).into_owned();
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    id.ok_or_else(|| Fault::new(format!("cannot find the mount of a descriptor: {path} has no mnt_id")))
}
