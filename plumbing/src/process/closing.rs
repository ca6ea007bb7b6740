//! Closing our descriptors before a program of an image is executed. `close_range(2)`, `execve(2)`.
//!
//! It is not enough to mark them close-on-exec: the kernel opens the interpreter of a script, and of a dynamic program,
//! before it closes marked descriptors. So `#!/proc/self/fd/N/bin/sh` would run a file of the host if descriptor N were a
//! directory of the host, and the container could keep that file open and write to it.
//!
//! A system call filter may refuse `close_range(2)`: an old one around us, or the command's own, if it applies before
//! the descriptors are closed. Then they are closed one by one, and only /proc/self/status says how many there can be
//! (`FDSize`). A container chooses what is at /proc, so the file must be one of a proc file system, with nothing mounted
//! over it.
//!
//! Since one call closes them all, a tool that is about to become a command need not close each descriptor when it is done
//! with it: [`leave`].

use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use rustix::fs::{FileType, PROC_SUPER_MAGIC, Stat, fstat, fstatfs};
use rustix::process::{Resource, getrlimit};

use crate::fault::IntoErrno;
use crate::kernel::{exit_now, look, own};
use crate::process::procfs;
use crate::process::target::status_field;
use crate::{Fault, Status, narrate};

/// How many more descriptors may stay open until [`close_from`]; 0 until a tool promises to call it.
static ROOM: AtomicU32 = AtomicU32::new(0);

/// The most that stay open.
const MOST_LEFT: u32 = 96;

/// How many others this process may need at the same time.
const OTHERS: u64 = 160;

/// Promises that [`close_from`] follows soon, so that [`leave`] can leave descriptors open until then.
pub fn will_close_all() {
    let allowed = getrlimit(Resource::Nofile).current;
    if !narrate::is_dry_run() && allowed.is_none_or(|allowed| allowed >= OTHERS + u64::from(MOST_LEFT)) {
        ROOM.store(MOST_LEFT, Ordering::Relaxed);
    }
}

/// Ends the use of a descriptor, which is marked close-on-exec. It stays open until [`close_from`] closes all in one call,
/// if that is going to happen and it is one of few; otherwise it is closed at once.
pub fn leave(fd: impl Into<OwnedFd>) {
    let fd = fd.into();
    if ROOM.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1)).is_ok() {
        let _left_open = fd.into_raw_fd();
    }
}

/// Closes every descriptor from `first` on except `kept`; none in a dry run. Afterwards owners of descriptors must not
/// be dropped, because they would close them a second time: the caller ends with [`end`].
pub fn close_from(first: u32, kept: Option<BorrowedFd<'_>>) -> Result<(), Fault> {
    if narrate::is_dry_run() {
        return Ok(());
    }
    let close = |first: u32, last: u32| {
        if first > last {
            return Ok(());
        }
        let text = format!("close_range({first}, {last}, 0)");
        own("close the descriptors that the command must not inherit", text, || close_range(first, last, false))
    };
    match kept.map(|kept| kept.as_raw_fd().cast_unsigned()).filter(|kept| *kept >= first) {
        Some(kept) => {
            close(first, kept.saturating_sub(1))?;
            close(kept.saturating_add(1), u32::MAX)
        }
        None => close(first, u32::MAX),
    }
}

/// Reports the outcome and ends this process, without a drop. Returns only in a dry run, which closed nothing.
pub fn end(outcome: Result<Status, Fault>) -> Result<Status, Fault> {
    if narrate::is_dry_run() {
        return outcome;
    }
    exit_now(outcome.unwrap_or_else(|fault| fault.report(narrate::tool())))
}

/// Refuses to give the command a directory as stdin, stdout or stderr: with its `..` it leads to all files of the host.
/// Returns what they are.
pub fn refuse_directories(streams: [BorrowedFd<'_>; 3]) -> Result<Vec<Stat>, Fault> {
    let mut stats = Vec::with_capacity(streams.len());
    for (number, stream) in streams.into_iter().enumerate() {
        let goal = format!("give the command descriptor {number}");
        let stat = look(&goal, format!("fstat({number})"), || fstat(stream))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let sign = if number == 0 { '<' } else { '>' };
            return Err(Fault::new(format!(
                "cannot {goal}: it is a directory, through which the command could reach the files outside its root"
            ))
            .with_remedy(format!("redirect it: {number}{sign}/dev/null")));
        }
        stats.push(stat);
    }
    Ok(stats)
}

/// Calls `close_range(2)` for `first..=last`; with `on_exec`, only marks the descriptors close-on-exec.
pub fn close_range(first: u32, last: u32, on_exec: bool) -> Result<(), Errno> {
    match plumbing_kernel::close_range(first, last, on_exec) {
        Err(refused) if first <= last => one_by_one(first, last, on_exec).map_err(|_| refused),
        answer => answer,
    }
}

fn one_by_one(first: u32, last: u32, on_exec: bool) -> Result<(), Errno> {
    let act = |fd: u32| {
        let act = if on_exec { plumbing_kernel::close_on_exec } else { plumbing_kernel::close };
        match act(i32::try_from(fd).map_err(|_| Errno::EBADF)?) {
            // The filter refuses this call, too. After any other error the descriptor is closed, or never was open.
            Err(refused @ (Errno::EPERM | Errno::EACCES | Errno::ENOSYS)) => Err(refused),
            _ => Ok(()),
        }
    };
    // At the limit of open descriptors, closing one makes room for the file that is read next.
    act(first)?;
    (first.saturating_add(1)..last.saturating_add(1).min(table_size()?)).try_for_each(act)
}

/// Returns a number above that of every descriptor that is open.
fn table_size() -> Result<u32, Errno> {
    let file = procfs::open_uncovered("self/status")?;
    if fstatfs(&file).map_err(IntoErrno::into_errno)?.f_type != PROC_SUPER_MAGIC {
        return Err(Errno::ENOSYS);
    }
    let mut text = Vec::new();
    std::fs::File::from(file).take(1 << 16).read_to_end(&mut text).map_err(IntoErrno::into_errno)?;
    status_field(&String::from_utf8_lossy(&text), "FDSize").and_then(|size| size.parse().ok()).ok_or(Errno::ENOSYS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_range_is_closed_one_by_one() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        let number = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(file.as_raw_fd() + 40)).unwrap();
        assert!(table_size().unwrap() > number.cast_unsigned());
        let last = number.cast_unsigned();
        one_by_one(last, last, true).unwrap();
        one_by_one(last, last, false).unwrap();
        assert!(!crate::kernel::is_open(number));
    }
}
