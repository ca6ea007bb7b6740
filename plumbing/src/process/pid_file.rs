//! `--pid-file`: a file that either does not exist or contains the whole pid. It is written under a temporary name and
//! then renamed. `rename(2)`.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use crate::Fault;
use crate::kernel::{call, own};

/// Writes `pid` to `file`.
pub fn write(file: &Path, pid: i32) -> Result<(), Fault> {
    let goal = format!("write the pid to {}", file.display());
    let temporary = temporary(file, pid);
    let shown = temporary.to_string_lossy();
    let text = format!("openat(AT_FDCWD, {shown:?}, O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0644)");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = call(&goal, text, "a temporary name first, so that no reader finds half a pid", || {
        rustix::fs::openat(CWD, &temporary, flags, Mode::from_raw_mode(0o644))
    })?;
    let named = fill(opened, &goal, pid).and_then(|()| {
        let text = format!("renameat(AT_FDCWD, {shown:?}, AT_FDCWD, {:?})", file.to_string_lossy());
        call(&goal, text, "the pid file appears complete; rename(2)", || {
            rustix::fs::renameat(CWD, &temporary, CWD, file)
        })
    });
    named.or_else(|fault| {
        let text = format!("unlinkat(AT_FDCWD, {shown:?}, 0)");
        call("remove the temporary file", text, "a failed attempt leaves no file", || {
            rustix::fs::unlinkat(CWD, &temporary, AtFlags::empty())
        })?;
        Err(fault)
    })
}

fn fill(opened: std::os::fd::OwnedFd, goal: &str, pid: i32) -> Result<(), Fault> {
    if crate::narrate::is_dry_run() {
        return Ok(());
    }
    own(goal, "write(pid)", || std::fs::File::from(opened).write_all(format!("{pid}\n").as_bytes()))
}

/// Returns a temporary name in the same directory, because rename(2) cannot cross file systems.
fn temporary(file: &Path, pid: i32) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(format!(".{pid}"));
    file.with_file_name(name)
}
