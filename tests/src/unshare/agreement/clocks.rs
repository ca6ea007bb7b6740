//! The time namespace: its clocks, and the processes that see them.

use crate::harness::agreement::case::Case;

/// Cases in a time namespace.
pub const CASES: &[Case] = &[
    Case::new("--time --boottime 300000").root(),
    Case::new("--time --boottime 300000 --fork").root(),
    Case::new("--time --monotonic=4000 --fork").root(),
    Case::new("-T --monotonic 5000 --boottime 7000 -f").root(),
    Case::new("-rT --monotonic 5000 --boottime 7000 -f"),
    Case::new("-rT --boottime 100000 --fork --pid --mount-proc"),
    Case::new("-UT --boottime 100000 --fork").user(),
    Case::new("-rT --boottime 1000 --boottime 2000 --fork"),
    Case::new("--boottime 1000").ends(1),
    Case::new("-r --monotonic 1000").ends(1),
    Case::new("-rT --boottime soon").ends(1),
    Case::new("-rT --boottime 99999999999999999999").ends(1),
    Case::new("-rT --monotonic 9999999999").ends(1),
];
