//! How the command of a hold is confined, as its init keeps it: the record's member `process`, in a memfd that is sealed.
//! `memfd_create(2)`.
//!
//! A record may be lost or edited, and a container that is found by name has none. The init gets the file with its other
//! descriptors, and can neither close nor replace it (`seccomp(2)`). A stage writes it once and seals it; if none did, the
//! last stage seals it before a process of the container runs. The surprise: so not even a process inside that traces the
//! init can choose the rights of who enters next.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use rustix::fs::{MemfdFlags, fcntl_get_seals, ftruncate, memfd_create};

use crate::Fault;
use crate::fault::IntoErrno;
use crate::kernel::{look, own};
use crate::narrate;
use crate::pipeline::assembly::{Hold, PROCESS_FD};
use crate::pipeline::pipe::Stage;
use crate::pipeline::record::Process;
use crate::process::foreign_descriptor;
use crate::process::sealed::{self, seals};
use crate::process::target::Target;

/// The maximum length, which is that of a record.
const MOST: usize = 1 << 20;

/// Makes the file that a new init keeps. It is empty: no stage has confined the command.
pub fn unconfined() -> Result<OwnedFd, Fault> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    own("keep how the command is confined", "memfd_create(MFD_ALLOW_SEALING)", || memfd_create("process", flags))
}

/// Refuses a hold whose init keeps already how its command is confined.
pub fn require_none(stage: &Stage, to: &str) -> Result<(), Fault> {
    if is_settled(&stage.hold) || !is_sealed(&open(&stage.target)?) {
        return Ok(());
    }
    Err(Fault::new(format!(
        "cannot {to} {}: its init keeps already how the command is confined, and that cannot change",
        stage.record.shown_name()
    ))
    .with_remedy("give one chroot-rs --pipe all the options"))
}

/// Makes the init of an unfinished hold keep how its command is confined.
pub fn keep(stage: &Stage, process: &Process) -> Result<(), Fault> {
    if is_settled(&stage.hold) {
        return Ok(());
    }
    let goal = "keep how the command is confined";
    let content = serde_json::to_vec(process).map_err(|error| Fault::new(format!("cannot {goal}: {error}")))?;
    let file = open(&stage.target)?;
    own(goal, "pwrite(memfd)", || write(&file, &content))?;
    seal(&file)
}

/// Makes what the init of an unfinished hold keeps final, before a process of the container runs.
pub fn settle(stage: &Stage) -> Result<(), Fault> {
    if is_settled(&stage.hold) {
        return Ok(());
    }
    let file = open(&stage.target)?;
    if is_sealed(&file) { Ok(()) } else { seal(&file) }
}

/// Returns how the command of a hold is confined. `target` is an init of `--hold`.
pub fn of(target: &Target) -> Result<Process, Fault> {
    let goal = format!("read how the command of process {} is confined", target.pid());
    let text = format!("read(descriptor {PROCESS_FD} of {})", target.pid());
    let file = foreign_descriptor::memfd(target, PROCESS_FD).map_err(|errno| Fault::kernel(&goal, &text, errno))?;
    let file = file.ok_or_else(|| lost(&goal, "its init does not keep that in a memfd any more"))?;
    // Before that, it could change after we have read it.
    if !is_sealed(&file) {
        return Ok(Process::default());
    }
    match look(&goal, &text, || read(&file))? {
        nothing if nothing.is_empty() => Ok(Process::default()),
        content => serde_json::from_slice(&content).map_err(|error| lost(&goal, &error.to_string())),
    }
}

/// Returns whether no stage changes what an init keeps: there is none, or a command has been entered.
fn is_settled(hold: &Hold) -> bool {
    !matches!(hold, Hold::Unfinished(_)) || narrate::is_dry_run()
}

fn is_sealed(file: &OwnedFd) -> bool {
    fcntl_get_seals(file).is_ok_and(|its| its.contains(seals()))
}

fn open(target: &Target) -> Result<OwnedFd, Fault> {
    let goal = format!("open what the init of the container ({}) keeps", target.pid());
    let text = format!("open(descriptor {PROCESS_FD} of {}, O_RDWR)", target.pid());
    let file = foreign_descriptor::writable_memfd(target, PROCESS_FD);
    let file = file.map_err(|errno| Fault::kernel(&goal, &text, errno))?;
    file.ok_or_else(|| Fault::new(format!("cannot {goal}: its descriptor {PROCESS_FD} is no memfd")))
}

fn seal(file: &OwnedFd) -> Result<(), Fault> {
    match sealed::seal(file) {
        // Another stage has sealed it meanwhile.
        Err(rustix::io::Errno::PERM) if is_sealed(file) => Ok(()),
        answer => own("seal how the command is confined", "fcntl(memfd, F_ADD_SEALS)", || answer),
    }
}

fn lost(goal: &str, why: &str) -> Fault {
    Fault::new(format!("cannot {goal}: {why}")).with_remedy("use the record that chroot-rs printed")
}

fn write(file: &OwnedFd, content: &[u8]) -> Result<(), Errno> {
    if content.len() > MOST {
        return Err(Errno::EFBIG);
    }
    // An earlier stage may have ended between writing and sealing.
    ftruncate(file, 0).map_err(IntoErrno::into_errno)?;
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
        let file = unconfined().unwrap();
        write(&file, b"something longer that an earlier stage has left behind, before it could seal the file").unwrap();
        write(&file, &serde_json::to_vec(&process).unwrap()).unwrap();
        assert!(!is_sealed(&file));
        seal(&file).unwrap();
        seal(&file).unwrap();
        assert!(is_sealed(&file));
        assert_eq!(serde_json::from_slice::<Process>(&read(&file).unwrap()).unwrap(), process);
        assert!(rustix::io::pwrite(&file, b"x", 0).is_err() && rustix::fs::ftruncate(&file, 0).is_err());
    }
}
