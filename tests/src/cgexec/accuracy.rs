//! Limits are exact: what a group gets, counted by the kernel over a time, is what was asked for.
//!
//! On the host other work may take CPU time from us, so there a limit is checked from above, and a ratio of weights.

use serde_json::Value;

use crate::harness::need::{BASH, BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::script::Outcome;

use super::SHELL;

const NEEDS: &[Need] = &[BASH];

/// Shell functions: `used CONTROLLER` prints the CPU time of the current group in ms, `now` the time in ms.
const CLOCKS: &str = r#"
now() { awk '{ print int($1 * 1000) }' /proc/uptime; }
used() {
    if has_v1 cpuacct; then echo $(($(cat $(own cpuacct)/cpuacct.usage) / 1000000)); else
        awk '$1 == "usage_usec" { print int($2 / 1000) }' $(own cpu)/cpu.stat; fi
}
"#;

/// Prints which part of one CPU the current group uses in three seconds, in percent, by `$1` processes that never wait.
const SPIN: &str = r#"
for i in $(seq $N); do (while :; do :; done) & done; sleep 0.3
t=$(now); u=$(used); sleep 3; echo $((($(used) - u) * 100 / ($(now) - t))); kill $(jobs -p)"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a group gets the CPU time of --cpus, and no more", NEEDS, |world| {
        let spin = |options: &str, count: &str| {
            let script = format!("cgexec-rs {options} -- bash -c \"$SPIN\"");
            let spin = format!("{SHELL}{CLOCKS}{SPIN}");
            let outcome = world.script(&script).variable("SPIN", spin).variable("N", count).run().succeeds();
            outcome.stdout.trim().parse::<u64>().unwrap_or_else(|_| panic!("no share\n{outcome}"))
        };
        // On a busy host, a free group may get little more than this.
        let limits: &[_] =
            if world.in_vm { &[("--cpus 50%", "1", 50), ("--cpus 0.2", "2", 20)] } else { &[("--cpus 5%", "1", 5)] };
        for (options, count, limit) in limits {
            let share = spin(options, count);
            let least = if world.in_vm { limit - 4 } else { 1 };
            assert!((least..=limit + 3).contains(&share), "{options}: {share}%");
        }
        // The control: a group without this limit gets more than it would allow.
        let free = spin("--pids max", "1");
        assert!(free > if world.in_vm { 80 } else { 8 }, "{free}%");
    })
    .root_only()
    .host_only(),
    Row::new("groups that want the same CPU share it by --cpu-weight", NEEDS, |world| {
        // Both spin before the counters are read, and until they have been read again.
        let script = format!(
            "{SHELL}{CLOCKS}
             spin() {{ cgexec-rs --name $1 --cpuset-cpus 0 --cpu-weight $2 -- bash -c 'while :; do :; done' & }}
             here=$(own cpuacct); has_v1 cpuacct || here=${{here%/}}
             spin weight-a 100; a=$!; spin weight-b 300; b=$!
             of() {{ g=$(find $(point cgroup2) $(has_v1 cpuacct && point cgroup cpuacct) -name cgexec-rs-$1 | tail -n 1)
                 if [ -e $g/cpuacct.usage ]; then echo $(($(cat $g/cpuacct.usage) / 1000)); else awk '$1 == \"usage_usec\" {{ print $2 }}' $g/cpu.stat; fi; }}
             until [ \"$(of weight-a)\" ] && [ \"$(of weight-b)\" ] && [ $(of weight-a) -gt 100000 ] && [ $(of weight-b) -gt 100000 ]; do sleep 0.1; done 2>/dev/null
             x=$(of weight-a); y=$(of weight-b); sleep 4; x=$(($(of weight-a) - x)); y=$(($(of weight-b) - y))
             kill $a $b; wait 2>/dev/null; echo $((y * 100 / x))"
        );
        let outcome = world.sh(&script).succeeds();
        let ratio: u64 = outcome.stdout.trim().parse().unwrap_or_else(|_| panic!("no ratio\n{outcome}"));
        assert!((230..=390).contains(&ratio), "{ratio}");
    })
    .root_only()
    .host_only(),
    Row::new("memory and processes are limited exactly", &[BASH, BUSYBOX], |world| {
        let full = report(&world.sh("cgexec-rs --report=json --memory 32M --swap 0 -- tail /dev/zero").fails_with(137));
        let peak = full["memory"]["peak"].as_u64().expect("a peak");
        assert!((32 << 20) - (1 << 20) < peak && peak <= 32 << 20, "{full}");
        assert_eq!(full["memory"]["oom_kills"], 1, "{full}");
        // The control: the same amount of memory is no reason to be killed where the limit is above it.
        let below = world.sh("head -c 8M /dev/zero | cgexec-rs --report=json --memory 64M --swap 0 -- tail -c 8M >/dev/null");
        assert_eq!(report(&below.succeeds())["memory"]["oom_kills"], 0);
        // The shell, and four of six processes.
        let fork = "cgexec-rs --report=json --pids 5 -- busybox sh -c 'for i in 1 2 3 4 5 6; do sleep 1 & done'";
        assert_eq!(report(&world.sh(fork))["pids"]["peak"], 5);
    })
    .root_only()
    .host_only(),
    Row::new("a group runs on the CPUs of --cpuset-cpus, and has the huge pages of --hugetlb-max", NEEDS, |world| {
        let inside = "grep Cpus_allowed_list /proc/self/status; taskset -c 1 true 2>/dev/null && echo other";
        let outcome = world.sh(&format!("cgexec-rs --cpuset-cpus 0 -- bash -c '{inside}'"));
        outcome.stdout_is("Cpus_allowed_list:\t0\n");
        let inside = format!("{SHELL}\ncat $(own hugetlb)/hugetlb.2MB.max");
        let huge = world.script("cgexec-rs --hugetlb-max 2M=5M -- bash -c \"$READ\"").variable("READ", inside).run();
        // Whole huge pages.
        huge.succeeds().stdout_is("4194304\n");
    })
    .root_only()
    .host_only(),
    Row::new("a group whose limits of huge pages nobody has set limits no group that is made next to it", NEEDS, |world| {
        let script = format!(
            r#"{SHELL}
            g=$(point cgroup2)/huge-outer; mkdir $g || exit 1
            inside() {{ (echo $BASHPID >$g/cgroup.procs; exec cgexec-rs --hugetlb-max 2M=$1 -- bash -c "$READ"); }}
            inside 4M; inside max
            # The control: a limit that was set is kept.
            echo 2M >$g/hugetlb.2MB.max; inside 4M; inside max
            for i in $(seq 200); do rmdir $g 2>/dev/null; [ -d $g ] || exit 0; sleep 0.05; done; exit 1"#
        );
        let read = format!("{SHELL}\ncat $(own hugetlb)/hugetlb.2MB.max");
        let outcome = world.script(&script).variable("READ", read).run().succeeds();
        assert_eq!(outcome.lines(), ["4194304", "max", "2097152", "2097152"], "{outcome}");
    })
    .root_only()
    .host_only(),
];

/// Returns the report on the last line of stderr.
fn report(outcome: &Outcome) -> Value {
    let line = outcome.stderr.lines().rfind(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| panic!("no report\n{outcome}"))).expect("JSON")
}
