//! Closing our descriptors before a program of an image is executed. `close_range(2)`, `execve(2)`.
//!
//! It is not enough to mark them close-on-exec: the kernel opens the interpreter of a script, and of a dynamic program,
//! before it closes marked descriptors. So `#!/proc/self/fd/N/bin/sh` would run a file of the host if descriptor N were a
//! directory of the host, and the container could keep that file open and write to it.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{FileType, fstat};

use crate::kernel::{close_range, exit_now, look, own};
use crate::{Fault, Status, narrate};

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
pub fn refuse_directories(streams: [BorrowedFd<'_>; 3]) -> Result<(), Fault> {
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
    }
    Ok(())
}
