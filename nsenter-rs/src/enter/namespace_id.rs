//! A namespace by its id: 64 bits that the kernel never reuses, unlike the inode in /proc/PID/ns. `ioctl_nsfs(2)`,
//! `open_by_handle_at(2)`.
//!
//! Linux 6.19 opens a namespace by the id alone. Linux 6.18 returns a namespace's id, but opening needs more than the
//! id; there, the processes are searched for it.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use plumbing::Fault;
use plumbing::kernel::{look, namespace_by_id, namespace_id};
use plumbing::process::namespace::Kind;
use rustix::fs::{CWD, Mode, OFlags, openat};

/// Opens the namespace.
pub(crate) fn open(kind: Kind, id: u64) -> Result<OwnedFd, Fault> {
    match namespace_by_id(id) {
        Ok(fd) => Ok(fd),
        Err(_) => search(kind, id),
    }
}

fn search(kind: Kind, id: u64) -> Result<OwnedFd, Fault> {
    let goal = format!("find the {} namespace with the id {id}", kind.option());
    let own = format!("/proc/self/ns/{}", kind.proc_name());
    let fd = look(&goal, format!("openat({own:?})"), || open_path(&own))?;
    look(&goal, format!("ioctl({own}, NS_GET_ID)"), || id_of(kind, &fd)).map_err(|fault| match fault.errno() {
        Some(Errno::ENOTTY) => fault.with_remedy("namespaces have no ids before Linux 6.18; name a file instead"),
        _ => fault,
    })?;
    for entry in look(&goal, "readdir(\"/proc\")", || std::fs::read_dir("/proc"))?.flatten() {
        let is_process = entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        // Skips processes that have ended, and those that we may not examine.
        let path = entry.path().join("ns").join(kind.proc_name());
        let found = is_process.then(|| open_path(path).ok()).flatten();
        if let Some(fd) = found.filter(|fd| id_of(kind, fd) == Ok(id)) {
            return Ok(fd);
        }
    }
    Err(Fault::new(format!("cannot {goal}: no process that we may examine is in it")))
}

fn open_path(path: impl rustix::path::Arg) -> Result<OwnedFd, rustix::io::Errno> {
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn id_of(kind: Kind, fd: impl AsFd) -> Result<u64, Errno> {
    namespace_id(fd, kind == Kind::Mnt)
}
