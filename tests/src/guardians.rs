//! What guardians survive, and what is left to the next run when one of them was killed.

use std::time::Duration;

use crate::need::{BUSYBOX, Need};
use crate::pipeline::Pipeline;
use crate::row::Row;
use crate::scan::Scan;
use crate::world::World;

const NEEDS: &[Need] = &[BUSYBOX, Need::NetworkNamespaces];

const PATIENCE: Duration = Duration::from_secs(10);

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("SIGTERM, SIGHUP or SIGINT to every process of a chain or pipe leaves nothing behind", NEEDS, |world| {
        for (signal, number) in [("TERM", 15), ("HUP", 1), ("INT", 2)] {
            for script in [chain(world), pipe(world)] {
                let before = Scan::take();
                // The control: the signals arrive, and end a program that does nothing about them.
                let control = world.script("exec sleep 86412").start();
                let running = world.script(&script).start();
                await_command(world);
                world.sh(&format!("kill -{signal} $({}) 2>/dev/null; true", every_process())).succeeds();
                control.wait().fails_with(128 + number);
                end_command(world);
                drop(running);
                before.wait_until_same(PATIENCE);
            }
        }
    })
    .root_only(),
    Row::new("a guardian survives every signal but SIGKILL and SIGSTOP", NEEDS, |world| {
        let before = Scan::take();
        let running = world.script(&chain(world)).start();
        await_command(world);
        let all = "for signal in $(seq 1 64); do case $signal in 9|19) ;; *) kill -$signal $pid;; esac; done";
        let script = format!("for pid in $({}); do {all}; kill -0 $pid && echo alive; done", guardians());
        world.sh(&script).succeeds().stdout_is("alive\nalive\n");
        let control = world.sh("for signal in 15 32 64; do sh -c 'kill -'$signal' $$; echo alive'; done; true");
        control.stdout_is("");
        drop(running);
        before.wait_until_same(PATIENCE);
    })
    .root_only(),
];

/// The chain of the README around a command that waits.
fn chain(world: &World) -> String {
    let root = world.busybox_root().display();
    format!(
        "exec cgexec-rs --memory 64M --pids 50 -- \
         netns-rs exec --new --bridge aon0 --address 10.91.0.2/24 --gateway 10.91.0.1 --nat -- \
         unshare-rs --mount --pid --ipc --uts --cgroup --fork --kill-child --hostname aon -- \
         chroot-rs --std {root} -- /bin/sleep 86411"
    )
}

fn pipe(world: &World) -> String {
    Pipeline::new(world).with(4, |_| "nsenter-rs --pipe --rm -- /bin/sleep 86411".to_owned()).script()
}

/// Prints the pids of all descendants of this program but the shell that asks: guardians are adopted by it.
fn every_process() -> String {
    let below = "below() { for p in $(pgrep -P $1); do [ $p = $$ ] || { echo $p; below $p; }; done; }";
    format!("{below}; below {}", std::process::id())
}

/// Prints the pids of the guardians.
fn guardians() -> String {
    format!("pgrep -x 'cgexec-rs|netns-rs' -P {}", std::process::id())
}

/// Waits until the container's command runs.
#[track_caller]
fn await_command(world: &World) {
    world
        .sh("for i in $(seq 500); do pgrep -f '^/bin/sleep 86411' >/dev/null && exit; sleep 0.02; done; exit 1")
        .succeeds();
}

/// Ends the container's command, where the signals left it alive: it may be pid 1.
fn end_command(world: &World) {
    world.sh("pids=$(pgrep -f '^/bin/sleep 86411'); [ -z \"$pids\" ] || kill -9 $pids").succeeds();
}
