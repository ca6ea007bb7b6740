//! Rows about cgexec-rs.

pub mod accuracy;
pub mod crowds;
pub mod devices;
pub mod foreign_groups;
pub mod leaf;
pub mod libcgroup;
pub mod limits;
pub mod memory;
pub mod net_rate;
pub mod oci;
pub mod precision;
pub mod programs_of_others;
pub mod replaced;
pub mod report;
pub mod subjects;
pub mod systemd;
pub mod verbs;
pub mod views;

use crate::harness::row::Row;

/// The topics, in the order in which they run.
pub const TOPICS: &[&[Row]] = &[
    foreign_groups::ROWS,
    limits::ROWS,
    devices::ROWS,
    programs_of_others::ROWS,
    accuracy::ROWS,
    precision::ROWS,
    net_rate::ROWS,
    oci::ROWS,
    leaf::ROWS,
    libcgroup::ROWS,
    replaced::ROWS,
    report::ROWS,
    memory::ROWS,
    subjects::ROWS,
    systemd::ROWS,
    verbs::ROWS,
    views::ROWS,
    crowds::ROWS,
];

/// Shell functions: `own CONTROLLER` prints the directory of the current group, `has_v1 CONTROLLER` succeeds if the
/// controller is in a v1 hierarchy.
pub const SHELL: &str = r#"
has_v1() { grep -q "^[0-9]*:\(.*,\)\?$1\(,.*\)\?:" /proc/self/cgroup; }
point() { awk -v type="$1" -v option="$2" '{ for (i = 7; $i != "-"; i++); if ($(i + 1) == type && (option == "" || index("," $(i + 3) ",", "," option ","))) { print $5; exit } }' /proc/self/mountinfo; }
own() {
    if has_v1 "$1"; then
        echo "$(point cgroup "$1")$(sed -n "s/^[0-9]*:\(.*,\)\?$1\(,.*\)\?://p" /proc/self/cgroup)"
    else
        echo "$(point cgroup2)$(sed -n "s/^0:://p" /proc/self/cgroup)"
    fi
}
"#;
