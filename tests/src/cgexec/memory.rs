//! When memory runs out: `--oom-guard`, and the names of what the kernel has killed.

use serde_json::Value;

use crate::harness::need::{BASH, SETPRIV};
use crate::harness::row::Row;
use crate::harness::script::Outcome;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a report names the processes that the kernel has killed, the largest first", &[BASH, SETPRIV], |world| {
        // The kernel leaves lines out if memory runs out ten times in five seconds on the machine.
        let report = (0..5)
            .map(|_| json(&world.sh("cgexec-rs --report=json --memory 32M --swap 0 -- tail /dev/zero").fails_with(137)))
            .find(|report| !report["processes"].is_null())
            .expect("a report with a name");
        let text = report["verdict"]["text"].as_str().expect("a verdict");
        assert!(text.contains("(1 OOM kill, largest tail 3"), "{text}");
        assert_eq!(report["processes"][0]["name"], "tail", "{report}");
        assert!(report["processes"][0]["memory"].as_u64() > Some(16 << 20), "{report}");
        // The controls: nothing was killed; a user who may not read the log gets the number.
        assert!(json(&world.sh("cgexec-rs --report=json --memory 32M -- true").succeeds())["processes"].is_null());
        let script = "setpriv --bounding-set=-syslog,-sys_admin --inh-caps=-all -- \
             cgexec-rs --report=json --memory 32M --swap 0 -- tail /dev/zero";
        if world.sh("cat /proc/sys/kernel/dmesg_restrict").stdout == "1\n" {
            let report = json(&world.sh(script).fails_with(137));
            assert!(report["processes"].is_null() && report["memory"]["oom_kills"] == 1, "{report}");
        }
    })
    .root_only()
    .host_only(),
    Row::new(
        "--oom-guard ends a run before the kernel kills, and says which process was the largest",
        &[BASH],
        |world| {
            let run = |options: &str| {
                world.sh(&format!("cgexec-rs --report=json --memory 128M --swap 0 {options} -- tail /dev/zero"))
            };
            let guarded = run("--oom-guard --grace 2s").fails_with(143);
            let report = json(&guarded);
            let text = report["verdict"]["text"].as_str().expect("a verdict");
            assert!(text.starts_with("killed: --oom-guard, at memory.high 120M of /"), "{guarded}");
            assert!(text.contains(", largest tail 1") && report["memory"]["oom_kills"] == 0, "{guarded}");
            assert_eq!(report["processes"][0]["name"], "tail", "{report}");
            // The control: without the guard the kernel kills it.
            let killed = json(&run("").fails_with(137));
            assert_eq!(killed["memory"]["oom_kills"], 1, "{killed}");
        },
    )
    .root_only()
    .vm_only(),
    Row::new("--oom-guard is refused where it would not guard", &[], |world| {
        world.sh("cgexec-rs --oom-guard -- true").fails_with(125).stderr_has("--oom-guard needs --memory");
        world.sh("cgexec-rs --oom-guard --pids 3 -- true").fails_with(125).stderr_has("--oom-guard needs --memory");
        world.sh("cgexec-rs --grace 2s -- true").fails_with(125).stderr_has("--max-time or --oom-guard");
        world.sh("cgexec-rs --oom-guard --memory 64M -- true").fails_with(125).stderr_has("cgroup v1 hierarchy");
        // The control: the limit alone is no reason.
        world.sh("cgexec-rs --memory 64M -- true").succeeds();
    })
    .root_only()
    .host_only(),
];

/// Returns the report on the last line of stderr.
fn json(outcome: &Outcome) -> Value {
    let line = outcome.stderr.lines().rfind(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| panic!("no report\n{outcome}"))).expect("JSON")
}
