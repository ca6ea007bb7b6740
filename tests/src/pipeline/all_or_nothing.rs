//! All or nothing: whichever stage of a pipeline fails or is killed, at whatever instant, nothing of the container is
//! left on the machine. Each case ends with the machine as it was.

use std::time::Duration;

use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::scan::Scan;
use crate::harness::script::{Outcome, Running};
use crate::harness::stages::{Pipeline, STAGES};
use crate::harness::world::World;

const NEEDS: &[Need] = &[BUSYBOX, Need::NetworkNamespaces];

/// The guardians need far less time; this is for a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(10);

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a wrong option in any stage leaves nothing behind and is reported once", NEEDS, |world| {
        for stage in 0..STAGES {
            let pipeline = Pipeline::new(world).with(stage, |words| words.replacen(' ', " --no-such-option ", 1));
            leaves_nothing(world, &pipeline.script(), |outcome| reports_once(outcome, "--no-such-option"));
        }
    })
    .root_only(),
    Row::new("a missing root directory leaves nothing behind and is reported once", NEEDS, |world| {
        let pipeline = Pipeline::new(world).with(3, |_| "chroot-rs --pipe --std /no/such/root".to_owned());
        leaves_nothing(world, &pipeline.script(), |outcome| reports_once(outcome, "/no/such/root"));
    })
    .root_only(),
    Row::new("an address that is taken leaves nothing behind and is reported once", NEEDS, |world| {
        let before = Scan::take();
        let neighbor = Pipeline::new(world).with(4, |_| "nsenter-rs --pipe --rm -- /bin/sleep 86411".to_owned());
        let neighbor = world.script(&neighbor.script()).start();
        await_command(world);
        let outcome = world.sh(&Pipeline::new(world).script());
        reports_once(outcome, "10.91.0.2");
        drop(neighbor);
        before.wait_until_same(PATIENCE);
    })
    .root_only(),
    Row::new("a stage without privilege leaves nothing behind and is reported once", NEEDS, |world| {
        for stage in 0..STAGES {
            let pipeline = Pipeline::new(world)
                .with(stage, |words| format!("setpriv --reuid=54321 --regid=54321 --clear-groups {words}"));
            leaves_nothing(world, &pipeline.script(), |outcome| reports_once(outcome, "cannot "));
        }
    })
    .root_only(),
    Row::new("a command that does not exist leaves nothing behind", NEEDS, |world| {
        let pipeline = Pipeline::new(world).with(4, |_| "nsenter-rs --pipe --rm -- /no/such/command".to_owned());
        leaves_nothing(world, &pipeline.script(), |outcome| {
            outcome.fails_with(127).stderr_has("/no/such/command");
        });
    })
    .root_only(),
    Row::new("kill -9 of any stage at any instant leaves nothing behind", NEEDS, |world| {
        // Before the record arrives, while the stage works, and after it is done: which instant each delay hits differs
        // between machines, and nothing may be left behind in any case.
        for milliseconds in [1, 2, 4, 8, 12, 16, 24, 40, 80] {
            for stage in 0..STAGES {
                let delay = milliseconds * if world.in_vm { 20 } else { 1 };
                let pipeline = Pipeline::new(world)
                    .with(stage, |words| format!("timeout --signal=KILL {:.3} {words}", f64::from(delay) / 1000.0));
                leaves_nothing(world, &pipeline.script(), |_| {});
            }
        }
    })
    .root_only(),
    Row::new("kill -9 of nsenter-rs while its command runs leaves nothing behind", NEEDS, |world| {
        kill_while_it_runs(world, |running| format!("pgrep -x nsenter-rs -P {}", running.pid));
    })
    .root_only(),
    Row::new("kill -9 of the container's init leaves nothing behind", NEEDS, |world| {
        kill_while_it_runs(world, |_| "pgrep -x all-or-nothing".to_owned());
    })
    .root_only(),
    Row::new("a container that ends by itself leaves nothing behind", NEEDS, |world| {
        leaves_nothing(world, &Pipeline::new(world).script(), |outcome| {
            outcome.succeeds().stderr_is("");
        });
    })
    .root_only(),
    Row::new(
        "an unfinished container that is not entered ends after its --ttl, and so do its guardians",
        NEEDS,
        |world| {
            let before = Scan::take();
            let pipeline =
                Pipeline::new(world).with(0, |words| format!("{words} --ttl 5")).with(4, |_| "cat".to_owned());
            world.sh(&pipeline.script()).succeeds().stdout_has("\"record\":1");
            before.wait_until_same(PATIENCE + Duration::from_secs(5));
        },
    )
    .root_only(),
    Row::new("a chain that ends, fails or is killed leaves nothing behind", NEEDS, |world| {
        let root = world.busybox_root().display();
        for (command, killed, status) in [
            ("/bin/true", false, 0),
            ("/bin/false", false, 1),
            ("/no/such/command", false, 127),
            ("/bin/sleep 86411", true, 137),
        ] {
            let limit = if killed { "timeout --signal=KILL 1 " } else { "" };
            let chain = format!(
                "{limit}cgexec-rs --memory 64M --pids 50 -- \
                 netns-rs exec --new --bridge aon0 --address 10.91.0.2/24 --gateway 10.91.0.1 --nat -- \
                 unshare-rs --mount --pid --ipc --uts --cgroup --fork --kill-child --hostname aon -- \
                 chroot-rs --std {root} -- {command}"
            );
            leaves_nothing(world, &chain, |outcome| {
                outcome.fails_with(status);
            });
        }
    })
    .root_only(),
];

/// Runs a script, and checks that the machine is afterwards as before.
#[track_caller]
fn leaves_nothing(world: &World, script: &str, judge: impl FnOnce(Outcome)) {
    let before = Scan::take();
    judge(world.sh(script));
    before.wait_until_same(PATIENCE);
}

/// Kills the process that this command finds while the pipeline's command runs, and checks that nothing is left behind.
fn kill_while_it_runs(world: &World, find: impl FnOnce(&Running) -> String) {
    let before = Scan::take();
    let pipeline = Pipeline::new(world).with(4, |_| "nsenter-rs --pipe --rm -- /bin/sleep 86411".to_owned());
    let running = world.script(&pipeline.script()).start();
    await_command(world);
    world.sh(&format!("kill -9 $({})", find(&running))).succeeds();
    running.wait().fails_with(137);
    before.wait_until_same(PATIENCE);
}

/// Checks for status 125, and exactly one line that is not a consequence of the failure or its remedy.
#[track_caller]
fn reports_once(outcome: Outcome, what: &str) {
    let outcome = outcome.fails_with(125).stderr_has(what);
    let consequences = ["remedy: ", "no container record came in", "the next stage ended without taking"];
    let causes: Vec<_> =
        outcome.stderr.lines().filter(|line| !consequences.iter().any(|text| line.contains(text))).collect();
    assert!(causes.len() == 1, "expected one error, not {causes:#?}\n{outcome}");
}

/// Waits until the container's command runs: everything else has been made before.
fn await_command(world: &World) {
    world
        .sh("for i in $(seq 500); do pgrep -f '^/bin/sleep 86411' >/dev/null && exit; sleep 0.02; done; exit 1")
        .succeeds();
}
