//! The preference of the kernel for killing a process when memory runs out. `proc_pid_oom_score_adj(5)`.
//!
//! It is written through /proc, so this comes before the root changes: a root may have anything as its /proc.

use std::io::Write;

use nix::errno::Errno;

use crate::Fault;
use crate::kernel::call;
use crate::process::exposure::in_the_open;

/// Sets our score adjustment, which our children inherit.
pub fn set_oom_score_adj(score: i32) -> Result<(), Fault> {
    let path = "/proc/self/oom_score_adj";
    let goal = format!("set the OOM score adjustment to {score}");
    let text = format!("write({path:?}, \"{score}\")");
    let why = "how likely the kernel kills the command when memory runs out; proc_pid_oom_score_adj(5)";
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
        file.write_all(score.to_string().as_bytes())
    };
    in_the_open(|| call(goal, text, why, write)).map_err(|fault| match fault.errno() {
        Some(Errno::EACCES) => fault
            .with_remedy("only CAP_SYS_RESOURCE of the first user namespace can set it below its lowest value so far"),
        _ => fault,
    })
}
