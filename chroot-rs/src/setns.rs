//! `--pipe`: building the root inside a held container. A child joins its namespaces, and a child of that child its pid
//! namespace, because after `setns(2)` only later children are in it, and proc must be mounted from inside.
//!
//! The namespaces may belong to another user, who can enter them by setns(2) and mount anything there. So the host's files
//! are read before entering, and inside the child has no more privileges than that user: `plumbing::process::foreign_user`.

use plumbing::Fault;
use plumbing::process::namespace::{Kind, KindSet};
use plumbing::process::target::Target;
use plumbing::process::{errand, foreign_user};
use serde::Serialize;
use serde::de::DeserializeOwned;

const GOAL: &str = "work inside the container";
const ONCE_MORE: &str = "only children enter the pid namespace that was joined; pid_namespaces(7)";

/// Runs `work` inside the container, whose namespaces `foreign` differ from ours, and returns its result.
///
/// Under `--dry-run` it runs here, where its calls are only printed.
pub(crate) fn inside<T: Serialize + DeserializeOwned>(
    target: &Target,
    foreign: KindSet,
    work: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, Fault> {
    let why = "a child does the work: joining a pid namespace needs another fork, and this process must stay outside";
    errand::run(GOAL, why, || {
        enter(target, foreign)?;
        if foreign.contains(Kind::Pid) { errand::run(GOAL, ONCE_MORE, work) } else { work() }
    })
}

/// Joins the namespaces as root: a user that is not mapped inside could not make files.
fn enter(target: &Target, foreign: KindSet) -> Result<(), Fault> {
    foreign_user::join(
        target,
        foreign,
        "its mounts are there, and its user namespace decides about our privileges; setns(2)",
    )
}
