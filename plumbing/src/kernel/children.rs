//! New processes in the manner of `fork(2)`: no shared memory, and the child continues where it was made. `clone(2)`.
//!
//! clone3(2) makes them, or clone(2) where a filter hides clone3(2): a filter cannot examine clone3's arguments, so
//! engines return ENOSYS for it. The narration and the errors name the call that was made.

use std::fmt::Display;

use nix::errno::Errno;
use plumbing_kernel::{Cloned, Parent};

use super::{Pretend, call, own};
use crate::Fault;
use crate::process::namespace::{Kind, KindSet};

/// A dry run continues as the child: that is the process whose further steps it has to narrate.
impl Pretend for Cloned {
    fn pretend() -> Result<Self, Fault> {
        Ok(Cloned::Child)
    }
}

/// Makes a child of ours. `goal` completes "cannot …" in the error; `why` gives the reason and the manual page.
pub fn fork(goal: impl Display, why: &str) -> Result<Cloned, Fault> {
    clone3(goal, KindSet::EMPTY, Parent::Caller, why)
}

/// Makes a child that is in new namespaces of these kinds from its first moment.
pub fn fork_into(kinds: KindSet, goal: impl Display, why: &str) -> Result<Cloned, Fault> {
    clone3(goal, kinds, Parent::Caller, why)
}

/// Makes a child of our parent's, which waits for it; in the pid namespace that we joined for our children.
pub fn fork_sibling(goal: impl Display, why: &str) -> Result<Cloned, Fault> {
    clone3(goal, KindSet::EMPTY, Parent::Grand, why)
}

/// Makes a child as [`fork`] does, but directly by clone(2): for use where a filter may kill for clone3(2).
pub fn fork_plainly(goal: impl Display, why: &str) -> Result<Cloned, Fault> {
    clone(goal, KindSet::EMPTY, Parent::Caller, why)
}

/// Makes a child that examines something for us and changes nothing, so its making is not narrated. It has no exit
/// signal: if it never ends, a command that we execute does not wait for it by mistake.
pub(crate) fn fork_to_look(goal: impl Display) -> Result<Cloned, Fault> {
    let parent = Parent::Unnotified;
    let text = |call| format!("{call}({{flags={}}})", flag_names(KindSet::EMPTY, parent));
    match own(&goal, text("clone3"), || plumbing_kernel::clone3(0, parent)) {
        Err(fault) if fault.errno() == Some(Errno::ENOSYS) => {
            own(&goal, text("clone"), || plumbing_kernel::clone(0, parent))
        }
        answer => answer,
    }
}

/// Returns the names of the flags that `plumbing_kernel` passes.
fn flag_names(kinds: KindSet, parent: Parent) -> String {
    let whose = match parent {
        Parent::Caller | Parent::Unnotified => "",
        Parent::Grand => "|CLONE_PARENT",
    };
    let separator = if kinds.is_empty() { "" } else { "|" };
    format!("CLONE_PIDFD{whose}{separator}{}", kinds.flag_names())
}

fn clone3(goal: impl Display, kinds: KindSet, parent: Parent, why: &str) -> Result<Cloned, Fault> {
    let signal = match parent {
        Parent::Caller => ", exit_signal=SIGCHLD",
        Parent::Grand | Parent::Unnotified => "",
    };
    let text = format!("clone3({{flags={}{signal}}})", flag_names(kinds, parent));
    match call(&goal, text, why, || plumbing_kernel::clone3(kinds.clone_flags(), parent)) {
        // clone(2) has the exit signal in the bits that are CLONE_NEWTIME in clone3(2).
        Err(fault) if fault.errno() == Some(Errno::ENOSYS) && !kinds.contains(Kind::Time) => {
            let why = "clone3(2) is not available, as under the seccomp filters of older container engines; clone(2)";
            clone(goal, kinds, parent, why)
        }
        answer => answer,
    }
}

fn clone(goal: impl Display, kinds: KindSet, parent: Parent, why: &str) -> Result<Cloned, Fault> {
    let signal = match parent {
        Parent::Caller => "|SIGCHLD",
        Parent::Grand | Parent::Unnotified => "",
    };
    let text = format!("clone(child_stack=NULL, flags={}{signal})", flag_names(kinds, parent));
    call(goal, text, why, || plumbing_kernel::clone(kinds.clone_flags(), parent))
}
