//! What a less trusted program could reach through /proc: our executable, our memory, our descriptors. Every tool calls
//! `protect` between parsing and its first step.
//!
//! A program that sees us in its /proc, or that we start as a script with `#!/proc/self/exe`, reaches our executable
//! file. It cannot write to a file that is being executed, but it can keep a descriptor of it and write later
//! (CVE-2019-5736). So a tool continues from a file that cannot be written ([`crate::process::sealed`]), and is not dumpable:
//! then the kernel denies access to it without `CAP_SYS_PTRACE` over the user namespace in which it was started.
//! `ptrace(2)`, `PR_SET_DUMPABLE(2const)`.
//!
//! The surprise: `execve(2)` makes a process dumpable again, so none of this reaches the next tool of a chain.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::prctl::{get_dumpable, set_dumpable};

use crate::kernel::{call, look};
use crate::process::namespace::Kind;
use crate::process::{procfs, sealed, target};
use crate::{Fault, narrate};

const OWN_FILE: &str = "/proc/self/exe";
const SEALING: &str = "no program that we start or that can see us can overwrite our executable; execveat(2)";
const HIDING: &str = "until the command runs, no process inside may trace us or read our files in /proc; ptrace(2)";

/// The processes that may see this run of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    who: Who,
    hides_itself: bool,
    wants_copy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    Neighbors,
    Image,
}

impl Exposure {
    /// No process may: an earlier process of ours has already taken these steps.
    pub const NOBODY: Exposure = Exposure { who: Who::Nobody, hides_itself: true, wants_copy: false };
    /// The other processes of our pid namespace may, if it is not the first one: it may be that of a container.
    pub const NEIGHBORS: Exposure = Exposure { who: Who::Neighbors, hides_itself: false, wants_copy: false };
    /// Programs of a root that someone else made, or a command with fewer rights than ours.
    pub const IMAGE: Exposure = Exposure { who: Who::Image, hides_itself: false, wants_copy: false };

    /// Lets the tool call [`hide_if_exposed`] or [`hide`] itself, since it needs its own files in /proc until then:
    /// root owns those of a process that is hidden.
    pub const fn hiding_itself(self) -> Exposure {
        Exposure { hides_itself: true, ..self }
    }

    /// Demands a sealed copy where a view would suffice; see [`sealed::ensure_view`].
    pub const fn in_a_copy(self) -> Exposure {
        Exposure { wants_copy: true, ..self }
    }
}

/// Whether [`protect`] found a process that may see us.
static IS_EXPOSED: AtomicBool = AtomicBool::new(false);
/// Whether we must stay hidden.
static IS_HIDDEN: AtomicBool = AtomicBool::new(false);
/// Whether a change of credentials would make us visible again; fs.suid_dumpable in `proc_sys_fs(5)`.
static REAPPEARS: AtomicBool = AtomicBool::new(true);

/// Hides us, and continues from an executable that cannot be written, if `exposure` demands it. May start the tool once
/// more.
pub(crate) fn protect(exposure: Exposure) -> Result<(), Fault> {
    match exposure.who {
        Who::Nobody => return Ok(()),
        Who::Neighbors if !have_neighbors() => return Ok(()),
        Who::Neighbors | Who::Image => IS_EXPOSED.store(true, Ordering::Relaxed),
    }
    if !exposure.hides_itself {
        hide()?;
    }
    // Without /proc we cannot open our executable. But then no container can be made; what is left is chroot(2), which
    // does not confine a process that keeps root's rights, and a process that has lost them cannot write to a file of
    // root's.
    if Path::new(OWN_FILE).symlink_metadata().is_err() {
        return Ok(());
    }
    let ensure = if exposure.wants_copy { sealed::ensure } else { sealed::ensure_view };
    match (ensure(SEALING), exposure.who) {
        (Err(fault), Who::Neighbors) => {
            // No border was asked to be crossed, and usually all processes around us belong to the same user.
            narrate::remark(format_args!("{fault}; the tool continues from its installed file"));
            Ok(())
        }
        (done, _) => done,
    }
}

/// Returns whether other processes may see us. The first process of a pid namespace finds no other process in it. And
/// from the first pid namespace all others can be seen, but a confined process that shares it may do nothing to a
/// process that has more capabilities.
fn have_neighbors() -> bool {
    std::process::id() != 1 && target::is_in_first_namespace(Kind::Pid) == Some(false)
}

/// Prevents other processes from tracing us and from opening our files in /proc.
pub fn hide() -> Result<(), Fault> {
    if IS_HIDDEN.swap(true, Ordering::Relaxed) {
        return stay_hidden();
    }
    let is_debugged = procfs::read_short("sys/fs/suid_dumpable").map_or(true, |value| value.trim_end() == "1");
    REAPPEARS.store(is_debugged, Ordering::Relaxed);
    set(false, HIDING)
}

/// Hides us if a process may see us.
pub fn hide_if_exposed() -> Result<(), Fault> {
    if IS_EXPOSED.load(Ordering::Relaxed) { hide() } else { Ok(()) }
}

/// Hides us once more if a change of credentials has undone it. Makes no call if none can have undone it: a filter may
/// refuse the call.
pub fn stay_hidden() -> Result<(), Fault> {
    if !IS_HIDDEN.load(Ordering::Relaxed) || !REAPPEARS.load(Ordering::Relaxed) || narrate::is_dry_run() {
        return Ok(());
    }
    let is_seen = look("determine whether we are hidden", "prctl(PR_GET_DUMPABLE)", get_dumpable)?;
    if is_seen { set(false, HIDING) } else { Ok(()) }
}

/// Runs `act` while we own our files in /proc, and those of a child. The files of a hidden process belong to root of
/// the user namespace in which it was started, so that another user or another namespace has no right to them.
pub fn in_the_open<T>(act: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let is_root = rustix::process::geteuid().is_root() && target::is_in_first_namespace(Kind::User) != Some(false);
    if is_root || !IS_HIDDEN.load(Ordering::Relaxed) {
        return act();
    }
    set(true, "for a moment only: root owns the files of a hidden process in /proc; PR_SET_DUMPABLE(2const)")?;
    let done = act();
    set(false, HIDING)?;
    done
}

fn set(is_dumpable: bool, why: &str) -> Result<(), Fault> {
    let (goal, value) = if is_dumpable {
        ("own our files in /proc", "SUID_DUMP_USER")
    } else {
        ("hide from the container", "SUID_DUMP_DISABLE")
    };
    call(goal, format_args!("prctl(PR_SET_DUMPABLE, {value})"), why, || set_dumpable(is_dumpable))
}
