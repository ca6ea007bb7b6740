//! `--report`: what a command and all that it started have used, and which limit of which group acted on it.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::harness::need::{BASH, JQ, SETPRIV};
use crate::harness::row::Row;
use crate::harness::scan::Scan;
use crate::harness::script::Outcome;

use super::SHELL;

const PATIENCE: Duration = Duration::from_secs(10);

/// Uses 0.3 seconds of user time.
const BURN: &str = "while read -r _ _ _ _ _ _ _ _ _ _ _ _ _ user _ </proc/self/stat && [ $user -lt 30 ]; do :; done";

/// Options, a command, its status, and the verdict.
const VERDICTS: &[(&str, &str, i32, &str)] = &[
    ("", "exit 3", 3, "no limit was reached"),
    ("--memory 64M --pids 20", "exit 0", 0, "no limit was reached; memory peak was "),
    ("--memory 32M --swap 0", "exec tail /dev/zero", 137, "killed: memory.max 32M of /"),
    ("--pids 3", "(sleep 0.1 & sleep 0.1 & sleep 0.1 & wait) 2>/dev/null; exit 0", 0, "refused: pids.max 3 of /"),
    // So little that even a busy machine has more for it.
    ("--cpus 5%", "$BURN", 0, "slowed: cpu.max 5% of /"),
    ("--max-time 300ms", "sleep 86437", 143, "killed: --max-time 300ms"),
    ("--max-time 1500ms --grace 200ms", "trap '' TERM; sleep 86437", 137, "killed: --max-time 1500ms"),
    ("", "kill -USR1 $$", 138, "no limit was reached"),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("the verdict of a report names the limit that acted, and the status is the command's", &[BASH], |world| {
        let before = Scan::take();
        for (options, command, status, verdict) in VERDICTS.iter().filter(|(options, ..)| world.chooses(options)) {
            let script = format!("cgexec-rs --report=json {options} -- bash -c \"$COMMAND\"");
            let command = command.replace("$BURN", &BURN.replace("-lt 30", "-lt 8"));
            let outcome = world.script(&script).variable("COMMAND", command).run().fails_with(*status);
            let report = json(&outcome);
            let text = report["verdict"]["text"].as_str().expect("a verdict");
            assert!(text.starts_with(verdict), "{options}: {text}");
            let ended = if report["signal"].is_null() { report["status"].as_i64() } else { None };
            // 143 and the like are the numbers of signals.
            assert_eq!(ended, (*status < 128).then_some(i64::from(*status)), "{options}: {report}");
        }
        before.wait_until_same(PATIENCE);
    })
    .root_only(),
    Row::new("a report names the group above whose limit acted", &[BASH], |world| {
        // A group with a limit, the caller inside it, and the command's group next to the caller's or below it.
        let script = format!(
            "{SHELL}
             outer=$(own memory)/report-outer; mkdir $outer || exit 1
             if has_v1 memory; then
                 echo 33554432 >$outer/memory.limit_in_bytes; from=$outer
             else
                 echo +memory >${{outer%/*}}/cgroup.subtree_control
                 echo 33554432 >$outer/memory.max; echo 0 >$outer/memory.swap.max
                 echo +memory >$outer/cgroup.subtree_control; from=$outer/from; mkdir $from
             fi
             (echo $BASHPID >$from/cgroup.procs; cgexec-rs --report=json --memory $1 --swap 0 -- tail /dev/zero)
             for i in $(seq 100); do rmdir $from $outer 2>/dev/null; [ -d $outer ] || exit 0; sleep 0.1; done; exit 1"
        );
        let verdict = |memory: &str| {
            let outcome = world.sh(&format!("set -- {memory}\n{script}")).succeeds();
            json(&outcome)["verdict"]["text"].as_str().expect("a verdict").to_owned()
        };
        let outer = verdict("64M");
        assert!(outer.starts_with("killed: memory.max 32M of /") && outer.contains("/report-outer ("), "{outer}");
        // The control: the own limit is smaller.
        let own = verdict("16M");
        assert!(own.starts_with("killed: memory.max 16M of /") && own.contains("/cgexec-rs-"), "{own}");
    })
    .root_only(),
    Row::new("--why names the group that sets the limit which holds for a process", &[BASH], |world| {
        let script = format!(
            "{SHELL}
             outer=$(own memory)/why-outer; inner=$outer/inner; mkdir $outer || exit 1
             if has_v1 memory; then file=memory.limit_in_bytes; else
                 file=memory.max; echo +memory >${{outer%/*}}/cgroup.subtree_control; echo +memory >$outer/cgroup.subtree_control
             fi
             mkdir $inner; echo 33554432 >$outer/$file
             (echo $BASHPID >$inner/cgroup.procs; cgexec-rs --why --json; echo 16777216 >$inner/$file; cgexec-rs --why $BASHPID)
             for i in $(seq 100); do rmdir $inner $outer 2>/dev/null; [ -d $outer ] || exit 0; sleep 0.1; done; exit 1"
        );
        let outcome = world.sh(&script).succeeds();
        let lines = outcome.lines();
        let report: Value = serde_json::from_str(lines[0]).expect("JSON");
        let held = &report["effective"]["memory.max"];
        assert_eq!(held["value"], 33_554_432, "{report}");
        assert!(held["group"].as_str().is_some_and(|group| group.ends_with("/why-outer")), "{report}");
        // The control: a smaller limit of the own group.
        let row = lines.iter().find(|line| line.starts_with("memory.max ")).expect("a row");
        assert!(row.contains(" 16M ") && row.ends_with("/why-outer/inner"), "{outcome}");
        assert!(lines.last().is_some_and(|line| line.starts_with("so far: no limit was reached")), "{outcome}");
    })
    .root_only(),
    Row::new("--why refuses a name that no container has, and more than one process", &[JQ], |world| {
        world.sh("cgexec-rs --why web").fails_with(125).stderr_has("cannot find a container named \"web\"");
        world.sh("cgexec-rs --why 1 2").fails_with(125).stderr_has("no '2' after it");
        world.sh("cgexec-rs --why --json | jq -e .verdict.outcome >/dev/null").succeeds();
    })
    .host_only(),
    Row::new("a report waits for what the command left behind, and counts it", &[BASH], |world| {
        let daemon = format!("(setsid bash -c '{}; sleep 0.2' >/dev/null 2>&1 &)", BURN.replace("-lt 30", "-lt 80"));
        let report = |command: &str| {
            let outcome = world.script("cgexec-rs --report=json -- bash -c \"$COMMAND\"").variable("COMMAND", command).run();
            json(&outcome.succeeds())
        };
        let (with, without) = (report(&format!("{daemon}; exit 0")), report("exit 0"));
        let used = |report: &Value| report["cpu"]["usage_usec"].as_u64().expect("CPU time");
        // The control: without the daemon it is that much less.
        assert!(used(&with) >= used(&without) + 300_000, "{with}\n{without}");
        assert!(with["wall_usec"].as_u64() >= Some(900_000), "{with}");
        // SIGTERM ends the waiting, not what is left.
        let left = "cgexec-rs --report=json -- bash -c '(setsid sleep 86438 >/dev/null 2>&1 &)' & tool=$!
                    for i in $(seq 500); do pgrep -f '^sleep 86438' >/dev/null && ! pgrep -P $tool >/dev/null && break; sleep 0.02; done
                    kill $tool; wait $tool; echo $?; kill $(pgrep -f '^sleep 86438') && echo alive";
        let outcome = world.sh(left).succeeds().stdout_is("0\nalive\n");
        assert_eq!(json(&outcome)["is_running"], true);
    })
    .root_only(),
    Row::new("a report goes to a file as text, and a file that cannot be written is an error at once", &[], |world| {
        let place = world.directory("report-file");
        let file = place.join("report");
        let script = format!("cgexec-rs --report={} --suggest -- sh -c 'echo out; echo err >&2'", file.display());
        world.sh(&script).succeeds().stdout_is("out\n").stderr_is("err\n");
        let text = fs::read_to_string(&file).expect("a report");
        for line in ["ended      exit status 0 after ", "verdict    no limit", "processes  peak ", "suggested  --memory "] {
            assert!(text.contains(line), "{line:?} is missing in\n{text}");
        }
        let refused = world.sh("cgexec-rs --report=/no/such/directory/r -- echo started");
        refused.fails_with(125).stdout_is("").stderr_has("/no/such/directory/r");
        world.sh("cgexec-rs --suggest -- true").succeeds().stderr_has("suggested: --memory ");
    })
    .root_only(),
    Row::new("a signal to cgexec-rs reaches a supervised command, and kill -9 ends it with its time limit", &[BASH], |world| {
        let before = Scan::take();
        let started = "for i in $(seq 500); do pgrep -f '^sleep 86439' >/dev/null && break; sleep 0.02; done";
        let script = format!(
            "cgexec-rs --report=json -- sleep 86439 & {started}; kill -USR1 $!; wait $!; echo $?
             cgexec-rs --max-time 1h -- sleep 86439 & {started}; kill -KILL $!; wait $! 2>/dev/null
             for i in $(seq 500); do pgrep -f '^sleep 86439' >/dev/null || break; sleep 0.02; done
             pgrep -f '^sleep 86439' || echo gone
             # The control: without a time limit the command goes on.
             cgexec-rs --report -- sleep 86439 & {started}; kill -KILL $!; wait $! 2>/dev/null
             kill $(pgrep -f '^sleep 86439') && echo alive"
        );
        world.sh(&script).succeeds().stdout_is("138\ngone\nalive\n");
        before.wait_until_same(PATIENCE);
    })
    .root_only(),
    Row::new("a time limit ends also what the user may not signal, and whatever else is in the group", &[BASH, SETPRIV], |world| {
        let before = Scan::take();
        let line = r#"
            U=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)/max-time-$$; mkdir -p $U/sub; chown -R 54321 $U; cd /
            (echo $BASHPID >$U/sub/cgroup.procs; exec setpriv --reuid 54321 --regid 54321 --clear-groups \
                cgexec-rs --max-time 2s --grace 300ms -- sh -c 'sleep 86444 & sleep 86444 & wait') 2>$D/err & C=$!
            until G=$(find $U -type d -name 'cgexec-rs-*') && [ "$G" ] && [ "$(wc -l <$G/cgroup.procs)" = 3 ]; do sleep 0.02; done
            sleep 86445 & R=$!; echo $R >$G/cgroup.procs
            wait $C; echo $?; wait $R 2>/dev/null; echo $?; pgrep -f '^sleep 86444' || echo gone
            # The control: the user may not signal it.
            grep -c "cannot end process $R: .*EPERM" $D/err; find $U -depth -type d -exec rmdir {} +"#;
        world.apart("max-time", line).run().stdout_is("143\n137\ngone\n1\n");
        before.wait_until_same(PATIENCE);
    })
    .root_only()
    .host_only(),
];

/// Returns the report on the last line of stderr.
fn json(outcome: &Outcome) -> Value {
    let line = outcome.stderr.lines().rfind(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| panic!("no report\n{outcome}"))).expect("JSON")
}
