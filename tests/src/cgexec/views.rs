//! Views of many groups, and of what happens in them.

use serde_json::Value;

use crate::harness::need::{BASH, JQ, Need, SCRIPT};
use crate::harness::row::Row;

use super::SHELL;

const NEEDS: &[Need] = &[BASH, JQ];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("--list, --tree and --top show processes, memory and limits of groups, and no name commands a terminal", NEEDS, |world| {
        let script = format!(
            "{SHELL}
             cgexec-rs --cgroup /views-one/two --memory 64M --pids 9 -- sleep 86460 & pid=$!
             for i in $(seq 500); do [ \"$(cat /proc/$pid/comm)\" = sleep ] && break; sleep 0.02; done
             cgexec-rs --cgroup $'/views-one/\\e[31mred' -- true
             cgexec-rs --json --cgroup /views-one --list | jq -c 'select(.group == \"/views-one/two\") | [.processes, .memory.max, .pids.max]'
             cgexec-rs --json --cgroup /views-one --list | jq -c 'select(.group == \"/views-one\") | .processes'
             cgexec-rs --json --cgroup /views-one --tree | jq -c '[.group, (.groups[] | select(.group == \"/views-one/two\") | .pids.current)]'
             cgexec-rs --json --cgroup /views-one --delay 100ms --iterations 2 --top | jq -c '[.groups[].group] | sort | .[1]'
             for view in --list --tree '--delay 100ms --iterations 1 --top'; do cgexec-rs --cgroup /views-one $view; done
             kill $pid; wait $pid 2>/dev/null
             for i in $(seq 100); do cgexec-rs --cgroup /views-one --remove 2>/dev/null && exit; sleep 0.05; done; exit 1"
        );
        let outcome = world.sh(&script).succeeds();
        let lines = outcome.lines();
        let odd = "\"/views-one/\\u001b[31mred\"";
        assert_eq!(lines[..5], ["[1,67108864,9]", "1", "[\"/views-one\",1]", odd, odd], "{outcome}");
        assert!(!outcome.stdout.contains('\u{1b}'), "{outcome}");
        let has = |part: &str| lines.iter().any(|line| line.contains(part));
        assert!(has("64M") && has("/views-one/two") && has("31mred"), "{outcome}");
    })
    .root_only(),
    Row::new("on a terminal, --tree draws bars, and --top fits, sorts by keys and restores the terminal", &[BASH, SCRIPT], |world| {
        let script = "cgexec-rs --cgroup /views-bars/a-name-that-is-much-longer-than-the-room-that-eighty-columns-leave --memory 4M -- sleep 86461 & pid=$!
             for i in $(seq 500); do [ \"$(cat /proc/$pid/comm)\" = sleep ] && break; sleep 0.02; done
             script -qec 'stty cols 80 rows 24; cgexec-rs --cgroup /views-bars --tree' /dev/null </dev/null
             (sleep 1; printf m; sleep 0.5; printf q) | script -qec 'stty cols 80 rows 24; stty -a >before; cgexec-rs --cgroup /views-bars --delay 200ms --top; stty -a | cmp - before && echo restored' /dev/null
             kill $pid; wait $pid 2>/dev/null; rm before
             for i in $(seq 100); do cgexec-rs --cgroup /views-bars --remove 2>/dev/null && exit; sleep 0.05; done; exit 1";
        let place = world.directory("views-terminal");
        let outcome = world.sh(&format!("cd {} || exit 1\n{script}", place.display())).succeeds();
        assert!(outcome.stdout.contains("#......."), "{outcome}");
        assert!(outcome.stdout.contains("groups by CPU") && outcome.stdout.contains("groups by memory"), "{outcome}");
        assert!(outcome.stdout.contains("restored"), "{outcome}");
        let plain = outcome.stdout.replace("\u{1b}[K", "").replace("\u{1b}[H", "\n").replace("\u{1b}[J", "");
        let widest = plain.split(['\n', '\r']).filter(|line| !line.contains('\u{1b}')).map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{widest:?} {outcome}");
    })
    .root_only()
    .host_only(),
    Row::new("--events prints OOM kills, reached limits and new groups as JSON lines as they happen", NEEDS, |world| {
        let script =
            "cgexec-rs --cgroup /views-events -- true
             cgexec-rs --cgroup /views-events --events >out & watcher=$!
             # The watcher has begun when it reports something.
             for i in $(seq 100); do cgexec-rs --cgroup /views-events -- true; grep -q . out && break; sleep 0.05; done
             # From here on, no process is in the outer group: on v2, it could not have limited groups in it otherwise.
             cgexec-rs --cgroup /views-events/new --memory 16M --swap 0 -- tail /dev/zero 2>/dev/null
             cgexec-rs --cgroup /views-events/few --pids 3 -- sh -c 'sleep 2 & sleep 2 & sleep 2 & sleep 2 & wait' 2>/dev/null
             for i in $(seq 400); do grep -q memory.oom_kill out && grep -q '\"pids.max\"' out && break; sleep 0.05; done
             kill $watcher; wait $watcher 2>/dev/null; cat out
             for i in $(seq 100); do cgexec-rs --cgroup /views-events --remove 2>/dev/null && exit; sleep 0.05; done; exit 1";
        let place = world.directory("views-events");
        let outcome = world.sh(&format!("cd {} || exit 1\n{script}", place.display())).succeeds();
        let events: Vec<Value> =
            outcome.lines().iter().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
        let find = |event: &str, group: &str| events.iter().find(|it| it["event"] == event && it["group"] == group);
        assert_eq!(find("memory.oom_kill", "/views-events/new").expect("the kill")["added"], 1, "{outcome}");
        let limit = find("pids.max", "/views-events/few").expect("the limit");
        assert_eq!((limit["limit"].as_str(), limit["value"].as_u64()), (Some("pids.max"), Some(3)), "{outcome}");
        // The control: nothing is reported of a group to which nothing happened.
        assert!(find("pids.max", "/views-events/new").is_none(), "{outcome}");
    })
    .root_only(),
    Row::new("--wait-until ends when tasks have waited long enough, and only then", &[BASH], |world| {
        let script = "cgexec-rs --cgroup /views-wait --cpus 5% -- sh -c 'while :; do :; done' & pid=$!
             cgexec-rs --cgroup /views-idle -- sleep 86462 & idle=$!
             for group in /views-wait /views-idle; do until cgexec-rs --cgroup $group --thaw 2>/dev/null; do sleep 0.05; done; done
             cgexec-rs --cgroup /views-wait --timeout 30s --wait-until 'cpu.some>20%/2s'; echo $?
             # The control: nothing waits for memory in a group that sleeps.
             cgexec-rs --cgroup /views-idle --timeout 1s --wait-until 'memory.some>20%/2s'; echo $?
             kill $pid $idle; wait 2>/dev/null
             for group in /views-wait /views-idle; do
                 for i in $(seq 100); do cgexec-rs --cgroup $group --remove 2>/dev/null && break; sleep 0.05; done
             done
             cgexec-rs --wait-until 'memory>3'";
        let outcome = world.sh(script).fails_with(125).stdout_is("0\n125\n");
        outcome.stderr_has("(--timeout)").stderr_has("memory.some>10%/2s");
    })
    .root_only(),
];
