//! The effect of each option of unshare-rs, checked from inside with the kernel. The comparison with unshare(1) is
//! another topic.

use std::time::Duration;

use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::scan::Scan;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const OURS: &[Need] = &[Need::UserNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a namespace of every kind is kept by a file", OURS, every_kind_is_kept),
    Row::new("the command never runs before its namespaces are kept", OURS, |world| {
        let times = if world.in_vm { 8 } else { 30 };
        let script = format!("touch f; for i in $(seq {times}); do unshare-rs --net=f --fork -- stat -fc %T f; umount f; done");
        staged(world, &script).succeeds().stdout_is(&"nsfs\n".repeat(times));
    }),
    Row::new("a set-up that fails keeps no namespace, writes no pid file, runs no command", OURS, |world| {
        let script = "touch f g; unshare-rs --net=f --uts=g --pid-file=p --mount-proc=/no/such/place -- echo ran; echo $?
            unshare-rs --net=f --uts=h -- echo ran; echo $?; ls; grep -c nsfs /proc/self/mountinfo";
        staged(world, script).stdout_is("125\n125\nf\ng\n0\n").stderr_has("h must exist: touch it first");
    }),
    Row::new("the error says why a mount namespace cannot be kept on a shared mount", OURS, |world| {
        staged(world, "mount --make-shared . && touch f && unshare-rs --propagation unchanged --mount=f true")
            .fails_with(125)
            .stderr_has("f is on a shared mount");
    }),
    Row::new("the clocks of a time namespace have their offsets, with and without a fork", OURS, clocks),
    Row::new("the clocks of a hold have their offsets before a process is in it", OURS, |world| {
        let script = "
            uptime=$(cut -d. -f1 /proc/uptime)
            later=$(unshare-rs --hold --ttl 60 $OPTIONS --boottime 100000 | nsenter-rs --pipe --rm -- cut -d. -f1 /proc/uptime)
            [ $((later - uptime)) -ge 100000 ] && [ $((later - uptime)) -lt 100100 ] && echo off";
        for options in ["--time", "--time --pid --mount --uts --net", "--time --map-root-user --ipc"] {
            let options = format!("{} {options}", own(world));
            world.script(script).variable("OPTIONS", options).run().succeeds().stdout_is("off\n");
        }
        let line = format!("unshare-rs --hold --ttl 60 {} --time --monotonic 5 --pid --net", own(world));
        let outcome = world.sh(&format!("{line} | tee record | nsenter-rs --pipe --rm -- true; cat record; rm record")).succeeds();
        let record: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("a record");
        for (kind, is_private) in [("time", true), ("pid", true), ("net", true), ("uts", false), ("user", !world.is_root)] {
            assert_eq!(record["namespaces"][kind]["private"], is_private, "{kind}\n{outcome}");
        }
        world.sh(&format!("unshare-rs --hold {} --time --monotonic -99999999999 | cat", own(world))).fails_with(125).stderr_has("remedy: the clock is at");
    }),
    Row::new("host name and domain name are set only inside", OURS, |world| {
        let before = world.sh("cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname").succeeds().stdout;
        let show = "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname";
        run(world, &format!("--uts --hostname inside --domainname dom -- {show}")).stdout_is("inside\ndom\n");
        world.sh(show).stdout_is(&before);
    }),
    Row::new("the root directory is changed before the working directory", &[BUSYBOX], |world| {
        let root = world.busybox_root().display();
        run(world, &format!("--root {root} --wd /usr -- /bin/pwd")).stdout_is("/usr\n");
        run(world, &format!("-R {root} -- /bin/pwd")).stdout_is("/\n");
        run(world, "-w / -- pwd").stdout_is("/\n");
        run(world, &format!("-pf -R {root} --mount-proc -- /bin/sh -c 'echo /proc/[0-9]*'")).stdout_is("/proc/1\n");
    }),
    Row::new("the environment is emptied except for the named variables", &[], |world| {
        world.sh("env unshare-rs --clear-env -- /usr/bin/env").succeeds().stdout_is("");
        let script = "A=1 B='x y' C=3 unshare-rs --whitelist-env A,,B --whitelist-env NONE -- /usr/bin/env";
        world.sh(script).succeeds().stdout_is("A=1\nB=x y\n");
    }),
    Row::new("without a command, a login shell runs", &[], |world| {
        world.script("SHELL=/bin/sh unshare-rs").stdin("echo $0\n").run().succeeds().stdout_is("-sh\n");
        world.script("SHELL= unshare-rs").stdin("echo ${0%%h}\n").run().succeeds().stdout_has("-");
    }),
    Row::new("setgroups is left as it is, or denied, also before a map", OURS, |world| {
        let show = "-- cat /proc/self/setgroups";
        for (options, answer) in [("-U", "allow"), ("-U --setgroups deny", "deny"), ("-r --setgroups deny", "deny")] {
            world.sh(&format!("unshare-rs {options} {show}")).succeeds().stdout_is(&format!("{answer}\n"));
        }
    }),
    Row::new("capabilities are kept across a change of user", OURS, |world| {
        let script = "unshare-rs -U --map-users all --map-groups all --keep-caps -G 1 -S 1 -- \
                      sh -c 'id -u; id -g; grep -E \"Cap(Eff|Amb)\" /proc/self/status; unshare -n true && echo able'";
        let outcome = world.sh(script).succeeds().stdout_has("1\n1\n").stdout_has("able\n");
        assert_eq!(outcome.stdout.matches("0000000000000000").count(), 0, "{outcome}");
        world.sh("unshare-rs -r -S 0 -- id -u").succeeds().stdout_is("0\n");
    })
    .root_only(),
    Row::new("with --kill-child a command ends with unshare-rs, also after a change of user", OURS, |world| {
        for options in ["--kill-child", "--kill-child=TERM", "--kill-child -S 0", "--kill-child --init", "-p --kill-child"] {
            let before = Scan::take();
            let script = format!(
                "unshare-rs {} {options} -- sh -c 'touch here; exec sleep 86401' & \
                 until [ -e here ]; do sleep 0.01; done; rm here; kill -KILL $!",
                own(world)
            );
            world.sh(&script).succeeds();
            before.wait_until_same(Duration::from_secs(10));
        }
    }),
    Row::new("only the user given by --owner can enter the namespaces", OURS, |world| {
        let script = "touch f; unshare-rs --owner 54321:54321 -r --user=f true
            enter() { setpriv --reuid $1 --regid $1 --clear-groups nsenter --user=f --preserve-credentials true; echo $?; }
            chmod 755 .; enter 54321; enter 54322 2>/dev/null; umount f";
        staged(world, script).succeeds().stdout_is("0\n1\n");
        let script = "unshare-rs --owner 54321:54321 -r --setgroups deny -nT --boottime 5 -- sh -c 'id -u; ls /sys/class/net'";
        world.sh(script).fails_with(0).stdout_has("65534\n");
    })
    .root_only(),
    Row::new("two unshare-rs in a chain make a user namespace in a user namespace", OURS, |world| {
        let script = "unshare-rs -r -mpf --mount-proc -- unshare-rs --map-user 1000 --map-group 1000 -- id -u";
        world.sh(script).succeeds().stdout_is("1000\n");
        // The same, as docs/composing.md shows it.
        let document = include_str!("../../../docs/composing.md").split("```sh\n").nth(1).expect("a block of commands");
        let shown = document.split("```").next().expect("its end");
        world.sh(shown).succeeds().stdout_is("1000\n");
    }),
    Row::new("an interpreter is registered for one user namespace only", OURS, |world| {
        let script = "printf x >f.suite; chmod 755 f.suite
            unshare-rs -rpf -l ':suite:E::suite::/bin/echo:' -- ./f.suite seen && ! grep -qs . /proc/sys/fs/binfmt_misc/suite";
        if std::fs::read_to_string("/proc/filesystems").is_ok_and(|all| all.contains("binfmt_misc")) { drop(world.sh(script).succeeds().stdout_is("./f.suite seen\n")) } else { drop(world.sh(script).fails_with(125).stderr_has("modprobe binfmt_misc")) }
    })
    .host_only(),
];

/// Returns the option that an unprivileged user needs in addition.
pub fn own(world: &World) -> &'static str {
    if world.is_root { "" } else { "--map-root-user" }
}

fn run(world: &World, rest: &str) -> Outcome {
    world.sh(&format!("unshare-rs {} {rest}", own(world))).succeeds()
}

/// Runs a script in a new mount namespace and an empty directory, so that its mounts need no cleanup.
pub fn staged(world: &World, script: &str) -> Outcome {
    let place = world.directory(&format!("staged-{}", number()));
    let file = place.with_extension("sh");
    std::fs::write(&file, script).expect("write the script");
    let (place, file, own) = (place.display(), file.display(), own(world));
    // On one processor: to prevent loops, Linux 6.18 refuses to bind a mount namespace whose number is lower than that
    // of ours, and it numbers mount namespaces per processor.
    world.sh(&format!(
        "taskset 1 unshare-rs {own} --mount -- sh -ec 'mount -t tmpfs stage {place}; cd {place}; exec bash {file}'"
    ))
}

/// Returns a different number each time.
fn number() -> usize {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

fn every_kind_is_kept(world: &World) {
    let script = "
        kinds='mount uts ipc net pid cgroup time'; mount --make-private . 2>/dev/null
        files=; for kind in $kinds; do touch $kind; files=\"$files --$kind=$kind\"; done
        unshare-rs $files --fork --pid-file p -- sh -c 'for kind in mnt uts ipc net pid cgroup time; do readlink /proc/self/ns/$kind; done' >inside
        for kind in $kinds; do stat -Lc %i $kind; done >outside
        sed 's/.*\\[//; s/\\]//' inside | diff - outside && echo same
        nsenter --net=net --uts=uts -- true && echo entered";
    staged(world, script).succeeds().stdout_is("same\nentered\n");
    let script = "touch u; unshare-rs -c --user=u -- readlink /proc/self/ns/user; stat -Lc 'user:[%i]' u";
    let outcome = staged(world, script).succeeds();
    assert_eq!(outcome.lines().first(), outcome.lines().last(), "{outcome}");
}

fn clocks(world: &World) {
    let script = "
        uptime=$(cut -d. -f1 /proc/uptime)
        later=$(unshare-rs $OWN -Tf --boottime 100000 --monotonic -1 -- sh -c 'cut -d. -f1 /proc/uptime')
        [ $((later - uptime)) -ge 100000 ] && [ $((later - uptime)) -lt 100100 ] && echo off
        unshare-rs $OWN -T --boottime 7 --monotonic 8 -- cat /proc/self/timens_offsets";
    let outcome = world.script(script).variable("OWN", own(world)).run().succeeds();
    assert_eq!(outcome.lines()[0], "off", "{outcome}");
    let offsets: Vec<Vec<&str>> = outcome.lines()[1..].iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(offsets, [["monotonic", "8", "0"], ["boottime", "7", "0"]], "{outcome}");
    for (option, low, high) in
        [("--boottime", "-1000000000", "4611686019"), ("--monotonic", "-1000000000", "99999999999")]
    {
        for offset in [low, high] {
            world
                .sh(&format!("unshare-rs {} -T {option} {offset} true", own(world)))
                .fails_with(125)
                .stderr_has("ERANGE")
                .stderr_has("remedy: the clock is at");
        }
    }
}
