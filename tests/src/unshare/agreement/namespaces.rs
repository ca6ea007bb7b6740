//! Each kind of namespace alone and together, by its short and by its long option.

use crate::harness::agreement::case::Case;

/// Cases with each kind. An unprivileged user needs a user namespace for all other kinds.
pub const CASES: &[Case] = &[
    Case::new(""),
    Case::new("--"),
    Case::new("-m").root(),
    Case::new("--mount").root(),
    Case::new("-u").root(),
    Case::new("--uts").root(),
    Case::new("-i").root(),
    Case::new("--ipc").root(),
    Case::new("-n").root(),
    Case::new("--net").root(),
    Case::new("-C").root(),
    Case::new("--cgroup").root(),
    Case::new("-p --fork").root(),
    Case::new("--pid --fork").root(),
    Case::new("-T").root(),
    Case::new("--time --fork").root(),
    Case::new("-U"),
    Case::new("--user"),
    Case::new("-muinCT").root(),
    Case::new("-muinpCT -f").root(),
    Case::new("-muinpUCT --fork"),
    Case::new("-rmuinpCT --fork --mount-proc"),
    Case::new("--user --map-root-user --mount --uts --ipc --net --pid --cgroup --time --fork"),
    Case::new("-Ur --mount"),
    Case::new("-Ur --net --uts"),
    Case::new("-Urpf"),
    Case::new("-c --ipc --cgroup"),
    // Long options can be abbreviated as long as they stay unique.
    Case::new("--use --map-root --cg"),
    Case::new("-m").user().ends(1),
    Case::new("--net").user().ends(1),
    Case::new("-p --fork").user().ends(1),
    Case::new("--time").user().ends(1),
];
