//! Id maps: the kernel's map is read back, and compared with a model that maps each id separately.

use std::collections::{BTreeMap, BTreeSet};

use super::options::staged;
use crate::harness::need::{NEWUIDMAP, Need};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const HELPERS: &[Need] = &[Need::UserNamespaces, NEWUIDMAP];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("the kernel accepts every generated map, and then has the requested ids", &[Need::UserNamespaces], |world| {
        let mut dice = Dice(0x5eed);
        for _ in 0..if world.in_vm { 20 } else { 150 } {
            one_generated_map(world, &mut dice);
        }
    })
    .root_only(),
    Row::new("the caller's id is mapped to a number or to a name", &[Need::UserNamespaces], |world| {
        for (options, ids) in [
            ("-r", "0 0"),
            ("--map-user 5 --map-group 6", "5 6"),
            ("--map-user root", "0 65534"),
            ("-r --map-user 7", "7 0"),
            ("-c --map-group daemon --map-user daemon", "1 1"),
        ] {
            let outcome = world.sh(&format!("unshare-rs {options} -- sh -c 'echo $(id -u) $(id -g)'")).succeeds();
            assert_eq!(outcome.stdout.trim(), ids, "{outcome}");
        }
        world.sh("unshare-rs --map-user no-such-user true").fails_with(125).stderr_has("no user \"no-such-user\" in /etc/passwd");
    }),
    Row::new("all ids are mapped to themselves", &[Need::UserNamespaces], |world| {
        let script = "unshare-rs --map-users all --map-groups all -- cat /proc/self/uid_map /proc/self/gid_map";
        let outcome = world.sh(script).succeeds();
        let all = std::fs::read_to_string("/proc/self/uid_map").expect("/proc/self/uid_map");
        assert_eq!(outcome.stdout, all.repeat(2), "{outcome}");
    })
    .root_only(),
    Row::new("every subordinate range of a user is used, by name and by number", HELPERS, |world| {
        let outcome = as_lent(world, "$TOOLS/unshare-rs -r --map-auto -- cat /proc/self/uid_map /proc/self/gid_map").succeeds();
        let lines: Vec<String> = outcome.lines().iter().map(|line| squeeze(line)).collect();
        assert_eq!(lines, ["0 4000 1", "1 100000 10", "11 300000 5", "0 4000 1", "1 200000 10"], "{outcome}");
        let outcome = as_lent(world, "$TOOLS/unshare-rs -c --map-subids -- cat /proc/self/uid_map").succeeds();
        let lines: Vec<String> = outcome.lines().iter().map(|line| squeeze(line)).collect();
        assert_eq!(lines, ["4000 4000 1", "100000 100000 10", "300000 300000 5"], "{outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("the id ranges of a hold are mapped from outside", HELPERS, |world| {
        let script = "$TOOLS/unshare-rs --hold --ttl 20 -r --map-auto --setgroups deny -p | \
                      $TOOLS/nsenter-rs --pipe --rm -- sh -c 'cat /proc/self/uid_map /proc/self/setgroups'";
        let outcome = as_lent(world, script).succeeds().stdout_has("deny\n");
        assert_eq!(squeeze(outcome.lines()[1]), "1 100000 10", "{outcome}");
        let script = "$TOOLS/unshare-rs --hold --ttl 20 --map-users 0:1:1";
        as_lent(world, script).fails_with(125).stdout_is("").stderr_has("newuidmap").stderr_has("it ended with status 1");
    })
    .root_only()
    .host_only(),
    Row::new("the helper comes from a trusted directory, never from PATH", HELPERS, |world| {
        let fake = "mkdir fake; printf '#!/bin/sh\\ntouch $PWD/fake/ran\\n' >fake/newuidmap; chmod 755 fake fake/newuidmap; chmod 777 fake; ";
        let script = format!("{fake} PATH=$PWD/fake:$PATH $TOOLS/unshare-rs --map-users auto -- ls fake");
        as_lent(world, &script).succeeds().stdout_is("newuidmap\n");
    })
    .root_only()
    .host_only(),
    Row::new("the error says why a range is refused", HELPERS, |world| {
        as_lent(world, "$TOOLS/unshare-rs --map-users 0:100000:11 true")
            .fails_with(125)
            .stderr_has("cannot map ids: /usr/bin/newuidmap")
            .stderr_has("ended with status 1");
        as_lent(world, "setpriv --no-new-privs $TOOLS/unshare-rs --map-auto true").fails_with(125).stderr_has("no_new_privs is set here");
        let script = "setpriv --reuid 4001 --regid 4001 --clear-groups $TOOLS/unshare-rs --map-auto true";
        staged(world, &format!("{BOOKS}{script}"))
            .fails_with(125)
            .stderr_has("/etc/subuid has no line for this user")
            .stderr_has("remedy: run as root: usermod --add-subuids");
        let script = "cp $(which setpriv) . && mount -t tmpfs none /usr/sbin && mount -t tmpfs none /usr/bin && \
                      ./setpriv --reuid 4000 --regid 4000 --clear-groups $TOOLS/unshare-rs --map-auto true";
        staged(world, &format!("{BOOKS}{script}")).fails_with(125).stderr_has("there is no newuidmap in").stderr_has("uidmap");
        let script = "unshare-rs --map-users 0:0:10 --map-groups 0:0:10 -- unshare-rs --map-users 0:5:6 true";
        world.sh(script).fails_with(125).stderr_has("the ids 10 to 10 do not exist in this user namespace");
        let script = "unshare-rs --map-users 0:0:5 --map-users 5:10:5 --map-groups 0:0:1 -- unshare-rs --map-users 0:0:10 true";
        world.sh(script).fails_with(125).stderr_has("a range must not span several lines");
        for options in ["-r", "--map-users all"] {
            let script = format!("setpriv --bounding-set=-setfcap unshare-rs {options} true");
            world.sh(&script).fails_with(125).stderr_has("EPERM").stderr_has("remedy: CAP_SETFCAP is missing here");
        }
    })
    .root_only()
    .host_only(),
];

/// Account files that assign subordinate ids to user 4000, three times.
const BOOKS: &str = "
    printf 'root:x:0:0::/:/bin/sh\\nlent:x:4000:4000::/:/bin/sh\\n' >passwd
    printf 'other:1:1\\nlent:100000:10\\n4000:300000:5\\n' >subuid; printf 'lent:200000:10\\n' >subgid
    for file in passwd subuid subgid; do mount --bind $file /etc/$file; done; chmod 777 .
";

/// Runs a command as user 4000.
fn as_lent(world: &World, command: &str) -> Outcome {
    staged(
        world,
        &format!(
            "{BOOKS} setpriv --reuid 4000 --regid 4000 --clear-groups bash -c '{}'",
            command.replace('\'', "'\\''")
        ),
    )
}

fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A sequence of pseudo-random numbers that is the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % end
    }
}

fn one_generated_map(world: &World, dice: &mut Dice) {
    let single = (dice.below(3) > 0).then(|| dice.below(60));
    let mut ranges: Vec<[u64; 3]> = Vec::new();
    for _ in 0..=dice.below(5) {
        let range = [dice.below(60), dice.below(60), 1 + dice.below(12)];
        let meets = |a: u64, b: u64, other: &[u64; 3]| a < b + other[2] && b < a + range[2];
        if !ranges.iter().any(|other| meets(range[0], other[0], other) || meets(range[1], other[1], other)) {
            ranges.push(range);
        }
    }
    let mut options = single.map(|inner| format!("--map-user {inner} ")).unwrap_or_default();
    for [inner, outer, count] in &ranges {
        options += &match dice.below(2) {
            0 => format!("--map-users {inner}:{outer}:{count} "),
            _ => format!("--map-users {outer},{inner},{count} "),
        };
    }
    let outcome = world.sh(&format!("unshare-rs {options} -- cat /proc/self/uid_map")).succeeds();
    assert_eq!(read(&outcome), model(single, &ranges), "{outcome}");
}

/// Returns the expected map, id by id, from inside to outside.
fn model(single: Option<u64>, ranges: &[[u64; 3]]) -> BTreeMap<u64, u64> {
    let mut map: BTreeMap<u64, u64> = single.into_iter().map(|inner| (inner, 0)).collect();
    for [inner, outer, count] in ranges {
        let inside = (*inner..inner + count).filter(|id| Some(*id) != single);
        let outside = (*outer..outer + count).filter(|id| single.is_none() || *id != 0);
        map.extend(inside.zip(outside));
    }
    map
}

fn read(outcome: &Outcome) -> BTreeMap<u64, u64> {
    let mut map = BTreeMap::new();
    let mut outside = BTreeSet::new();
    for line in outcome.lines() {
        let numbers: Vec<u64> = line.split_whitespace().map(|number| number.parse().expect("a number")).collect();
        for offset in 0..numbers[2] {
            assert!(map.insert(numbers[0] + offset, numbers[1] + offset).is_none(), "{outcome}");
            assert!(outside.insert(numbers[1] + offset), "{outcome}");
        }
    }
    map
}
