//! The OOM score adjustment that a container requests for the command. `proc_pid_oom_score_adj(5)`.
//!
//! It is set outside, with the caller's rights, and only an administrator may choose a low one: when memory runs out, the
//! kernel then kills the processes of others. The user of a container chooses what its record and its init request.

use plumbing::confinement::privilege::set_oom_score_adj;
use plumbing::kernel::look;
use plumbing::pipeline::ownership;
use plumbing::process::kernel_text;
use plumbing::process::target::Target;
use plumbing::{Fault, narrate};

/// Sets the score through our own /proc, before entering; the command inherits it. A container of another user does not
/// make it lower than ours.
pub(crate) fn take(requested: Option<i32>, target: Option<&Target>) -> Result<(), Fault> {
    let Some(requested) = requested else { return Ok(()) };
    let is_theirs = target.map(ownership::is_ours).transpose()? == Some(false);
    let score = if is_theirs { requested.max(own()?) } else { requested };
    if score != requested {
        narrate::remark(format_args!(
            "the command keeps our OOM score adjustment, {score}: the container belongs to another user and requests {requested}, \
             with which the kernel would kill other processes first"
        ));
    }
    set_oom_score_adj(score)
}

fn own() -> Result<i32, Fault> {
    const FILE: &str = "/proc/self/oom_score_adj";
    let goal = "read our OOM score adjustment";
    let text = look(goal, format!("read({FILE:?})"), || kernel_text::read(FILE))?;
    text.trim_end().parse().map_err(|wrong| Fault::new(format!("cannot {goal}: {FILE}: {wrong}")))
}
