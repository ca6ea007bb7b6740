//! Facts about this process from /proc/self/status, which explain refusals. `proc_pid_status(5)`.

use plumbing::process::kernel_text;
use plumbing::process::target::status_field;

/// Returns the value of a field such as `Seccomp`.
pub(crate) fn field(name: &str) -> Option<String> {
    let status = kernel_text::read("/proc/self/status").ok()?;
    status_field(&status, name).map(str::to_owned)
}
