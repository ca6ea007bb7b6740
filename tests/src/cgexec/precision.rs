//! How exact limits are on cgroup v2, by the kernel's own counters and clock: `cargo xtask test --vm --kernel 6.12 precision`.
//!
//! These rows measure for minutes, and so run only if a text selects them.

use std::fmt::Write;

use crate::harness::need::{BASH, BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const NEEDS: &[Need] = &[BASH, BUSYBOX];

/// Shell functions: `now` prints the time in ms, `of GROUP` the directory of a group, `used GROUP` its CPU time in ms, `both
/// DIRECTORY` the CPU time and the time, `median` the number in the middle, `spin OPTIONS…` starts a command that never waits in the background, and waits until it has
/// run.
const SHELL: &str = r#"
now() { awk '{ print int($1 * 1000) }' /proc/uptime; }
of() { find /sys/fs/cgroup -name "cgexec-rs-$1"; }
used() { awk '$1 == "usage_usec" { print int($2 / 1000) }' "$(of "$1")/cpu.stat"; }
# By one program, so that both are of the same moment.
both() { awk '$1 == "usage_usec" { used = int($2 / 1000) } FILENAME ~ "uptime" { print used, int($1 * 1000) }' "$1/cpu.stat" /proc/uptime; }
median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }
ran() { until [ "$(of $1)" ] && [ "$(used $1)" -gt "$2" ]; do sleep 0.1; done 2>/dev/null; }
spin() { cgexec-rs --name "$@" -- bash -c 'while :; do :; done' & ran $1 100; }
end() { kill $(jobs -p); wait; } 2>/dev/null
"#;

fn numbers(outcome: &Outcome) -> Vec<u64> {
    outcome.lines().iter().map(|line| line.parse().unwrap_or_else(|_| panic!("no number\n{outcome}"))).collect()
}

/// Runs a script and compares each number that it prints with a range.
fn expect(world: &World, script: &str, ranges: &[std::ops::RangeInclusive<u64>]) {
    let outcome = world.sh(&format!("{SHELL}{script}")).succeeds();
    let found = numbers(&outcome);
    let are_within = found.len() == ranges.len() && ranges.iter().zip(&found).all(|(range, it)| range.contains(it));
    assert!(are_within, "{found:?}, expected {ranges:?}\n{outcome}");
}

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("precision of --cpus: two points of a CPU", NEEDS, |world| {
        // Windows of three seconds; in tenths of a percent.
        let share = "share() { spin p-cpus $1; g=$(of p-cpus); for i in 1 2 3; do read -r u t <<<\"$(both $g)\"; sleep 3; \
                     read -r v now <<<\"$(both $g)\"; echo $(((v - u) * 1000 / (now - t))); done | median; end; }";
        let script = format!("{share}\nshare '--cpus 50%'; share '--cpus 25%'; share '--cpus 10%'; share '--pids 9'");
        // The control: without a limit.
        expect(world, &script, &[480..=520, 230..=270, 80..=120, 900..=1010]);
    })
    .root_only()
    .vm_only()
    .asked_for(),
    Row::new("precision of --cpu-weight: 15 percent of the ratio", NEEDS, |world| {
        let ratio = "ratio() { spin p-a $1; spin p-b $2; a=$(used p-a) b=$(used p-b); sleep 8; \
                     echo $((($(used p-b) - b) * 100 / ($(used p-a) - a + 1))); end; }";
        let weight = |one, other| format!("ratio '--cpu-weight {one}' '--cpu-weight {other}';");
        let mut script = format!("{ratio}\n");
        for (one, other) in [(100, 100), (100, 300), (100, 1000), (50, 100)] {
            script += &weight(one, other);
        }
        expect(world, &script, &[85..=115, 255..=345, 850..=1150, 170..=230]);
    })
    .root_only()
    .vm_only()
    .asked_for(),
    Row::new("precision of --memory, --memory-oom-group, --memory-high and --pids: exact", NEEDS, |world| {
        let mut script = String::new();
        // Killed by the limit, and at most at the limit; then below it.
        let line = "cgexec-rs --report=json --memory 32M --swap 0 -- tail /dev/zero 2>&1 | jq -r '.memory.peak, .memory.oom_kills'";
        writeln!(script, "{line}").ok();
        let line = "busybox dd if=/dev/zero bs=1M count=8 2>/dev/null | cgexec-rs --report=json --memory 32M --swap 0 -- tail -c 8388608 2>&1 >/dev/null | jq -r '.memory.oom_kills, .status'";
        writeln!(script, "{line}").ok();
        // All three processes are killed.
        let line = "cgexec-rs --report=json --memory 32M --swap 0 --memory-oom-group -- bash -c 'sleep 60 & sleep 60 & tail /dev/zero' 2>&1 | jq -r '.memory.oom_kills >= 3'";
        writeln!(script, "{line} | grep -c true").ok();
        // Slowed down and alive after eight seconds, not far above the limit.
        let line = "cgexec-rs --name p-high --memory-high 32M --swap 0 -- bash -c 'a=; while :; do a=$a$(printf %1048576s); done' & sleep 8; g=$(of p-high)
            awk '$1 == \"high\" { print ($2 > 0) } $1 == \"oom_kill\" { print $2 }' $g/memory.events; echo $(($(cat $g/memory.current) >> 20)); end";
        writeln!(script, "{line}").ok();
        let line = "cgexec-rs --report=json --pids 3 -- bash -c 'sleep 1 & sleep 1 & sleep 1 & wait' 2>&1 | grep '^{' | jq -r '.pids.peak'; true";
        writeln!(script, "{line}").ok();
        let full = 32 << 20;
        let below = full - (1 << 20);
        expect(
            world,
            &script,
            &[below..=full, 1..=1, 0..=0, 0..=0, 1..=1, 1..=1, 0..=0, 30..=40, 3..=3],
        );
    })
    .root_only()
    .vm_only()
    .asked_for(),
    Row::new("precision of --io-max: ten percent of the rate", NEEDS, |world| {
        let script = r#"
            truncate -s 64M disk; l=$(busybox losetup -f); busybox losetup $l disk || exit 1; trap "busybox losetup -d $l; rm disk" EXIT
            # Prints in percent of the rate what direct access of $3 KiB blocks has reached after $4 blocks.
            copy() { echo "TIMEFORMAT=%R; time busybox dd $3 bs=$1k count=$2 2>/dev/null"; }
            rate() { s=$(cgexec-rs --io-max $l:$1=$2 -- bash -c "$(copy $3 $4 "$5")" 2>&1)
                awk -v kind=$1 -v rate=$2 -v size=$3 -v count=$4 -v time=$s 'BEGIN { print int(100 * count * (kind ~ "bps" ? size * 1024 : 1) / rate / time + 0.5) }'; }
            out="if=/dev/zero of=$l oflag=direct" in="if=$l of=/dev/null iflag=direct"
            rate wbps 1000000 64 80 "$out"; rate wbps 4000000 64 320 "$out"; rate rbps 1000000 64 80 "$in"; rate rbps 4000000 64 320 "$in"
            rate wiops 50 4 250 "$out"
            # The control: without a limit.
            s=$(bash -c "$(copy 64 320 "$out")" 2>&1); awk -v time=$s 'BEGIN { print int(320 * 65536 / 4000000 / (time + 0.001)) }'"#;
        expect(world, script, &[90..=110, 90..=110, 90..=110, 90..=110, 90..=110, 2..=100_000]);
    })
    .root_only()
    .vm_only()
    .asked_for(),
    Row::new("precision of --freeze and --kill: nothing runs, nothing is left", NEEDS, |world| {
        let script = r#"
            cgexec-rs --cgroup /p-frozen -- bash -c 'while :; do :; done' & g=/sys/fs/cgroup/p-frozen
            usage() { awk '$1 == "usage_usec" { print int($2 / 1000) }' $g/cpu.stat; }
            until [ -e $g ] && [ $(usage) -gt 100 ]; do sleep 0.1; done
            cgexec-rs --cgroup /p-frozen --freeze; u=$(usage); sleep 2; echo $(($(usage) - u))
            cgexec-rs --cgroup /p-frozen --thaw; u=$(usage); sleep 2; echo $(($(usage) - u))
            cgexec-rs --cgroup /p-frozen --kill; cat $g/cgroup.procs | wc -l; cgexec-rs --cgroup /p-frozen --remove
            # A fork bomb, as far as 400 processes; how long its end takes, in ms.
            cgexec-rs --cgroup /p-frozen --pids 400 -- bash -c 'bomb() { bomb | bomb & }; bomb; bomb; sleep 60' 2>/dev/null &
            until [ -e $g ] && [ $(cat $g/pids.current) -ge 300 ]; do sleep 0.1; done 2>/dev/null
            t=$(now); cgexec-rs --cgroup /p-frozen --kill --timeout 20s; echo $(($(now) - t)); cat $g/cgroup.procs | wc -l
            cgexec-rs --cgroup /p-frozen --remove; wait"#;
        expect(world, script, &[0..=20, 500..=2100, 0..=0, 0..=10_000, 0..=0]);
    })
    .root_only()
    .vm_only()
    .asked_for(),
];
