//! Shell functions that wait for processes which a script has started in the background.

/// `child PID` prints its first child after it exists; `asleep PID…` waits until each of them has executed sleep(1).
pub const WAITING: &str = r#"
child() { for i in $(seq 500); do read -r first rest 2>/dev/null </proc/$1/task/$1/children; [ "$first" ] && break; sleep 0.01; done; echo $first; }
asleep() { for pid in "$@"; do for i in $(seq 500); do grep -qs '^sleep' /proc/$pid/comm && break; sleep 0.01; done; done; }
"#;
