//! Rows about cgexec-rs.

pub mod foreign_groups;
pub mod limits;

use crate::harness::row::Row;

/// The topics, in the order in which they run.
pub const TOPICS: &[&[Row]] = &[foreign_groups::ROWS, limits::ROWS];

/// Shell functions: `own CONTROLLER` prints the directory of the current group, `has_v1 CONTROLLER` succeeds if the
/// controller is in a v1 hierarchy.
pub const SHELL: &str = r#"
has_v1() { grep -q "^[0-9]*:\(.*,\)\?$1\(,.*\)\?:" /proc/self/cgroup; }
own() {
    if has_v1 "$1"; then
        point=$(sed -n "s/^[^-]* \([^ ]*\) [^ ]* [^-]*- cgroup [^ ]* \(.*,\)\?$1\(,.*\)\?$/\1/p" /proc/self/mountinfo | head -n 1)
        echo "$point$(sed -n "s/^[0-9]*:\(.*,\)\?$1\(,.*\)\?://p" /proc/self/cgroup)"
    else
        point=$(sed -n "s/^[^-]* \([^ ]*\) [^ ]* [^-]*- cgroup2 .*$/\1/p" /proc/self/mountinfo | head -n 1)
        echo "$point$(sed -n "s/^0:://p" /proc/self/cgroup)"
    fi
}
"#;
