//! What guardians survive, and what is left to the next run when one of them was killed.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::XattrFlags;

use crate::harness::need::{BASH, BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::scan::Scan;
use crate::harness::stages::Pipeline;
use crate::harness::stat::Stat;
use crate::harness::world::World;

const NEEDS: &[Need] = &[BUSYBOX, Need::NetworkNamespaces];

const PATIENCE: Duration = Duration::from_secs(10);

/// Why a group stays that was made in another pid namespace.
const UNKNOWN: &str = "its process belongs to another pid or time namespace, and may be running";

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
        let control = world.sh("for signal in 15 34 64; do bash -c 'kill -'$signal' $$; echo alive'; done; true");
        control.stdout_is("");
        drop(running);
        before.wait_until_same(PATIENCE);
    })
    .root_only(),
    Row::new("the guardian of a later stage is not in the group that an earlier stage limits", NEEDS, |world| {
        let before = Scan::take();
        let running = world.script(&chain(world)).start();
        await_command(world);
        let guardian = format!("pid=$(pgrep -x netns-rs -P {}) || exit 1;", std::process::id());
        let leaves = "for i in $(seq 500); do grep -q cgexec-rs- /proc/$pid/cgroup || exit 0; sleep 0.02; done; exit 1";
        world.sh(&format!("{guardian} {leaves}")).succeeds();
        // The control: what the stage became is in there.
        world.sh(&format!("grep cgexec-rs- /proc/{}/cgroup", running.pid)).succeeds();
        drop(running);
        before.wait_until_same(PATIENCE);
    })
    .root_only(),
    Row::new(
        "what a killed guardian leaves is cleared by the next run and by --gc, not before its end",
        &[],
        |world| {
            for clear in ["cgexec-rs --pids 9 true", "cgexec-rs --gc"] {
                let before = Scan::take();
                let running = world.script("exec cgexec-rs --pids 9 --name left -- sleep 86413").start();
                let group = PathBuf::from(world.sh(&find("cgexec-rs-left")).succeeds().stdout.trim());
                world.sh(&format!("kill -9 $(pgrep -x cgexec-rs -P {})", std::process::id())).succeeds();
                world.sh(clear).succeeds();
                world.sh("cgexec-rs --gc --json").succeeds();
                assert!(group.is_dir(), "the group of a process that runs was removed");
                drop(running);
                // The control: it stays if nobody clears it.
                assert!(group.is_dir(), "nothing was left to clear");
                let planned = world.sh("cgexec-rs --gc --dry-run --json").succeeds();
                planned.stdout_has(&group.display().to_string());
                assert!(group.is_dir(), "a dry run removed it");
                world.sh(clear).succeeds();
                before.wait_until_same(PATIENCE);
            }
        },
    )
    .root_only(),
    Row::new("--gc leaves every group that it cannot know to be one of ours and over", &[], |world| {
        let script = format!("cgexec-rs --pids 9 --name model -- sh -c '{}'", find("cgexec-rs-model"));
        let model = PathBuf::from(world.sh(&script).succeeds().stdout.trim());
        let place = model.parent().expect("a parent");
        let own = |kind: &str| fs::metadata(format!("/proc/self/ns/{kind}")).expect("a namespace").ino();
        let (pid, time) = (own("pid"), own("time"));
        let gone = format!("1 999999999 1 {pid} {time} /");
        let suite = std::process::id();
        let start = Stat::of(suite as i32).expect("stat").field(22).to_owned();
        let running = world.script("exec unshare-rs --pid --fork --kill-child -- sleep 86414").start();
        let elsewhere = namespace_below(world, running.pid);
        let planted = [
            ("cgexec-rs-unmarked", None, 0, false),
            ("cgexec-rs-odd", Some("0".to_owned()), 0, false),
            ("cgexec-rs-alive", Some(format!("1 {suite} {start} {pid} {time} /")), 0, false),
            ("cgexec-rs-elsewhere", Some(format!("1 999999999 1 {elsewhere} {time} /")), 0, false),
            ("cgexec-rs-strangers", Some(gone.clone()), 54321, false),
            ("another-name", Some(gone.clone()), 0, false),
            // The control: this one goes.
            ("cgexec-rs-over", Some(gone), 0, true),
        ];
        for (name, mark, owner, _) in &planted {
            let group = place.join(name);
            fs::create_dir(&group).expect("mkdir");
            if let Some(mark) = mark {
                let set = rustix::fs::setxattr(&group, "user.cgexec-rs", mark.as_bytes(), XattrFlags::empty());
                set.expect("setxattr");
            }
            chown(&group, Some(*owner), None).expect("chown");
        }
        let report = world.sh("cgexec-rs --gc");
        let stayed: Vec<_> = planted.iter().map(|(name, ..)| place.join(name).is_dir()).collect();
        for (name, ..) in &planted {
            fs::remove_dir(place.join(name)).ok();
        }
        let report = report.succeeds();
        let report = report.stdout_has(&format!("removed {}\n", place.join("cgexec-rs-over").display()));
        report.stdout_has(&format!("kept {}: {UNKNOWN}\n", place.join("cgexec-rs-elsewhere").display()));
        for ((name, .., goes), stayed) in planted.iter().zip(stayed) {
            assert!(stayed != *goes, "{name}");
        }
    })
    .root_only(),
    Row::new("what is left of a pid namespace that has ended is cleared by the next run and by --gc", &[], |world| {
        for clear in ["cgexec-rs --pids 9 true", "cgexec-rs --gc"] {
            let before = Scan::take();
            // The control: in another pid namespace nobody knows. It begins before the other one ends, whose number it might get.
            let go = world.directory("of-ended").join("go");
            let waits = format!("until [ -e {} ]; do sleep 0.02; done; exec cgexec-rs --gc", go.display());
            let elsewhere =
                world.script(&format!("exec unshare-rs --pid --mount --mount-proc --fork -- sh -c '{waits}'")).start();
            namespace_below(world, elsewhere.pid);
            let left = "cgexec-rs --pids 9 --name of-ended -- sleep 86415; true";
            let running = world.script(&format!("exec unshare-rs --pid --fork --kill-child -- sh -c '{left}'")).start();
            let group = PathBuf::from(world.sh(&find("cgexec-rs-of-ended")).succeeds().stdout.trim());
            // The end of the namespace ends the guardian, too.
            drop(running);
            let ended = "for i in $(seq 500); do grep -q . $group/cgroup.procs || exit 0; sleep 0.02; done; exit 1";
            world.sh(&format!("group={}; {ended}", group.display())).succeeds();
            fs::write(&go, "").expect("write");
            elsewhere.wait().succeeds().stdout_has(&format!("kept {}: {UNKNOWN}\n", group.display()));
            fs::remove_file(&go).expect("unlink");
            assert!(group.is_dir(), "it was removed without knowing");
            world.sh(clear).succeeds();
            before.wait_until_same(PATIENCE);
        }
    })
    .root_only()
    .host_only(),
    Row::new("a guardian removes the group that it made, not one that was put in its place", &[], |world| {
        let before = Scan::take();
        let running = world.script("exec cgexec-rs --pids 9 --name swap -- sleep 86413").start();
        let group = PathBuf::from(world.sh(&find("cgexec-rs-swap")).succeeds().stdout.trim());
        let moved = group.with_file_name("moved-away");
        fs::rename(&group, &moved).expect("rename");
        fs::create_dir(&group).expect("mkdir");
        drop(running);
        let gone = format!("for i in $(seq 500); do [ -d {} ] || exit 0; sleep 0.02; done; exit 1", moved.display());
        world.sh(&gone).succeeds();
        assert!(group.is_dir(), "the group that was put in its place is gone");
        fs::remove_dir(&group).expect("rmdir");
        before.wait_until_same(PATIENCE);
    })
    .root_only()
    // Groups of cgroup v2 cannot be renamed.
    .host_only(),
    Row::new("taken names, however many, refuse nobody a group", &[BASH], |world| {
        let before = Scan::take();
        let script = format!("cgexec-rs --pids 9 --name model -- sh -c '{}'", find("cgexec-rs-model"));
        let model = PathBuf::from(world.sh(&script).succeeds().stdout.trim());
        let taken = model.with_file_name("cgexec-rs-taken");
        let taken = format!("{0} {0}-{{2..1000}}", taken.display());
        world.sh(&format!("mkdir {taken}")).succeeds();
        let outcome = world.sh("cgexec-rs --pids 9 --name taken -- true");
        world.sh(&format!("rmdir {taken}")).succeeds();
        outcome.succeeds();
        before.wait_until_same(PATIENCE);
    })
    .root_only(),
];

/// Returns the pid namespace of the child of this process, once it has one of its own.
#[track_caller]
fn namespace_below(world: &World, pid: impl std::fmt::Display) -> u64 {
    let script = format!(
        "own=$(readlink /proc/self/ns/pid); for i in $(seq 500); do child=$(pgrep -P {pid}) && found=$(readlink /proc/$child/ns/pid) && \
         [ \"$found\" != \"$own\" ] && echo $found && exit; sleep 0.02; done; exit 1"
    );
    let link = world.sh(&script).succeeds().stdout;
    link.trim().trim_start_matches("pid:[").trim_end_matches(']').parse().expect("an inode")
}

/// Prints the directory of the group with this name, once it is there.
fn find(name: &str) -> String {
    format!(
        "for i in $(seq 500); do found=$(find /sys/fs/cgroup -type d -name {name} 2>/dev/null | grep -m 1 .) && \
         grep -q . $found/cgroup.procs && echo $found && exit; sleep 0.02; done; exit 1"
    )
}

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
