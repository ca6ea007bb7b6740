//! `--ready-fd`, `--block-fd`, `--exec-fifo`: a byte to the process that started us once all is set up, and waiting for
//! its byte before the command runs; on descriptors that we inherited, or on a FIFO. The command gets none of them.
//! `fifo(7)`.
//!
//! The FIFO is opened for both directions at the start, while its path still means what the caller meant: so opening it
//! does not block, and a writer finds a reader for as long as we live.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

use crate::Fault;
use crate::kernel::{adopt, call, is_open, look, own};

/// The descriptors and the FIFO for reporting and waiting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// A byte is written to this descriptor.
    pub ready: Option<RawFd>,
    /// A byte is read from this descriptor.
    pub block: Option<RawFd>,
    /// A byte is read from this FIFO.
    pub fifo: Option<PathBuf>,
}

/// The descriptors, owned by us.
#[derive(Debug, Default)]
pub struct Gates {
    ready: Option<OwnedFd>,
    block: Option<OwnedFd>,
    fifo: Option<OwnedFd>,
}

impl Gates {
    /// Takes the descriptors, before anything is changed.
    pub fn take(places: &Places) -> Result<Gates, Fault> {
        for (option, fd) in [("--ready-fd", places.ready), ("--block-fd", places.block)] {
            if let Some(fd) = fd.filter(|fd| !is_open(*fd)) {
                return Err(Fault::usage(format!("invalid value '{fd}' for '{option}': descriptor {fd} is not open")));
            }
        }
        let block = places.block.map(keep_from_command).transpose()?;
        let ready = match (places.ready, &block) {
            // One socket can serve as both.
            (Some(fd), Some(block)) if places.block == Some(fd) => {
                Some(own("copy a descriptor", format!("fcntl({fd}, F_DUPFD_CLOEXEC)"), || block.try_clone())?)
            }
            (fd, _) => fd.map(keep_from_command).transpose()?,
        };
        let fifo = places.fifo.as_deref().map(open_fifo).transpose()?;
        Ok(Gates { ready, block, fifo })
    }

    /// Reports that all is set up, then waits. End of file opens the gate as well as a byte: the process that held it
    /// closed is gone.
    pub fn pass(self) -> Result<(), Fault> {
        if let Some(ready) = self.ready {
            let text = format!("write({}, \"\\n\", 1)", ready.as_raw_fd());
            let why = "the process that started us learns from it that all is set up";
            call("report that all is ready", text, why, || rustix::io::write(&ready, b"\n"))?;
        }
        for gate in [self.block, self.fifo].into_iter().flatten() {
            let text = format!("read({}, …, 1)", gate.as_raw_fd());
            let why = "the command waits for a byte from there, or for the end of file";
            call("wait for the byte that starts the command", text, why, || {
                rustix::io::retry_on_intr(|| rustix::io::read(&gate, &mut [0u8; 1]))
            })?;
        }
        Ok(())
    }
}

fn open_fifo(path: &Path) -> Result<OwnedFd, Fault> {
    let shown = path.to_string_lossy();
    let goal = format!("open the FIFO {shown}");
    // If opened for reading only, it would be at its end as soon as the first writer has gone.
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fifo = look(&goal, format!("openat(AT_FDCWD, {shown:?}, O_RDWR|O_NONBLOCK|O_NOCTTY)"), || {
        openat(CWD, path, flags, Mode::empty())
    })?;
    let stat = look(&goal, "fstat(fd)", || fstat(&fifo))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
        return Err(Fault::new(format!("cannot {goal}: it is not a FIFO")).with_remedy("make one: mkfifo(1)"));
    }
    own(&goal, "fcntl(fd, F_SETFL, 0)", || rustix::fs::fcntl_setfl(&fifo, OFlags::empty()))?;
    Ok(fifo)
}

/// Takes a descriptor so that the command does not get it. The command keeps the standard descriptors.
fn keep_from_command(fd: RawFd) -> Result<OwnedFd, Fault> {
    if fd <= 2 {
        return copy(fd);
    }
    let owned = adopt(fd);
    own("keep a descriptor from the command", format!("fcntl({fd}, F_SETFD, FD_CLOEXEC)"), || {
        rustix::io::fcntl_setfd(&owned, rustix::io::FdFlags::CLOEXEC)
    })?;
    Ok(owned)
}

fn copy(fd: RawFd) -> Result<OwnedFd, Fault> {
    let standard = match fd {
        0 => rustix::stdio::stdin(),
        1 => rustix::stdio::stdout(),
        _ => rustix::stdio::stderr(),
    };
    own("copy a descriptor", format!("fcntl({fd}, F_DUPFD_CLOEXEC)"), || standard.try_clone_to_owned())
}
