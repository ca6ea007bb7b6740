//! How the command of a hold is confined, as its init keeps it: the record's member `process`, in a sealed memfd.
//! `memfd_create(2)`.
//!
//! A record may be lost or edited, and a container that is found by name has none. What the init keeps can be set only by
//! a stage while the container is unfinished, and cannot be changed by anyone. The surprise: at first the init keeps an
//! empty confinement, so if a process inside, having traced the init, makes it close the file, that is an error.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use rustix::fs::{MemfdFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

use crate::Fault;
use crate::kernel::{look, own};
use crate::narrate;
use crate::pipeline::assembly::{Hold, PROCESS_FD};
use crate::pipeline::pipe::Stage;
use crate::pipeline::record::Process;
use crate::process::foreign_descriptor;
use crate::process::sealed::seals;
use crate::process::target::Target;

/// The maximum length, which is that of a record.
const MOST: usize = 1 << 20;

/// Makes the file that a new init keeps: no stage has confined its command.
pub fn unconfined() -> Result<OwnedFd, Fault> {
    sealed_file(&Process::default())
}

/// Makes the init of an unfinished hold keep how its command is confined.
pub fn keep(stage: &Stage, process: &Process) -> Result<(), Fault> {
    let Hold::Unfinished(lease) = &stage.hold else { return Ok(()) };
    if narrate::is_dry_run() {
        return Ok(());
    }
    lease.keep_process(&stage.target, sealed_file(process)?.as_fd())
}

/// Returns how the command of a hold is confined. `target` is an init of `--hold`.
pub fn of(target: &Target) -> Result<Process, Fault> {
    let goal = format!("read how the command of process {} is confined", target.pid());
    let text = format!("read(descriptor {PROCESS_FD} of {})", target.pid());
    let file = foreign_descriptor::memfd(target, PROCESS_FD).map_err(|errno| Fault::kernel(&goal, &text, errno))?;
    // Only a memfd has seals. Without them it could change after we have read it.
    let file = file.filter(|file| fcntl_get_seals(file).is_ok_and(|its| its.contains(seals())));
    let file = file.ok_or_else(|| lost(&goal, "its init does not keep that in a sealed memfd any more"))?;
    let content = look(&goal, &text, || read(&file))?;
    serde_json::from_slice(&content).map_err(|error| lost(&goal, &error.to_string()))
}

fn lost(goal: &str, why: &str) -> Fault {
    Fault::new(format!("cannot {goal}: {why}")).with_remedy("use the record that chroot-rs printed")
}

fn sealed_file(process: &Process) -> Result<OwnedFd, Fault> {
    let goal = "keep how the command is confined";
    let content = serde_json::to_vec(process).map_err(|error| Fault::new(format!("cannot {goal}: {error}")))?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = own(goal, "memfd_create(MFD_ALLOW_SEALING)", || memfd_create("process", flags))?;
    own(goal, "write(memfd)", || write(&file, &content))?;
    own(goal, "fcntl(memfd, F_ADD_SEALS)", || fcntl_add_seals(&file, seals()))?;
    Ok(file)
}

fn write(file: &OwnedFd, content: &[u8]) -> Result<(), Errno> {
    if content.len() > MOST {
        return Err(Errno::EFBIG);
    }
    // A memfd takes everything at once.
    match rustix::io::pwrite(file, content, 0) {
        Ok(length) if length == content.len() => Ok(()),
        Ok(_) => Err(Errno::ENOSPC),
        Err(errno) => Err(Errno::from_raw(errno.raw_os_error())),
    }
}

fn read(file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let from = |errno: rustix::io::Errno| Errno::from_raw(errno.raw_os_error());
    let length = usize::try_from(rustix::fs::fstat(file).map_err(from)?.st_size).map_err(|_| Errno::EFBIG)?;
    if length > MOST {
        return Err(Errno::EFBIG);
    }
    let mut content = vec![0; length];
    let read = rustix::io::pread(file, &mut content, 0).map_err(from)?;
    content.truncate(read);
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_cannot_be_changed() {
        let process = Process { no_new_privs: true, uid: Some(5), ..Process::default() };
        let file = sealed_file(&process).unwrap();
        assert_eq!(serde_json::from_slice::<Process>(&read(&file).unwrap()).unwrap(), process);
        assert!(rustix::io::pwrite(&file, b"x", 0).is_err() && rustix::fs::ftruncate(&file, 0).is_err());
    }
}
