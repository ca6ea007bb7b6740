//! Running from a sealed copy of ourselves: what a container can reach as /proc/PID/exe cannot be written.
//!
//! A process that enters a container shows the container its executable file (CVE-2019-5736). So the tool copies itself
//! into a memfd, seals it against every change and continues from that before it enters; or it continues from a view of
//! itself that cannot be written through, which is cheaper. `memfd_create(2)`, `PR_SET_MM(2const)`.

mod view;

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::unistd::execveat;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

use crate::Fault;
use crate::confinement::security_label;
use crate::kernel::{arguments, call, look, own};
use crate::process::environment::Environment;
use crate::process::inherited;

const OWN_FILE: &str = "/proc/self/exe";

/// How the kernel shows the path of a sealed copy in /proc/PID/exe, up to its ` (deleted)`.
pub(crate) const COPY: &[u8] = b"/memfd:sealed";

/// Whether a dry run has printed that it continues in a sealed copy: the copy would not copy itself again.
static IS_PRETENDED: AtomicBool = AtomicBool::new(false);

/// Returns the seals that forbid every change.
pub(crate) fn seals() -> SealFlags {
    SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE
}

/// Continues in a sealed copy with the same arguments, unless this is one already. Returns in that case, and from a dry
/// run.
pub fn ensure(why: &str) -> Result<(), Fault> {
    if IS_PRETENDED.load(Ordering::Relaxed) {
        return Ok(());
    }
    if is_copy(&own_path()?)? {
        return take_name();
    }
    let copy = copy_of_self()?;
    if view::become_file(&copy, "memfd") { Ok(()) } else { go_on_in(&copy, why) }
}

/// Continues from a view of our executable that cannot be written through, if the kernel lets us make one, and
/// otherwise in a sealed copy. A view requires no new start.
///
/// A view shares the pages of the file, so it does not stop a process that can write to a page of a file that is open
/// for reading: that requires a kernel bug (CVE-2022-0847, CVE-2026-31431), against which only a copy is safe.
pub fn ensure_view(why: &str) -> Result<(), Fault> {
    if IS_PRETENDED.load(Ordering::Relaxed) {
        return Ok(());
    }
    if is_copy(&own_path()?)? {
        return take_name();
    }
    if view::take_place() { Ok(()) } else { go_on_in(&copy_of_self()?, why) }
}

/// Sets our name: the kernel named us after a descriptor, and ps(1) must show which program this is.
fn take_name() -> Result<(), Fault> {
    let name = CString::new(crate::narrate::tool()).unwrap_or_default();
    own("name ourselves", "prctl(PR_SET_NAME)", || nix::sys::prctl::set_name(&name))
}

fn go_on_in(copy: &OwnedFd, why: &str) -> Result<(), Fault> {
    exec(copy, &arguments(), &Environment::inherited(), "execveat(memfd, \"\", AT_EMPTY_PATH)", why)?;
    // Only a dry run returns.
    IS_PRETENDED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Returns the path of the file that we run from; `/memfd:…` and `/` are not paths of installed files.
fn own_path() -> Result<PathBuf, Fault> {
    look("find our own executable", format!("readlink({OWN_FILE:?})"), || std::fs::read_link(OWN_FILE))
}

fn own_file() -> Result<std::fs::File, Fault> {
    look("open our own executable", format!("open(\"{OWN_FILE}\")"), || std::fs::File::open(OWN_FILE))
}

/// Returns whether we run from a sealed copy.
fn is_copy(path: &Path) -> Result<bool, Fault> {
    if !path.as_os_str().as_bytes().starts_with(b"/memfd:") {
        return Ok(false);
    }
    let seals_of_it = own_file().map(fcntl_get_seals)?;
    Ok(seals_of_it.is_ok_and(|seals_of_it| seals_of_it.contains(seals())))
}

/// Copies our executable into a sealed memfd.
pub fn copy_of_self() -> Result<OwnedFd, Fault> {
    let goal = "make a sealed copy of our executable";
    let copy = own(goal, "memfd_create(MFD_ALLOW_SEALING|MFD_EXEC)", create)?;
    let mut source = own_file()?;
    let mut target = std::fs::File::from(copy);
    own(goal, "sendfile(memfd, exe)", || std::io::copy(&mut source, &mut target))?;
    own(goal, "fcntl(memfd, F_ADD_SEALS)", || seal(&target))?;
    Ok(target.into())
}

/// Seals a memfd. The kernel refuses as long as another holder, even its own reclaim, holds one of the pages, and
/// stops waiting after 150 ms. On a busy machine that is too soon.
pub(crate) fn seal(copy: impl AsFd) -> Result<(), rustix::io::Errno> {
    const ATTEMPTS: u32 = 20;
    for _ in 1..ATTEMPTS {
        match fcntl_add_seals(&copy, seals()) {
            Err(rustix::io::Errno::BUSY) => {}
            answer => return answer,
        }
    }
    fcntl_add_seals(&copy, seals())
}

/// Executes a sealed copy with these arguments and an empty environment: an init shows its environment to the
/// container. Returns only from a dry run.
pub fn exec_without_environment(copy: &OwnedFd, argv: &[OsString], why: &str) -> Result<(), Fault> {
    let text = format!("execveat(memfd, \"\", [{}], AT_EMPTY_PATH)", crate::process::chain::words(argv));
    exec(copy, argv, &Environment::empty(), &text, why)
}

fn exec(
    executable: &OwnedFd,
    argv: &[OsString],
    environment: &Environment,
    text: &str,
    why: &str,
) -> Result<(), Fault> {
    // Each word was in our own argv, so none contains a NUL.
    let words: Vec<CString> = argv.iter().filter_map(|word| CString::new(word.clone().into_vec()).ok()).collect();
    let goal = "run our executable from a copy that cannot be written";
    let executed = call(goal, text, why, || {
        inherited::hand_on();
        execveat(executable.as_fd(), c"", &words, environment.entries(), AtFlags::AT_EMPTY_PATH).map(|_| ())
    });
    executed.map_err(explain_unmounted)
}

/// Explains that AppArmor refuses a file that has no path: a memfd, or a namespace.
pub fn explain_unmounted(fault: Fault) -> Fault {
    match (fault.errno(), security_label::confining_profile()) {
        (Some(Errno::EACCES), Some(profile)) => fault.with_remedy(format!(
            "AppArmor confines us by the profile {profile:?}, which denies access to files that are not mounted, such as this one; \
             give it the flag attach_disconnected, and load it again with apparmor_parser --replace"
        )),
        _ => fault,
    }
}

/// Makes the memfd. MFD_EXEC says that the copy is meant to be executed, which some systems demand; Linux before 6.3
/// does not know it.
fn create() -> Result<OwnedFd, rustix::io::Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create("sealed", flags | MemfdFlags::EXEC) {
        Err(rustix::io::Errno::INVAL) => memfd_create("sealed", flags),
        answer => answer,
    }
}
