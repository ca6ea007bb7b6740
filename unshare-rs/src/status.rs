//! What /proc/self/status says of this process: the facts behind refusals. `proc_pid_status(5)`.

/// The value of a field such as `Seccomp`.
pub(crate) fn field(name: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}
