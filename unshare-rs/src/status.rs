//! What /proc/self/status says of this process: the facts behind refusals. `proc_pid_status(5)`.

use plumbing::target::status_field;

/// The value of a field such as `Seccomp`.
pub(crate) fn field(name: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status_field(&status, name).map(str::to_owned)
}
