//! What a less trusted program may get hold of through /proc: our executable, our memory, our descriptors. Every tool
//! passes here between parsing and its first step.
//!
//! A program that sees us in its /proc, or that is started by us as a script with `#!/proc/self/exe`, reaches our
//! executable file. It cannot write to a file that runs, but it can keep a descriptor of it, and write later
//! (CVE-2019-5736). So a tool goes on from a file that cannot be written ([`crate::sealed`]), and is not dumpable: then
//! the kernel lets nobody look at it without `CAP_SYS_PTRACE` over the user namespace that it was started in.
//! `ptrace(2)`, `PR_SET_DUMPABLE(2const)`.
//!
//! The surprise: `execve(2)` makes a process dumpable again, so none of this reaches the next tool of a chain.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::prctl::{get_dumpable, set_dumpable};

use crate::kernel::{call, look};
use crate::namespace::Kind;
use crate::{Fault, narrate, procfs, sealed, target};

const OWN_FILE: &str = "/proc/self/exe";
const SEALING: &str = "no program that we start or that sees us can overwrite our executable; execveat(2)";
const HIDING: &str = "until the command runs, nobody inside may trace us or look through our /proc; ptrace(2)";

/// Who may see this run of a tool.
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
    /// Nobody: the process is one that an earlier process of ours has taken care of.
    pub const NOBODY: Exposure = Exposure { who: Who::Nobody, hides_itself: true, wants_copy: false };
    /// The other processes of our pid namespace, where that is not the first one: a container's, perhaps.
    pub const NEIGHBORS: Exposure = Exposure { who: Who::Neighbors, hides_itself: false, wants_copy: false };
    /// Programs of a root that somebody else made, or a command with fewer rights than ours.
    pub const IMAGE: Exposure = Exposure { who: Who::Image, hides_itself: false, wants_copy: false };

    /// The tool calls [`hide_if_exposed`] or [`hide`] itself, since it needs its own files in /proc until then: those of
    /// a process that is hidden are root's.
    pub const fn hiding_itself(self) -> Exposure {
        Exposure { hides_itself: true, ..self }
    }

    /// A sealed copy, where a view would do; see [`sealed::ensure_view`].
    pub const fn in_a_copy(self) -> Exposure {
        Exposure { wants_copy: true, ..self }
    }
}

/// Whether [`protect`] found somebody who may see us.
static IS_EXPOSED: AtomicBool = AtomicBool::new(false);
/// Whether we are to stay hidden.
static IS_HIDDEN: AtomicBool = AtomicBool::new(false);
/// Whether a change of credentials would show us again; fs.suid_dumpable in `proc_sys_fs(5)`.
static REAPPEARS: AtomicBool = AtomicBool::new(true);

/// Hides us, and goes on from an executable that cannot be written, where `exposure` demands it. May start the tool once
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
    // Without /proc we cannot open our executable. A container cannot be made then; what is left is chroot(2), which
    // is no border for who keeps root's rights, and who has lost them cannot write to a file of root's.
    if Path::new(OWN_FILE).symlink_metadata().is_err() {
        return Ok(());
    }
    let ensure = if exposure.wants_copy { sealed::ensure } else { sealed::ensure_view };
    match (ensure(SEALING), exposure.who) {
        (Err(fault), Who::Neighbors) => {
            // Nobody has asked to cross a border, and most often all around us are the same user's.
            narrate::remark(format_args!("{fault}; it goes on from its installed file"));
            Ok(())
        }
        (done, _) => done,
    }
}

/// The first process of a pid namespace finds nobody there; and from the first pid namespace all others can be seen, but
/// whoever is confined and shares it may do nothing to a process that has more capabilities.
fn have_neighbors() -> bool {
    std::process::id() != 1 && target::is_in_first_namespace(Kind::Pid) == Some(false)
}

/// From now on nobody may trace us or open what is ours in /proc.
pub fn hide() -> Result<(), Fault> {
    if IS_HIDDEN.swap(true, Ordering::Relaxed) {
        return stay_hidden();
    }
    let is_debugged = procfs::read_text("sys/fs/suid_dumpable").map_or(true, |value| value.trim_end() == "1");
    REAPPEARS.store(is_debugged, Ordering::Relaxed);
    set(false, HIDING)
}

/// The same, where somebody may see us.
pub fn hide_if_exposed() -> Result<(), Fault> {
    if IS_EXPOSED.load(Ordering::Relaxed) { hide() } else { Ok(()) }
}

/// Hides once more where a change of credentials has undone it. Makes no call where none can: a filter may refuse it.
pub fn stay_hidden() -> Result<(), Fault> {
    if !IS_HIDDEN.load(Ordering::Relaxed) || !REAPPEARS.load(Ordering::Relaxed) || narrate::is_dry_run() {
        return Ok(());
    }
    let is_seen = look("find out whether we are hidden", "prctl(PR_GET_DUMPABLE)", get_dumpable)?;
    if is_seen { set(false, HIDING) } else { Ok(()) }
}

/// Does something for which files in /proc have to be ours, its own or a child's. Those of a process that is hidden are
/// root's of the user namespace that it was started in, which another user or another namespace has no right to.
pub fn in_the_open<T>(act: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let is_root = rustix::process::geteuid().is_root() && target::is_in_first_namespace(Kind::User) != Some(false);
    if is_root || !IS_HIDDEN.load(Ordering::Relaxed) {
        return act();
    }
    set(true, "for a moment, since a hidden process's files in /proc are root's; PR_SET_DUMPABLE(2const)")?;
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
