//! `--ready-fd` and `--block-fd`: a word to who started us once all is set up, and waiting for theirs before the
//! command runs; on descriptors that we inherited. The command gets neither.

use std::os::fd::{OwnedFd, RawFd};

use plumbing::Fault;
use plumbing::kernel::{adopt, is_open, look};

/// The two descriptors, by number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) ready: Option<RawFd>,
    pub(crate) block: Option<RawFd>,
}

/// The two descriptors, ours.
pub(crate) struct Gates {
    ready: Option<OwnedFd>,
    block: Option<OwnedFd>,
}

impl Gates {
    /// Takes them, before anything is changed.
    pub(crate) fn take(numbers: Numbers) -> Result<Gates, Fault> {
        for (option, fd) in [("--ready-fd", numbers.ready), ("--block-fd", numbers.block)] {
            if let Some(fd) = fd.filter(|fd| !is_open(*fd)) {
                return Err(Fault::usage(format!("invalid value '{fd}' for '{option}': descriptor {fd} is not open")));
            }
        }
        let block = numbers.block.map(own).transpose()?;
        let ready = match (numbers.ready, &block) {
            // One socket can serve as both.
            (Some(fd), Some(block)) if numbers.block == Some(fd) => {
                Some(look("copy a descriptor", format!("fcntl({fd}, F_DUPFD_CLOEXEC)"), || block.try_clone())?)
            }
            (fd, _) => fd.map(own).transpose()?,
        };
        Ok(Gates { ready, block })
    }

    /// Tells and waits. An end of file opens the gate as well as a byte: whoever held it closed has gone.
    pub(crate) fn pass(self) -> Result<(), Fault> {
        if plumbing::narrate::is_dry_run() {
            return Ok(());
        }
        if let Some(ready) = self.ready {
            look("tell that all is ready", "write(ready-fd)", || rustix::io::write(&ready, b"\n"))?;
        }
        if let Some(block) = self.block {
            look("wait for the word to go on", "read(block-fd)", || {
                rustix::io::retry_on_intr(|| rustix::io::read(&block, &mut [0u8; 1]))
            })?;
        }
        Ok(())
    }
}

/// The standard descriptors stay the command's, of the others it gets nothing.
fn own(fd: RawFd) -> Result<OwnedFd, Fault> {
    if fd <= 2 {
        return copy(fd);
    }
    let owned = adopt(fd);
    look("keep a descriptor from the command", format!("fcntl({fd}, F_SETFD, FD_CLOEXEC)"), || {
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
    look("copy a descriptor", format!("fcntl({fd}, F_DUPFD_CLOEXEC)"), || standard.try_clone_to_owned())
}
