//! Holds: what their init keeps, which signals it survives, and what the last stage gives to its command. Each row is a
//! way in which an early version of a pipeline failed.

use std::fs;
use std::time::Duration;

use crate::harness::held::Held;
use crate::harness::need::{BUSYBOX, SCRIPT};
use crate::harness::row::Row;
use crate::harness::scan::Scan;
use crate::harness::stat::Stat;
use crate::harness::world::World;

const PATIENCE: Duration = Duration::from_secs(10);

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a record that nobody can read is refused before anything is made", &[], |world| {
        for script in ["unshare-rs --hold --user --pid >/dev/null", "unshare-rs --hold --user --pid >&-"] {
            let before = Scan::take();
            world.sh(script).fails_with(125).stderr_has("stdout is closed or /dev/null");
            before.wait_until_same(PATIENCE);
        }
        world.sh("unshare-rs --hold --user --pid >/dev/full").fails_with(125).stderr_has("ENOSPC");
    }),
    Row::new("the init keeps nothing of the host open", &[], |world| {
        let container = Held::new(world, "bare");
        let links = world
            .sh(&format!("for fd in /proc/{0}/fd/*; do readlink $fd; done; readlink /proc/{0}/exe", container.pid));
        for link in links.stdout.lines() {
            // The namespaces of its maker, which setns(2) refuses to a descendant.
            let is_own = ["/memfd:", "socket:", "pid:[", "user:["].iter().any(|start| link.starts_with(start));
            assert!(is_own, "the container can reach {link}\n{links}");
        }
        let proc = format!("/proc/{}", container.pid);
        assert_eq!(fs::read(format!("{proc}/environ")).expect("environ"), b"", "the environment of the host is shown");
        assert_eq!(fs::read_to_string(format!("{proc}/comm")).expect("comm"), "bare\n");
        let stat = Stat::of(container.pid).expect("stat");
        assert_eq!(stat.field(6), container.pid.to_string(), "it is in the session of another process");
        assert_eq!(stat.field(7), "0", "it has a controlling terminal");
    }),
    Row::new("the init survives every signal of a terminal, from inside and from outside", &[], |world| {
        let container = Held::new(world, "tough");
        let signals = "for signal in HUP INT QUIT TERM USR1 USR2 ALRM PIPE TSTP TTIN TTOU; do kill -$signal";
        world.sh(&format!("{signals} {}; done", container.pid)).succeeds();
        let inside = format!("{signals} 1; done; kill -KILL 1; echo still here");
        let enter = world.script(&format!("nsenter-rs --pipe -- sh -c '{inside}'")).stdin(container.record.clone());
        enter.run().succeeds().stdout_is("still here\n");
        assert!(container.is_alive(), "a signal ended the init");
    }),
    Row::new("an init that was killed but not yet collected makes a stale record", &[], |world| {
        let container = Held::new(world, "zombie");
        // The suite, which is its parent by now, collects it later.
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(container.pid), nix::sys::signal::Signal::SIGKILL)
            .expect("kill");
        while container.is_alive() {
            std::thread::yield_now();
        }
        for stage in ["nsenter-rs --pipe -- true", "cgexec-rs --pipe --show", "netns-rs show --pipe"] {
            world.script(stage).stdin(container.record.clone()).run().fails_with(125).stderr_has("gone");
        }
    }),
    Row::new("an init that is still ending makes a stale record", &[], |world| {
        let container = Held::new(world, "ending");
        // The init waits for all of these to end, and has no descriptors any more by then.
        let crowd = "nsenter-rs --pipe -- sh -c 'for i in $(seq 150); do sleep 100 </dev/null >/dev/null 2>&1 & done'";
        world.script(crowd).stdin(container.record.clone()).run().succeeds();
        let end_and_enter = format!(
            "kill -KILL {0}; while [ -e /proc/{0}/fd/3 ]; do sleep 0.005; done; nsenter-rs --pipe -- true",
            container.pid
        );
        world.script(&end_and_enter).stdin(container.record.clone()).run().fails_with(125).stderr_has("gone");
    }),
    Row::new("the init reaps its orphans", &[], |world| {
        let container = Held::new(world, "orphans");
        let orphan = "nsenter-rs --pipe -- sh -c '(sleep 0.1 & ) ; (exit 3 &) ; sleep 0.5'";
        world.script(orphan).stdin(container.record.clone()).run().succeeds();
        let ps = format!(
            "grep -l \"^State:.Z\" /proc/[0-9]*/status | while read f; do grep -q \"^PPid:.{}$\" $f && echo $f; done; true",
            container.pid
        );
        world.sh(&ps).succeeds().stdout_is("");
    }),
    Row::new("the command starts in the root directory of the container, whatever our directory is", &[], |world| {
        let container = Held::new(world, "where");
        world
            .script("cd /tmp && nsenter-rs --pipe -- pwd")
            .stdin(container.record.clone())
            .run()
            .succeeds()
            .stdout_is("/\n");
    }),
    Row::new("without a terminal the command's stdin is /dev/null, or the given descriptor", &[], |world| {
        let container = Held::new(world, "stdin");
        let script = "exec setsid -w nsenter-rs --pipe -- stat -L -c %t:%T /proc/self/fd/0";
        world.script(script).stdin(container.record.clone()).run().succeeds().stdout_is("1:3\n");
        let script = "exec setsid -w nsenter-rs --pipe --stdin 7 -- cat 7</etc/hostname";
        let named = world.script(script).stdin(container.record.clone()).run().succeeds();
        assert_eq!(named.stdout, fs::read_to_string("/etc/hostname").expect("/etc/hostname"));
        let script = "nsenter-rs --pipe --stdin 8 -- cat";
        world.script(script).stdin(container.record.clone()).run().fails_with(125).stderr_has("'--stdin'");
    })
    .host_only(),
    Row::new("with a terminal, the terminal is the command's stdin", &[SCRIPT], |world| {
        let user = world.as_root();
        let pipeline =
            format!("unshare-rs --hold {user} --pid --mount | nsenter-rs --pipe --rm -- sh -c \"tty; stty size\"");
        let outcome = world.sh(&format!("script --quiet --return --command '{pipeline}' /dev/null")).succeeds();
        assert!(outcome.stdout.starts_with("/dev/pts/"), "{outcome}");
    })
    .host_only(),
    Row::new("kill -9 of nsenter-rs ends its command, and without --rm not the container", &[], |world| {
        let container = Held::new(world, "orphaned");
        let running = world.script("exec nsenter-rs --pipe -- sleep 86415").stdin(container.record.clone()).start();
        let find = "for i in $(seq 500); do pgrep -f '^sleep 86415' && exit; sleep 0.02; done; exit 1";
        let pid = world.sh(find).succeeds().stdout;
        world.sh(&format!("kill -9 {}", running.pid)).succeeds();
        running.wait().fails_with(137);
        world
            .sh(&format!(
                "for i in $(seq 500); do [ -e /proc/{0}/exe ] || exit 0; sleep 0.02; done; exit 1",
                pid.trim()
            ))
            .succeeds();
        assert!(container.is_alive(), "the container ended without --rm");
    }),
    Row::new("cgexec-rs does not move the init into the group, where it could be killed first", &[], |world| {
        let container = Held::new(world, "outside");
        let group = || fs::read_to_string(format!("/proc/{}/cgroup", container.pid)).expect("cgroup");
        let before = group();
        let limited = world.script("cgexec-rs --pipe --memory 64M").stdin(container.record.clone()).run().succeeds();
        assert_eq!(group(), before);
        let show = world.script("nsenter-rs --pipe -- cat /proc/self/cgroup").stdin(limited.stdout).run().succeeds();
        assert!(show.stdout != before, "the command is not in the group\n{show}");
    })
    .root_only(),
    Row::new("commands that are entered at the same time, or one right after another, all run", &[], |world| {
        for _ in 0..10 {
            let container = Held::new(world, "crowd");
            let enter = "nsenter-rs --pipe -- sh -c 'exit 7' <record & all=\"$all $!\"";
            let script =
                format!("cat >record; {enter}; {enter}; {enter}; for each in $all; do wait $each; echo $?; done");
            world.script(&script).stdin(container.record.clone()).run().succeeds().stdout_is("7\n7\n7\n");
            let next = "nsenter-rs --pipe --rm -- sh -c 'exit 8'";
            world.script(next).stdin(container.record.clone()).run().fails_with(8);
            assert!(!container.is_alive(), "--rm left the container alive");
        }
    }),
    Row::new("a late stage finds its container, and a stage that fails late leaves nothing behind", &[], |world| {
        let user = world.as_root();
        let hold = format!("unshare-rs --hold --name late {user} --pid --mount");
        for late in ["sleep 0.01", "sleep 0.05", "sleep 0.3"] {
            let before = Scan::take();
            let enter = |command: &str| format!("{hold} | {{ {late}; nsenter-rs --pipe --rm -- {command}; }}");
            world.sh(&enter("echo in time")).succeeds().stdout_is("in time\n");
            world.sh(&enter("/no/such/command")).fails_with(127);
            world.sh(&format!("{hold} | {{ {late}; exit 125; }}")).fails_with(125);
            before.wait_until_same(PATIENCE);
        }
    }),
    Row::new("a guardian costs less than a mebibyte of private memory", &[BUSYBOX], |world| {
        let before = Scan::take();
        let running = world.script(&guarded(world)).start();
        // Guardians are orphans, and this program is their subreaper.
        let guardians = format!("pgrep -x 'cgexec-rs|netns-rs' -P {}", std::process::id());
        let ready = format!("[ $({guardians} | wc -l) = 2 ] && pgrep -f '^/bin/sleep 86416' >/dev/null");
        // Not the program text: it belongs to the page cache, of which one access maps a whole large folio since Linux 6.18;
        // in the virtual machines it is on a tmpfs, and counts as shared memory.
        let sum = "awk '/^Pss_Anon|^SwapPss/ { sum += $2 } END { print sum }' /proc/$pid/smaps_rollup";
        let sum = format!(
            "for i in $(seq 500); do {ready} && break; sleep 0.02; done; for pid in $({guardians}); do {sum}; done"
        );
        let outcome = world.sh(&sum).succeeds();
        drop(running);
        before.wait_until_same(PATIENCE);
        let sizes: Vec<u64> = outcome.stdout.lines().map(|line| line.parse().expect("a size in kB")).collect();
        assert!(sizes.len() == 2 && sizes.iter().all(|size| (1..1024).contains(size)), "{sizes:?} kB\n{outcome}");
    })
    .root_only(),
];

fn guarded(world: &World) -> String {
    let root = world.busybox_root().display();
    format!(
        "exec cgexec-rs --memory 64M -- \
         netns-rs exec --new --bridge hol0 --address 10.96.0.2/24 --gateway 10.96.0.1 --nat -- \
         unshare-rs --pid --mount --fork --kill-child -- chroot-rs --std {root} -- /bin/sleep 86416"
    )
}
