//! unshare-rs compared with unshare(1) of util-linux 2.38, and with the manual page of 2.42 for newer options.

mod clocks;
mod ids;
mod manual;
mod mounts;
mod namespaces;
mod newer;
mod persistent;
mod processes;
mod statuses;

use crate::harness::agreement::case::Case;
use crate::harness::agreement::pair::{Tool, agree};
use crate::harness::need::{NEWUIDMAP, Need, UNSHARE};
use crate::harness::row::Row;
use crate::harness::world::World;

const PEER: Need = UNSHARE;
const NEEDS: &[Need] = &[PEER, Need::UserNamespaces];
const WITH_RANGES: &[Need] = &[PEER, Need::UserNamespaces, NEWUIDMAP];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("unshare-rs makes the namespaces that unshare makes", NEEDS, |world| run(world, namespaces::CASES)),
    Row::new("unshare-rs maps and changes ids as unshare does", NEEDS, |world| run(world, ids::CASES)),
    Row::new("unshare-rs maps ranges of ids as unshare does", WITH_RANGES, |world| run(world, ids::RANGES))
        .root_only()
        .host_only(),
    Row::new("unshare-rs mounts and changes directories as unshare does", NEEDS, |world| run(world, mounts::CASES)),
    Row::new("unshare-rs sets the clocks that unshare sets", NEEDS, |world| run(world, clocks::CASES)),
    Row::new("unshare-rs starts processes, and ends with them, as unshare does", NEEDS, |world| {
        run(world, processes::CASES)
    }),
    Row::new("unshare-rs exits with the status of unshare", NEEDS, |world| run(world, statuses::CASES)),
    Row::new("unshare-rs makes namespaces persistent as unshare does", NEEDS, |world| run(world, persistent::CASES))
        .root_only(),
    Row::new("the examples of unshare's manual page print the same with unshare-rs", NEEDS, |world| {
        run(world, manual::CASES)
    }),
    Row::new("unshare-rs does what the manual page says about newer options", NEEDS, |world| run(world, newer::CASES)),
];

// The last table has no peer to compare with.
const _: () = assert!(
    namespaces::CASES.len()
        + ids::CASES.len()
        + ids::RANGES.len()
        + mounts::CASES.len()
        + clocks::CASES.len()
        + processes::CASES.len()
        + statuses::CASES.len()
        + persistent::CASES.len()
        + manual::CASES.len()
        >= 80
);

fn run(world: &World, cases: &[Case]) {
    agree(world, &Tool { peer: "unshare", ours: "unshare-rs" }, cases);
}
